"""Sparse autoencoders: one dictionary that decodes, and seven ways to find the codes."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.ops import sparse_activations
from jaxsep.ops.geometry import in_float32
from jaxsep.ops.matching_pursuit import (
    decode,
    dictionary_dropout,
    mp_encode,
    mp_encode_threshold,
    omp_encode,
    unit_dictionary,
)

PURSUITS = ('mp', 'mp_threshold', 'omp')
LINEAR = ('relu', 'topk', 'batch_topk', 'jump_relu')


class Coded(NamedTuple):
    """What an autoencoder makes of rows.

    Attributes:
      codes: [b, m], mostly 0.
      reconstruction: [b, d].
      before: [b, m], what the sparse activation was applied to; the codes of a pursuit.
      threshold: [m] of jump_relu, [] of batch_topk, else None.
    """

    codes: Float[Array, 'b m']
    reconstruction: Float[Array, 'b d']
    before: Float[Array, 'b m']
    threshold: Float[Array, '*m'] | None = None


class SparseAutoencoder(nn.Module):
    """Rows -> sparse codes -> rows: xhat = z W (+ b), with a dictionary W of unit-norm atoms.

    Keep the parameter `dictionary` at unit norm after each update (`unit_dictionary`). Pursuits
    have no other parameters; the linear encoders read all codes at once from
    (x - b) E + e, E starting as the transposed dictionary:

      mp            `mp_encode`, num_active steps
      mp_threshold  `mp_encode_threshold`, until the residual is below `tolerance`, at most
                    num_active steps
      omp           `omp_encode`, num_active steps; its codes have no gradient
      relu          max(., 0); sparse by a penalty on the codes
      topk          max(., 0), then the num_active largest of each row
      batch_topk    max(., 0), then the num_active b largest of the batch, or, outside training,
                    those that reach the threshold
      jump_relu     what is above max(., 0) and above a learnt threshold exp(log_threshold)

    Attributes:
      num_atoms: m.
      encoder: one of the above.
      num_active: k; of no effect on relu and jump_relu.
      tolerance: tau of mp_threshold.
      bandwidth: of the pseudo-gradients of jump_relu.
      first_threshold: of jump_relu, at the start.
      decoder_bias: b, subtracted before encoding and added after decoding; else 0.
      dropout: probability with which an atom is left out of a training batch (pursuits).
    """

    num_atoms: int
    encoder: str = 'mp'
    num_active: int = 8
    tolerance: float = 0.1
    bandwidth: float = 1e-3
    first_threshold: float = 1e-3
    decoder_bias: bool = False
    dropout: float = 0.0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'b d'],
        train: bool = False,
        num_active: int | None = None,
        threshold: Float[Array, ''] | None = None,
    ) -> Coded:
        """Codes and reconstruction.

        Args:
          num_active: another k than that of training. For relu, jump_relu and batch_topk: keep
            only the k largest codes of each row.
          threshold: of batch_topk; None takes that of this batch.
        """
        x = in_float32(x)
        shape = self.num_atoms, x.shape[1]

        def unit(key):
            return unit_dictionary(nn.initializers.xavier_uniform()(key, shape))

        dictionary = self.param('dictionary', unit)
        bias = jnp.zeros(shape[1:], x.dtype)
        if self.decoder_bias:
            bias = self.param('decoder_bias', nn.initializers.zeros, shape[1:])
        x = x - bias[None, :]
        if self.encoder in PURSUITS:
            atoms = dictionary
            if train and self.dropout:
                atoms = dictionary_dropout(self.make_rng('dropout'), dictionary, self.dropout)
            k = num_active or self.num_active
            if self.encoder == 'omp':
                codes = omp_encode(x, atoms, k).codes
                return Coded(codes, decode(codes, dictionary) + bias[None, :], codes)
            if self.encoder == 'mp':
                found = mp_encode(x, atoms, k)
            else:
                found, _ = mp_encode_threshold(x, atoms, self.tolerance, max_steps=k)
            # x - residual is z W without the product.
            return Coded(found.codes, x - found.residual + bias[None, :], found.codes)
        kernel = self.param('kernel', lambda _: dictionary.T + 0.0)
        offset = self.param('bias', nn.initializers.zeros, shape[:1])
        before = decode(x, kernel) + offset[None, :]
        codes = nn.relu(before)
        if self.encoder == 'jump_relu':
            start = nn.initializers.constant(jnp.log(self.first_threshold))
            threshold = jnp.exp(self.param('log_threshold', start, shape[:1]))
            codes = sparse_activations.jump_relu(codes, threshold, self.bandwidth)
        elif self.encoder == 'batch_topk' and num_active is None:
            if threshold is None:
                threshold = sparse_activations.largest_of_batch(
                    codes, self.num_active, axis_name=self.axis_name
                )
            codes = sparse_activations.above(codes, threshold)
        elif self.encoder == 'topk':
            num_active = num_active or self.num_active
        if num_active is not None:
            codes = sparse_activations.keep_largest(codes, num_active)
        return Coded(codes, decode(codes, dictionary) + bias[None, :], before, threshold)
