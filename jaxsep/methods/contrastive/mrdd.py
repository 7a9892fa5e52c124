"""MRDD: Rethinking Multi-view Representation Learning via Distilled Disentangling (Ke et al., 2024).

Stage 1 (`consistency`): all views of an example are masked; one small code c, made from what is
left of all of them, must predict every whole view, so c holds what the views share. Stage 2
(`disentangle`): c is frozen; each view gets a code v of its own, from which and c it is decoded,
while an upper bound of the mutual information of v and c is pushed down, so that v holds what c
lacks. The representation is [c, v of the best view].

https://arxiv.org/abs/2403.10897, https://github.com/Guanzhou-Ke/MRDD. In stage 2 the released code
trains encoder and estimator TOGETHER on the estimator's likelihood alone, with reconstruction and
divergence commented out, which makes c easier to predict from v; here the paper is followed. Its
alternation is this: the estimator q is not among the parameters but in the extra state, with an
Adam of its own. A call of the loss first gives q `estimator_steps` updates on codes that are held
fixed, then hands the autoencoders the bound with q held fixed. The bound sees c standardised over
the batch, and all pairs of rows, where the released code draws one permutation: in the form of
`jaxsep.losses.club.club` both cost the same. Squared errors are summed over an image and averaged
over the batch (see `jaxsep.losses.mrdd`). Not offered: the discrete code.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from jaxsep.data.augment import to_float
from jaxsep.data.patches import mask_patches, num_patches
from jaxsep.losses.club import club, gaussian_nll
from jaxsep.losses.mrdd import gaussian_kl, masked_cross_view_prediction, squared_error
from jaxsep.method import Method
from jaxsep.models.encoders import init_model
from jaxsep.models.mrdd import (
    ConditionalGaussian,
    ConsistencyAutoencoder,
    ViewSpecificAutoencoder,
    make_networks,
)
from jaxsep.ops import devices

STAGES = ('consistency', 'disentangle')


def make(
    *,
    stage: str = 'consistency',
    network: Mapping = {'name': 'residual'},  # noqa: B006
    consistent_size: int = 10,
    specific_size: int = 10,
    mask_ratio: float = 0.7,
    patch_size: int = 2,
    kl_weight: float = 1.0,
    bound_weight: float = 0.1,
    estimator_steps: int = 5,
    estimator_hidden: int = 50,
    estimator_learning_rate: float = 1e-3,
    conditional: bool = True,
    best_view: int = 0,
    axis_name: str | None = None,
) -> Method:
    """One stage of MRDD as a Method, on batches of `views` [b, v, h, w, c].

    Stage 1 outputs `consistent` (c, the mean of its Gaussian) and the same as `embedding`.
    Stage 2 outputs `consistent`, `specific_0`, `specific_1`, ... (v of each view, drawn from its
    Gaussian as in the original, here with numbers that depend on the example's index alone) and
    `embedding`, [c, v of best_view]. Run them as `config.stages`, the second with
    `optimizer.freeze = ('^consistency/',)`.

    Args:
      stage: consistency or disentangle.
      network: name and options for `jaxsep.models.mrdd.make_networks`.
      consistent_size, specific_size: numbers in c and in each v.
      mask_ratio, patch_size: share and side of the patches hidden in stage 1.
      kl_weight: of the divergence per image, in both stages.
      bound_weight: of the upper bound (lambda; 1 in the code, beside errors summed over the
        batch). With too much of it the encoders deceive q in place of dropping c.
      estimator_steps: updates of q in a step.
      estimator_hidden: units of each of its hidden layers.
      estimator_learning_rate: of its Adam.
      conditional: decode v together with c; otherwise plain autoencoders of each view.
      best_view: whose v goes into the embedding.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if estimator_steps < 1:
        raise ValueError(f'estimator_steps: expected at least 1, got {estimator_steps}')
    encoder, decoder = make_networks(**network, axis_name=axis_name)
    consistency = ConsistencyAutoencoder(encoder, decoder, consistent_size)
    specific = ViewSpecificAutoencoder(encoder, decoder, specific_size)
    estimator = ConditionalGaussian(consistent_size, estimator_hidden)
    estimator_optimizer = optax.adam(estimator_learning_rate)

    def consistent(params, extra, views):
        variables = {'params': params['consistency'], **extra['consistency']}
        return consistency.apply(variables, views, method='encode')[0]

    def known(c):
        return c if conditional else c[:, :0]

    def init_consistency(key, batch):
        params, extra = init_model(consistency, key, to_float(batch['views']))
        return {'consistency': params}, {'consistency': extra}

    def predict_views(params, extra, batch, key):
        views = to_float(batch['views'])
        b, v, h, w, c = views.shape
        n = num_patches((h, w), patch_size)

        def random(key):
            mask_key, noise_key = jax.random.split(key)
            uniform = jax.random.uniform(mask_key, (v, n))
            return uniform, jax.random.normal(noise_key, (consistent_size,))

        uniform, noise = jax.vmap(random)(devices.example_keys(key, b, axis_name))
        images, uniform = views.reshape(b * v, h, w, c), uniform.reshape(b * v, n)
        masked = mask_patches(images, uniform, patch_size=patch_size, ratio=mask_ratio)
        variables = {'params': params['consistency'], **extra['consistency']}
        (predicted, *code), statistics = consistency.apply(
            variables, masked.reshape(views.shape), noise, True, mutable=['batch_stats']
        )
        value = masked_cross_view_prediction(
            views, predicted, *code, kl_weight=kl_weight, axis_name=axis_name
        )
        metrics = {'kl': gaussian_kl(*code, axis_name=axis_name)}
        return value, ({'consistency': statistics}, metrics)

    def consistency_outputs(params, extra, batch):
        c = consistent(params, extra, to_float(batch['views']))
        return {'consistent': c, 'embedding': c}

    def init_disentangle(key, batch):
        views = to_float(batch['views'])
        b, v = views.shape[:2]
        if not 0 <= best_view < v:
            raise ValueError(f'best_view: expected 0 to {v - 1}, got {best_view}')
        keys = jax.random.split(key, 3)
        first = dict(consistency.init(keys[0], views, True, method='encode'))
        c, noise = known(jnp.zeros((b, consistent_size))), jnp.zeros((b, specific_size))
        start = jax.vmap(lambda key, images: specific.init(key, images, c, noise, True))
        own = dict(start(jax.random.split(keys[1], v), jnp.moveaxis(views, 1, 0)))
        q = jax.vmap(lambda key: estimator.init(key, noise))(jax.random.split(keys[2], v))
        params = {'consistency': first.pop('params'), 'specific': own.pop('params')}
        extra = {'consistency': first, 'specific': own, 'estimator': q}
        return params, {**extra, 'estimator_optimizer': estimator_optimizer.init(q)}

    def improve_estimator(q, state, codes, c):
        """`estimator_steps` updates of each view's q, and its mean likelihood term before them."""

        def objective(q):
            each = jax.vmap(
                lambda q, v: gaussian_nll(*estimator.apply(q, v), c, axis_name=axis_name)
            )(q, codes)
            return jnp.sum(each)

        def update(carry, _):
            q, state = carry
            value, grads = jax.value_and_grad(objective)(q)
            if axis_name is not None:
                grads = jax.lax.pmean(grads, axis_name)
            updates, state = estimator_optimizer.update(grads, state, q)
            return (optax.apply_updates(q, updates), state), value

        (q, state), values = jax.lax.scan(update, (q, state), length=estimator_steps)
        return q, state, values[0] / len(codes)

    def disentangle(params, extra, batch, key):
        views = to_float(batch['views'])
        b, v = views.shape[:2]
        c = jax.lax.stop_gradient(consistent(params, extra, views))
        keys = devices.example_keys(key, b, axis_name)
        noise = jax.vmap(lambda key: jax.random.normal(key, (v, specific_size)))(keys)

        def autoencode(params, statistics, images, noise):
            (decoded, code, *gaussian), statistics = specific.apply(
                {'params': params, **statistics}, images, known(c), noise, True,
                mutable=['batch_stats'],
            )  # fmt: skip
            error = squared_error(images, decoded, axis_name=axis_name)
            return (error, gaussian_kl(*gaussian, axis_name=axis_name), code), statistics

        (error, kl, codes), statistics = jax.vmap(autoencode, in_axes=(0, 0, 1, 1))(
            params['specific'], extra['specific'], views, noise
        )
        target = standardized(c, axis_name)
        q, state, nll = improve_estimator(
            extra['estimator'], extra['estimator_optimizer'], jax.lax.stop_gradient(codes), target
        )
        bound = jax.vmap(lambda q, v: club(*estimator.apply(q, v), target, axis_name=axis_name))
        bounds = bound(q, codes)
        value = jnp.sum(error + kl_weight * kl + bound_weight * bounds)
        metrics = {'reconstruction': error, 'kl': kl, 'bound': bounds}
        metrics = {name: jnp.mean(each) for name, each in metrics.items()}
        extra = {**extra, 'specific': statistics, 'estimator': q, 'estimator_optimizer': state}
        return value, (extra, {**metrics, 'estimator_nll': nll})

    def disentangle_outputs(params, extra, batch):
        views = to_float(batch['views'])
        c = consistent(params, extra, views)

        def code(params, statistics, images):
            return specific.apply({'params': params, **statistics}, images, method='encode')

        mean, log_variance = jax.vmap(code, in_axes=(0, 0, 1))(
            params['specific'], extra['specific'], views
        )
        base = jax.random.key(0)
        keys = jax.vmap(lambda index: jax.random.fold_in(base, index))(batch['index'])
        noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[::2]), out_axes=1)(keys)
        codes = mean + jnp.exp(0.5 * log_variance) * noise
        named = {f'specific_{i}': code for i, code in enumerate(codes)}
        both = jnp.concatenate([c, codes[best_view]], axis=-1)
        return {'consistent': c, **named, 'embedding': both}

    if stage == 'consistency':
        return Method(init_consistency, predict_views, consistency_outputs)
    return Method(init_disentangle, disentangle, disentangle_outputs)


def standardized(values: jax.Array, axis_name: str | None) -> jax.Array:
    """Columns with mean 0 and variance 1 over the rows of all devices; constant ones 0."""
    apart = values - devices.mean(values, axis_name)[None]
    variance = devices.mean(jnp.square(apart), axis_name)
    varies = variance > 0
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return apart * scale[None]
