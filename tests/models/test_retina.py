import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.models.fpn import FeaturePyramid, make_maps
from jaxsep.models.retina import Branch, RetinaHead, RetinaNet

NAMES = {'cls_convs': 'class_tower', 'reg_convs': 'box_tower', 'retina_cls': 'anchors_class',
         'retina_reg': 'anchors_box'}  # fmt: skip


def test_head_agrees_with_the_golden_on_every_level(golden):
    g = {k[7:]: v for k, v in golden('shared_dense_detection').items() if k.startswith('retina/')}
    params = {}
    for name, value in g.items():
        if name.startswith('w/'):
            kind, *index, what = name[2:].replace('.conv', '').split('.')
            layer = params.setdefault('_'.join([NAMES[kind], *index]), {})
            kernel = what == 'weight'
            layer['kernel' if kernel else 'bias'] = value.transpose(2, 3, 1, 0) if kernel else value
    maps = [jnp.asarray(g[f'feat{level}'].transpose(0, 2, 3, 1)) for level in range(3)]
    found = RetinaHead(3, width=4, depth=2).apply({'params': params}, maps)['anchors']
    for level, (logits, numbers) in enumerate(found):
        for rows, name, width in ((logits, 'cls', 3), (numbers, 'reg', 4)):
            expected = g[f'{name}{level}'].transpose(0, 2, 3, 1).reshape(2, -1, width)
            np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_branches_share_the_towers_and_start_at_their_biases():
    branches = (Branch('anchors', 6), Branch('free', 1, box_bias=0.25))
    head = RetinaHead(5, branches, width=4, depth=2, groups=2)
    maps = [jnp.zeros((1, 4, 4, 4)), jnp.zeros((1, 2, 2, 4))]
    found, variables = jax.jit(head.init_with_output)(jax.random.key(0), maps)
    params = variables['params']
    towers = {f'{kind}_{what}_{i}' for kind in ('class', 'box') for what in ('tower', 'norm')
              for i in range(2)}  # fmt: skip
    lasts = {f'{name}_{kind}' for name in ('anchors', 'free') for kind in ('class', 'box')}
    assert set(params) == towers | lasts
    assert [x.shape for x, _ in found['anchors']] == [(1, 96, 5), (1, 24, 5)]
    assert [x.shape for _, x in found['free']] == [(1, 16, 4), (1, 4, 4)]
    # Where the maps are zero, only the biases are left.
    for name, bias in (('anchors', 0.0), ('free', 0.25)):
        np.testing.assert_allclose(jax.nn.sigmoid(found[name][0][0]), 0.01, rtol=1e-4)
        np.testing.assert_allclose(found[name][0][1], bias, atol=1e-6)


def test_net_gives_the_shapes_of_its_levels():
    net = RetinaNet(
        make_maps(name='conv', widths=(2, 2, 2), depth=1, levels=2),
        FeaturePyramid(4, 3),
        RetinaHead(2, width=4, depth=1),
    )
    shapes = []

    def start(x):
        (of_levels, found), variables = net.init_with_output(jax.random.key(0), x, True)
        shapes.extend(of_levels)
        return found, variables

    found, variables = jax.eval_shape(start, jnp.zeros((2, 24, 16, 3)))
    assert shapes == [(6, 4), (3, 2), (2, 1)]
    assert [x.shape[1] for x, _ in found['anchors']] == [9 * h * w for h, w in shapes]
    assert set(variables) == {'params', 'batch_stats'}
    assert set(variables['params']) == {'backbone', 'pyramid', 'head'}
