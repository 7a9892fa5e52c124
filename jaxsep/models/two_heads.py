"""One network with a head for features and a head for clusters, both onto the sphere."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jaxsep.models.encoders import Mlp
from jaxsep.ops.geometry import l2_normalize

FEATURES, CLUSTERS = 'feature_head', 'cluster_head'


class TwoHeads(nn.Module):
    """An encoder, layers that both heads share, and two linear heads of unit length.

    Attributes:
      encoder: (x, train) -> [b, e]; a ReLU follows.
      size: outputs of each head.
      shared: widths of layers between encoder and heads, each followed by a ReLU, all but the
        last batch-normalised. (width, width) on rows of features is the network of CPP.
      axis_name: the pmap axis over which batch statistics are averaged, if any.
    """

    encoder: nn.Module
    size: int
    shared: Sequence[int] = ()
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False
    ) -> tuple[Float[Array, 'b d'], Float[Array, 'b d']]:
        """Features and cluster features."""
        x = nn.relu(self.encoder(x, train))
        if self.shared:
            x = nn.relu(Mlp(self.shared, axis_name=self.axis_name, name='shared_layers')(x, train))
        features, clusters = (nn.Dense(self.size, name=name)(x) for name in (FEATURES, CLUSTERS))
        return l2_normalize(features), l2_normalize(clusters)


def copy_feature_head(params: Mapping) -> dict:
    """The parameters with the cluster head equal to the feature head."""
    return {**params, CLUSTERS: jax.tree.map(lambda leaf: leaf.copy(), params[FEATURES])}
