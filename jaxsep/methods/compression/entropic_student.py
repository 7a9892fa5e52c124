"""Supervised Compression for Resource-Constrained Edge Computing Systems (Matsubara et al., 2022).

A small encoder on the device turns an image into rounded latents with a learnt density, which an
entropy coder sends in few bits; a decoder on the server makes of them what a large network would
have after its first stage, and the network goes on from there. Three stages:

* `teacher`: the network, by cross-entropy. It is frozen from then on.
* `imitate`: encoder, density and decoder so that the maps of all four stages are the teacher's,
  the later ones by the teacher's own layers: squared errors + beta bits. No labels.
* `finetune`: decoder and later layers by labels and the teacher's logits, the encoder frozen.
  Another `label` with alpha=1 gives the same encoder a second tail.

Baselines: `input_codec` compresses the image itself (squared error + beta bits) and hands the result
to the teacher; `end_to_end` trains encoder and network by cross-entropy + beta bits, from scratch;
num_bits=8 sends the latents of `imitate` with 8 bits each.

https://arxiv.org/abs/2108.11898, https://github.com/yoshitomo-matsubara/supervised-compression. The
original sums its losses over the batch, here they are means over the batch: squared errors and bits
keep their ratio, and Adam takes the same steps, but for the loss of the quantiles, which is added as it
is and has no gradient in common with the rest. beta is kept in `extra`: stages that differ in it
alone are one program for the compiler. Teacher and frozen layers are in evaluation mode in
`imitate`. As in the original, `finetune` decodes plainly rounded latents, and the coder in the end
rounds around the medians.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxsep.algorithms.range_coder import frequencies
from jaxsep.data.augment import make_augment, to_float
from jaxsep.losses.cross_entropy import cross_entropy
from jaxsep.losses.distillation import knowledge_distillation, squared_errors
from jaxsep.method import Method
from jaxsep.models import entropic_student as models
from jaxsep.models.blocks.entropy import rounding_noise
from jaxsep.models.pretrained import efficientnet_lite0
from jaxsep.ops import devices

STAGES = ('teacher', 'imitate', 'finetune', 'input_codec', 'end_to_end')
WEIGHTED = ('imitate', 'input_codec', 'end_to_end')  # stages that weigh bits
ROUNDINGS = ('plain', 'median')


def make(
    *,
    num_classes: int,
    stage: str = 'imitate',
    beta: float = 0.16,
    channels: int = 24,
    num_bits: int = 0,
    network: Mapping = {},  # noqa: B006
    pretrained: bool = False,
    alpha: float = 0.5,
    temperature: float = 1.0,
    rounding: str = 'plain',
    augment: Mapping = {},  # noqa: B006
    coded: bool = False,
    radius: int = 127,
    label: str = 'label',
    axis_name: str | None = None,
) -> Method:
    """One stage of the entropic student, or of a baseline.

    Outputs `logits`; `embedding`, the mean over space of the last map; but for the teacher `bits`
    [b], estimated by the density of the latents; and where `coded`, for the evaluation `rate`,
    `symbols` int32 [b, i, j, c] and `tables` int32 [b, c, 2 radius + 2], the same in every row.

    Args:
      num_classes: fact of the label column.
      stage: teacher, imitate, finetune, input_codec or end_to_end.
      beta: weight of the bits; 0.01 to 2.56 in the paper, of latents of 24 channels.
      channels: of the latents.
      num_bits: 0, or how many each latent is sent with, without density and entropy coder.
      network: width, blocks, bottleneck of `jaxsep.models.entropic_student.StagedNetwork`,
        ResNet-50 if empty; or dict(name='efficientnet_lite0').
      pretrained: the teacher starts with the weights of ImageNet, but for its last layer; for
        EfficientNet-Lite0.
      alpha, temperature: of `jaxsep.losses.distillation.knowledge_distillation`; alpha=1 where
        the teacher knows nothing of the label.
      rounding: of the latents in finetune: plain, as in the original, or median, as it is
        sent in the end.
      augment: recipe of `jaxsep.data.augment.make_augment`; none if empty.
      coded: give out what the coder needs.
      radius: larger symbols escape the tables, see `jaxsep.algorithms.range_coder.encode`.
      label: the column of the classes.
    """
    if stage not in STAGES:
        raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
    if rounding not in ROUNDINGS:
        raise ValueError(f'rounding: expected one of {ROUNDINGS}, got {rounding!r}')
    if beta < 0:
        raise ValueError(f'beta: expected 0 or more, got {beta}')
    if channels < 1 or radius < 1:
        raise ValueError(f'channels, radius: expected at least 1, got {channels} and {radius}')
    if not 0 <= num_bits <= 16:
        raise ValueError(f'num_bits: expected 0 to 16, got {num_bits}')
    if coded and (num_bits or stage == 'teacher'):
        raise ValueError(f'coded: expected a density, got {stage=} with {num_bits=}')
    if not 0 <= alpha <= 1 or not temperature > 0:
        raise ValueError(
            'alpha, temperature: expected a share and a positive number, '
            f'got {alpha} and {temperature}'
        )
    if pretrained and network.get('name') != 'efficientnet_lite0':
        raise ValueError(f"pretrained: expected network.name 'efficientnet_lite0', got {network}")
    net = models.make_network(num_classes, axis_name, **network)
    change = make_augment(augment) if augment else None

    def bottleneck(image):
        if stage == 'input_codec':
            decoder = models.ImageDecoder(image.shape[3], channels, image.shape[1:3])
        else:
            decoder = models.FeatureDecoder(net.first_channels)
        return models.Bottleneck(channels, decoder, num_bits)

    def images_of(batch, key):
        """The images of a training batch, and one key for the noise of each."""
        keys = devices.example_keys(key, len(batch['image']), axis_name)
        if change is None:
            return to_float(jnp.asarray(batch['image'])), keys
        keys, others = jnp.split(jax.vmap(lambda k: jax.random.split(k))(keys), 2, axis=1)
        return jax.vmap(change)(others[:, 0], to_float(jnp.asarray(batch['image']))), keys[:, 0]

    def noisy(params, image, keys):
        """What a training bottleneck decodes, the bits, and the loss of the quantiles."""
        noise = rounding_noise(keys, models.latent_shape(image.shape[1:], channels))
        layer, variables = bottleneck(image), {'params': params['bottleneck']}
        decoded, bits = layer.apply(variables, image, noise)
        return decoded, bits, layer.apply(variables, method='auxiliary_loss')

    def whole(params, extra, image):
        """Maps and logits of the frozen teacher."""
        variables = jax.lax.stop_gradient({'params': params['teacher'], **extra['teacher']})
        return net.apply(variables, image)

    def init(key, batch):
        for name in ('image', label):
            if name not in batch:
                raise ValueError(f'label: no column {name!r}; there are {sorted(batch)}')
        image = to_float(jnp.asarray(batch['image']))
        network_key, layer_key = jax.random.split(key)
        stats = dict(net.init(network_key, image, train=True))
        weights, params, extra = stats.pop('params'), {}, {}
        if stage != 'end_to_end':
            params['teacher'], extra['teacher'] = weights, stats
        if stage not in ('teacher', 'input_codec'):
            params['tail'], extra['tail'] = tail_of(net, weights, stats)
        if stage in WEIGHTED:
            extra['beta'] = jnp.float32(beta)
        if stage != 'teacher':
            noise = jnp.zeros((1, *models.latent_shape(image.shape[1:], channels)))
            params['bottleneck'] = bottleneck(image).init(layer_key, image[:1], noise)['params']
        return params, extra

    def begin(params, extra):
        """The weight is this stage's; imitation runs on the teacher's later stages."""
        if stage == 'teacher' and pretrained:
            params, extra = from_imagenet(params, extra)
        if stage in WEIGHTED:
            extra = extra | {'beta': jnp.float32(beta)}
        if stage != 'imitate':
            return params, extra
        tail, stats = tail_of(net, params['teacher'], extra['teacher'])
        return params | {'tail': tail}, extra | {'tail': stats}

    def learn_teacher(params, extra, batch, key):
        image, _ = images_of(batch, key)
        variables = {'params': params['teacher'], **extra['teacher']}
        (_, logits), stats = net.apply(variables, image, train=True, mutable=['batch_stats'])
        value = cross_entropy(logits, jnp.asarray(batch[label]), axis_name=axis_name)
        return value, (extra | {'teacher': stats}, {})

    def imitate(params, extra, batch, key):
        image, keys = images_of(batch, key)
        decoded, bits, auxiliary = noisy(params, image, keys)
        tail = jax.lax.stop_gradient({'params': params['tail'], **extra['tail']})
        student, _ = net.apply(tail, decoded, method='tail')
        errors = squared_errors(student, whole(params, extra, image)[0])
        return rate_distortion(errors, bits, auxiliary, extra)

    def learn_codec(params, extra, batch, key):
        image, keys = images_of(batch, key)
        decoded, bits, auxiliary = noisy(params, image, keys)
        return rate_distortion(squared_errors([decoded], [image]), bits, auxiliary, extra)

    def rate_distortion(errors, bits, auxiliary, extra):
        error, rate = devices.mean(errors, axis_name), devices.mean(bits, axis_name)
        metrics = {'squared_error': error, 'bits': rate, 'quantiles': auxiliary}
        return error + extra['beta'] * rate + auxiliary, (extra, metrics)

    def finetune(params, extra, batch, key):
        image, _ = images_of(batch, key)
        layer = bottleneck(image)
        sent = layer.apply(
            {'params': params['bottleneck']}, image, rounding == 'median', method='send'
        )
        tail = {'params': params['tail'], **extra['tail']}
        (_, logits), stats = net.apply(
            tail, sent.decoded, train=True, method='tail', mutable=['batch_stats']
        )
        value = knowledge_distillation(
            logits, whole(params, extra, image)[1], jnp.asarray(batch[label]),
            alpha=alpha, temperature=temperature, axis_name=axis_name,
        )  # fmt: skip
        return value, (extra | {'tail': stats}, {'bits': devices.mean(sent.bits, axis_name)})

    def end_to_end(params, extra, batch, key):
        image, keys = images_of(batch, key)
        decoded, bits, auxiliary = noisy(params, image, keys)
        tail = {'params': params['tail'], **extra['tail']}
        (_, logits), stats = net.apply(
            tail, decoded, train=True, method='tail', mutable=['batch_stats']
        )
        error = cross_entropy(logits, jnp.asarray(batch[label]), axis_name=axis_name)
        rate = devices.mean(bits, axis_name)
        metrics = {'cross_entropy': error, 'bits': rate, 'quantiles': auxiliary}
        value = error + extra['beta'] * rate + auxiliary
        return value, (extra | {'tail': stats}, metrics)

    def outputs(params, extra, batch):
        image = to_float(jnp.asarray(batch['image']))
        if stage == 'teacher':
            maps, logits = whole(params, extra, image)
            return named(maps, logits)
        layer, variables = bottleneck(image), {'params': params['bottleneck']}
        sent = layer.apply(variables, image, method='send')
        if stage == 'input_codec':
            maps, logits = whole(params, extra, sent.decoded)
        else:
            tail = {'params': params['tail'], **extra['tail']}
            maps, logits = net.apply(tail, sent.decoded, method='tail')
        found = named(maps, logits) | {'bits': sent.bits}
        if coded:
            tables = frequencies(layer.apply(variables, radius, method='symbol_likelihoods'))
            found['symbols'] = sent.symbols
            found['tables'] = jnp.tile(tables[None], (len(image), 1, 1))
        return found

    losses = (learn_teacher, imitate, finetune, learn_codec, end_to_end)
    return Method(init, losses[STAGES.index(stage)], outputs, begin=begin)


def named(maps, logits):
    """The outputs that every stage has."""
    return {'logits': logits, 'embedding': jnp.mean(maps[-1], axis=(1, 2))}


def tail_of(net, params, extra):
    """Of the parameters and the batch statistics of a network, those after the first stage."""
    return net.later(params), {'batch_stats': net.later(extra['batch_stats'])}


def from_imagenet(params, extra):
    """The teacher with the weights and statistics of ImageNet; its last layer stays."""
    trained = jax.tree.map(jnp.asarray, efficientnet_lite0.trained_variables())
    own = params['teacher']['network']
    weights = {**trained['params'], 'logits': own['logits']}
    statistics = {'batch_stats': {'network': trained['batch_stats']}}
    teacher = {'teacher': {'network': weights}}
    return {**params, **teacher}, {**extra, 'teacher': {**extra['teacher'], **statistics}}
