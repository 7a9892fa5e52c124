"""MP-SAE: Extracting Sparse Representations with Matching Pursuit (Costa et al., 2025).

A sparse autoencoder whose encoder is matching pursuit in its own dictionary: each step takes the
atom most correlated with what is left, so that a feature can depend on others that were found
before it (hierarchies), and the number of steps can be changed after training. The encoders it is
compared with, which read all features at once, are here too: ReLU with an L1 penalty, TopK,
BatchTopK, JumpReLU.

https://arxiv.org/abs/2506.03093. The number of steps is fixed, as in the library of one of the
authors (https://github.com/KempnerInstitute/overcomplete); the encoder released with the paper,
which forbids negative codes and stops at a tolerance, is `encoder='mp_threshold'`. As in the
library the reconstruction has no bias and the loss no penalty. It trains on activations as they
are; centring and scaling them (`standardize`) is ours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.losses.sparse import expected_l0, l1, mean_squared_error
from jaxsep.method import Method
from jaxsep.metrics.dictionaries import coherence, coherence_of_used
from jaxsep.models.sparse_autoencoders import LINEAR, PURSUITS, SparseAutoencoder
from jaxsep.ops import devices
from jaxsep.ops.geometry import sqrt
from jaxsep.ops.matching_pursuit import unit_dictionary
from jaxsep.ops.rows import feature_rows


class Moments(NamedTuple):
    """What is known of the rows seen so far: the mean over batches of their first two moments.

    Attributes:
      batches: how many; 0 leaves rows as they are.
      mean: [d].
      square: [], of all entries.
    """

    batches: Float[Array, '']
    mean: Float[Array, 'd']
    square: Float[Array, '']


def make(
    *,
    num_atoms: int,
    num_active: int,
    encoder: str = 'mp',
    steps: tuple[int, ...] = (),
    tolerance: float = 0.1,
    dropout: float = 0.0,
    l1_weight: float = 0.0,
    l0_weight: float = 0.0,
    bandwidth: float = 1e-3,
    first_threshold: float = 1e-3,
    momentum: float = 0.9,
    decoder_bias: bool = False,
    standardize: bool = True,
    input: str = '',
    axis_name: str | None = None,
) -> Method:
    """A sparse autoencoder of `embedding`, `features` or flattened `image`, as a Method.

    Outputs, one row per example: `embedding` (the codes, [b, m]), `target` (the row as the
    autoencoder saw it), `reconstruction` of the target, `squared_errors` [b, s] (||target -
    reconstruction||^2 with each number of codes in `steps`), `used_coherence` (largest |cos|
    between two atoms that the row uses) and `coherence` (of the whole dictionary, the same in
    every row).

    Args:
      num_atoms: m; the library's examples have 5 to 10 per input dimension.
      num_active: k, steps of the pursuit or codes that TopK keeps; see
        `jaxsep.models.sparse_autoencoders.SparseAutoencoder`.
      encoder: mp, mp_threshold, omp, relu, topk, batch_topk or jump_relu.
      steps: other numbers of codes that `outputs` tries: steps for pursuits, the k largest codes
        for the rest.
      tolerance: of mp_threshold, in the units of `target`.
      dropout: share of the atoms that a training batch goes without (pursuits; the library's
        option, off there).
      l1_weight: of the mean over rows of sum |z|, for relu.
      l0_weight, bandwidth, first_threshold: of jump_relu; the weight of the mean number of
        active codes, Rajamanoharan et al. (2024).
      momentum: of the running threshold of batch_topk; the library's.
      decoder_bias: learn a bias, subtracted before encoding and added after decoding.
      standardize: subtract the mean of the training rows seen so far and divide by one scale, so
        that an entry has variance 1 on average; ours.
      input: the column that is encoded; '' for the first there is of the three.
    """
    for name, value in (('num_atoms', num_atoms), ('num_active', num_active)):
        if value < 1:
            raise ValueError(f'{name}: expected at least 1, got {value}')
    if encoder not in PURSUITS + LINEAR:
        raise ValueError(f'encoder: expected one of {PURSUITS + LINEAR}, got {encoder!r}')
    if any(k < 1 for k in steps):
        raise ValueError(f'steps: expected numbers of codes from 1, got {steps}')
    if not 0 <= dropout < 1:
        raise ValueError(f'dropout: expected 0 <= dropout < 1, got {dropout}')
    if min(l1_weight, l0_weight) < 0:
        raise ValueError(f'l1_weight, l0_weight: not negative, got {l1_weight}, {l0_weight}')
    model = SparseAutoencoder(
        num_atoms,
        encoder,
        num_active,
        tolerance=tolerance,
        bandwidth=bandwidth,
        first_threshold=first_threshold,
        decoder_bias=decoder_bias,
        dropout=dropout,
        axis_name=axis_name,
    )

    def init(key, batch):
        x = feature_rows(batch, input)
        extra = {}
        if standardize:
            nothing = jnp.zeros((), jnp.float32)
            extra['moments'] = Moments(nothing, jnp.zeros(x.shape[1], jnp.float32), nothing + 0.0)
        if encoder == 'batch_topk':
            extra['threshold'] = jnp.full((), -1.0, jnp.float32)  # no batch was seen yet
        return model.init(key, x)['params'], extra

    def loss(params, extra, batch, key):
        x = feature_rows(batch, input)
        extra = dict(extra)
        if standardize:
            extra['moments'] = observe(extra['moments'], x, axis_name)
            x = standardized(x, extra['moments'])
        found = model.apply({'params': params}, x, train=True, rngs={'dropout': key})
        error = mean_squared_error(x, found.reconstruction, axis_name=axis_name)
        active = devices.mean(jnp.sum(found.codes != 0, axis=1).astype(jnp.float32), axis_name)
        metrics = {'error': error, 'active': active}
        value = error
        if l1_weight:
            metrics['l1'] = l1(found.codes, axis_name=axis_name)
            value = value + l1_weight * metrics['l1']
        if encoder == 'jump_relu':
            count = expected_l0(found.before, found.threshold, bandwidth, axis_name=axis_name)
            value = value + l0_weight * count
        elif encoder == 'batch_topk':
            before, now = extra['threshold'], jax.lax.stop_gradient(found.threshold)
            mixed = momentum * before + (1.0 - momentum) * now
            extra['threshold'] = jnp.where(before < 0, now, mixed)
        return value, (extra, metrics)

    def outputs(params, extra, batch):
        x = feature_rows(batch, input)
        if standardize:
            x = standardized(x, extra['moments'])
        found = model.apply({'params': params}, x, threshold=extra.get('threshold'))
        dictionary = params['dictionary']
        values, indices = jax.lax.top_k(jnp.abs(found.codes), min(num_active, num_atoms))
        tried = [model.apply({'params': params}, x, num_active=k).reconstruction for k in steps]
        errors = [jnp.sum(jnp.square(x - each), axis=1) for each in tried]
        errors = jnp.stack(errors, axis=1) if steps else jnp.zeros((x.shape[0], 0), x.dtype)
        return {
            'embedding': found.codes,
            'target': x,
            'reconstruction': found.reconstruction,
            'squared_errors': errors,
            'used_coherence': coherence_of_used(values, dictionary[indices]),
            'coherence': jnp.full(x.shape[0], coherence(dictionary)),
        }

    def constrain(params):
        return {**params, 'dictionary': unit_dictionary(params['dictionary'])}

    return Method(init, loss, outputs, constrain=constrain)


def observe(moments: Moments, x: Float[Array, 'b d'], axis_name: str | None = None) -> Moments:
    """The moments with one more batch: each batch weighs the same."""
    batches = moments.batches + 1.0
    mean = devices.mean(x, axis_name)
    square = devices.mean(jnp.mean(jnp.square(x), axis=1), axis_name)
    return Moments(
        batches,
        moments.mean + (mean - moments.mean) / batches,
        moments.square + (square - moments.square) / batches,
    )


def standardized(x: Float[Array, 'b d'], moments: Moments) -> Float[Array, 'b d']:
    """(x - mean) / scale, scale^2 the variance averaged over columns; x before the first batch."""
    scale = sqrt(moments.square - jnp.mean(jnp.square(moments.mean)))
    return (x - moments.mean[None, :]) / jnp.where(scale > 0, scale, 1.0)
