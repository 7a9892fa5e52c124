import math

import numpy as np
import pytest

from jaxsep.ops import anchors


def test_anchors_of_all_levels_agree_with_the_golden(golden):
    g = golden('shared_dense_detection')
    for level, stride in enumerate(g['anchors/strides']):
        found = anchors.anchors(
            tuple(int(x) for x in g['anchors/feat_hw'][level]),
            int(stride),
            ratios=tuple(g['anchors/ratios']),
            base_scale=int(g['anchors/octave_base_scale']),
            scales_per_octave=int(g['anchors/scales_per_octave']),
        )
        np.testing.assert_allclose(found, g[f'anchors/l{level}'], rtol=1e-5, atol=1e-4)


def test_anchors_are_those_of_the_definition():
    found = anchors.anchors((2, 3), 4, ratios=(0.5, 2.0), base_scale=3.0, scales_per_octave=2)
    expected = []
    for i in range(2):
        for j in range(3):
            for ratio in (0.5, 2.0):
                for octave in range(2):
                    size = 4 * 3 * 2 ** (octave / 2)
                    h, w = size * math.sqrt(ratio), size / math.sqrt(ratio)
                    expected.append([4 * j - w / 2, 4 * i - h / 2, 4 * j + w / 2, 4 * i + h / 2])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_points_agree_with_the_golden(golden):
    g = golden('shared_dense_detection')
    for level, stride in enumerate(g['fcos_center0/strides']):
        shape = tuple(int(x) for x in g['anchors/feat_hw'][level])
        np.testing.assert_array_equal(
            anchors.points(shape, int(stride)), g[f'fcos_center0/pts{level}']
        )


@pytest.mark.parametrize(
    'options', [{'ratios': ()}, {'ratios': (0.0,)}, {'base_scale': 0}, {'scales_per_octave': 0}]
)
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match='scales_per_octave: expected positive numbers, got'):
        anchors.anchors((1, 1), 8, **options)
