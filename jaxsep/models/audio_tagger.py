"""A small network that says which sounds a clip holds, and when, learnt from tags of whole clips."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsep.models.blocks.conv import Conv
from jaxsep.ops.extremes import reduce_max
from jaxsep.ops.geometry import matmul
from jaxsep.ops.mel import mel_filters
from jaxsep.ops.spectral_masks import squared_magnitude
from jaxsep.ops.stft import stft


class Tags(NamedTuple):
    """What a tagger hears; m frames, one every hop.

    Attributes:
      frames: logits of each class in each frame, [b, m, k].
      logits: of the whole clip, the largest of its frames, [b, k].
      embedding: mean and largest of the frames' features, added up, [b, d].
    """

    frames: Float[Array, 'b m k']
    logits: Float[Array, 'b k']
    embedding: Float[Array, 'b d']


class AudioTagger(nn.Module):
    """Convolutions on a mel spectrogram, a classifier on every frame, and the largest of each class.

    The maximum over time makes tags of clips enough to learn from: one frame has to be right, and
    none may be wrong. Time is never pooled, so frames stay where they are.

    Attributes:
      num_classes: k.
      sample_rate: of the waveforms.
      n_fft, hop: of the spectrogram.
      bands: of the mel scale; halved by each layer but the last.
      widths: channels of the 3 x 3 convolutions.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    num_classes: int
    sample_rate: int
    n_fft: int = 256
    hop: int = 80
    bands: int = 32
    widths: Sequence[int] = (16, 32, 32)
    axis_name: str | None = None

    @nn.compact
    def __call__(self, waveform: Float[Array, 'b t'], train: bool = False) -> Tags:
        spectrum = stft(waveform, n_fft=self.n_fft, hop=self.hop)
        spectrum = spectrum[:, : waveform.shape[1] // self.hop]
        filters = jnp.asarray(mel_filters(self.sample_rate, self.n_fft, self.bands), jnp.float32)
        power = matmul(squared_magnitude(spectrum), filters)
        x = self.norm(train)(jnp.log(jnp.maximum(power, 1e-4)))[..., None]
        for place, width in enumerate(self.widths):
            x = Conv(width, (3, 3), use_bias=False)(x)
            x = nn.relu(self.norm(train)(x))
            if place < len(self.widths) - 1:
                x = nn.avg_pool(x, (1, 2), (1, 2))
        features = nn.relu(nn.Dense(self.widths[-1])(jnp.mean(x, axis=2)))
        frames = nn.Dense(self.num_classes)(features)
        embedding = jnp.mean(features, axis=1) + reduce_max(features, axis=1)
        return Tags(frames, reduce_max(frames, axis=1), embedding)

    def norm(self, train: bool) -> nn.Module:
        """A batch normalisation of the last axis."""
        return nn.BatchNorm(not train, axis_name=self.axis_name, momentum=0.9)
