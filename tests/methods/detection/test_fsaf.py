import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.data.augment import to_float
from jaxsep.losses.dense_detection import retina_losses
from jaxsep.losses.fsaf import fsaf_loss
from jaxsep.methods.detection import fsaf
from jaxsep.models.fpn import FeaturePyramid, make_maps
from jaxsep.models.retina import Branch, RetinaHead, RetinaNet
from jaxsep.ops import anchors
from jaxsep.ops import boxes as box_ops
from jaxsep.ops.box_assignment import center_region_assign, max_iou_assign, pyramid_levels

RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8),
    'true_boxes': np.float32(
        [
            [[2, 3, 12, 11], [14, 6, 31, 30]],
            [[0, 0, 30, 31], [8, 8, 15, 16]],
            [[5, 20, 13, 29], [0, 0, 0, 0]],
            [[0, 0, 0, 0], [0, 0, 0, 0]],
        ]
    ),
    'true_classes': np.int32([[0, 1], [2, 1], [0, -1], [-1, -1]]),
}
OPTIONS = dict(
    num_classes=3,
    backbone=dict(name='conv', widths=(4, 8, 8), depth=1, levels=2),
    num_levels=3,
    width=8,
    depth=1,
    groups=4,
    deviation=0.3,  # predictions differ from place to place already before training
    base_scale=2.0,
    heuristic=(1, 16.0),
    flip_probability=0.0,
    max_detections=6,
    candidates=20,
    score_threshold=0.001,
)
STRIDES, SHAPES = (4, 8, 16), ((8, 8), (4, 4), (2, 2))


@functools.lru_cache
def run(keys=(1,), **changed):
    """The parameters, losses and metrics of each key, outputs, and what the net predicts."""
    method = fsaf.make(**OPTIONS | changed)

    @jax.jit
    def all_of_it(batch):
        params, extra = method.init(jax.random.key(0), batch)
        losses = [method.loss(params, extra, batch, jax.random.key(k)) for k in keys]
        found = [(value, metrics) for value, (_, metrics) in losses]
        return params, extra, found, method.outputs(params, extra, batch)

    return jax.device_get(all_of_it(BATCH))


@functools.partial(jax.jit, static_argnums=(0, 3))
def predictions(branch, params, extra, train):
    """What the net itself says, all levels one after the other."""
    kinds = dict(anchors=Branch('anchors', 9), free=Branch('free', 1, box_bias=0.25))
    names = ('anchors', 'free') if len(branch) > 1 else branch
    head = RetinaHead(3, tuple(kinds[n] for n in names), 8, 1, 0.3, groups=4)
    net = RetinaNet(make_maps(**OPTIONS['backbone']), FeaturePyramid(8, 3), head)
    (_, found), _ = net.apply(
        {'params': params, **extra}, to_float(jnp.asarray(BATCH['image'])), train,
        mutable=['batch_stats'],
    )  # fmt: skip
    return {n: [jnp.concatenate(x, 1) for x in zip(*found[n], strict=True)] for n in names}


def priors(**options):
    return [
        anchors.anchors(shape, stride, **options)
        for shape, stride in zip(SHAPES, STRIDES, strict=True)
    ]


CELLS = priors(ratios=(1.0,), base_scale=1.0, scales_per_octave=1)
ANCHORS = priors(base_scale=2.0)


@jax.jit
def free_loss(logits, numbers, levels=None):
    """FSAF's loss from the net's predictions, part by part."""
    cells = np.concatenate(CELLS)
    boxes, classes = BATCH['true_boxes'], BATCH['true_classes']
    assigned, shadowed = jax.vmap(lambda b, c: center_region_assign(cells, b, c, 3))(boxes, classes)
    predicted = box_ops.decode_tblr(cells[None], jnp.maximum(numbers, 1e-4))
    sizes = [len(c) for c in CELLS]
    return fsaf_loss(logits, predicted, assigned, shadowed, boxes, classes, sizes, levels=levels)


@jax.jit
def anchor_loss(logits, deltas):
    boxes, classes, every = BATCH['true_boxes'], BATCH['true_classes'], np.concatenate(ANCHORS)
    assigned = jax.vmap(lambda b, c: max_iou_assign(every, b, c))(boxes, classes)
    losses = retina_losses(logits, deltas, every, assigned, boxes, classes)
    return [jnp.sum(x) / jnp.maximum(jnp.sum(assigned > 0), 1) for x in losses]


def test_online_loss_is_that_of_the_predictions_at_the_best_level():
    params, extra, ((value, metrics), (again, _)), _ = run(keys=(1, 2))
    loss = free_loss(*predictions(('free',), params, extra, True)['free'])
    np.testing.assert_allclose(metrics['class_loss'], jnp.sum(loss.class_loss), rtol=1e-4)
    np.testing.assert_allclose(metrics['box_loss'], jnp.sum(loss.box_loss), rtol=1e-4)
    np.testing.assert_allclose(value, metrics['class_loss'] + metrics['box_loss'], rtol=1e-6)
    by_size = pyramid_levels(BATCH['true_boxes'], 3, level=1, size=16.0)
    real = BATCH['true_classes'] >= 0
    np.testing.assert_array_equal(loss.somewhere, real)
    changed = np.asarray(loss.levels != by_size)[real]
    np.testing.assert_allclose(metrics['level_changed'], changed.mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics['level'], np.asarray(loss.levels)[real].mean(), rtol=1e-6)
    assert again == value  # nothing is drawn


def test_heuristic_learns_at_the_level_of_the_size():
    params, extra, ((value, metrics),), _ = run(level_choice='heuristic')
    levels = pyramid_levels(BATCH['true_boxes'], 3, level=1, size=16.0)
    np.testing.assert_array_equal(levels, [[0, 1], [1, 0], [0, 0], [0, 0]])
    loss = free_loss(*predictions(('free',), params, extra, True)['free'], levels)
    expected = jnp.sum(loss.class_loss) + jnp.sum(loss.box_loss)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert metrics['level_changed'] == 0


def test_random_levels_are_drawn_from_the_key_among_those_with_places():
    *_, losses, _ = run(keys=(1, 2, 3, 1), level_choice='random')
    values = [float(value) for value, _ in losses]
    assert values[0] == values[3] and len(set(values)) > 1
    online = run(keys=(1, 2))[2][0][0]
    heuristic = run(level_choice='heuristic')[2][0][0]
    assert not {float(online), float(heuristic)} & set(values)


def test_anchors_alone_are_retinanet():
    params, extra, ((value, metrics),), _ = run(head='anchors')
    class_loss, box_loss = anchor_loss(*predictions(('anchors',), params, extra, True)['anchors'])
    np.testing.assert_allclose(metrics['class_loss'], class_loss, rtol=1e-4)
    np.testing.assert_allclose(metrics['box_loss'], box_loss, rtol=1e-4)
    assert set(metrics) == {'class_loss', 'box_loss'}
    assert not [name for name in params['head'] if name.startswith('free')]


def test_joint_loss_weighs_the_anchor_free_branch():
    params, extra, ((value, _),), outputs = run(head='joint', free_weight=0.3)
    found = predictions(('anchors', 'free'), params, extra, True)
    loss = free_loss(*found['free'])
    free = jnp.sum(loss.class_loss) + jnp.sum(loss.box_loss)
    np.testing.assert_allclose(value, sum(anchor_loss(*found['anchors'])) + 0.3 * free, rtol=1e-4)
    # Candidates of both branches are pooled: the best score is the best of both.
    found = predictions(('anchors', 'free'), params, extra, False)
    best = [np.max(jax.nn.sigmoid(logits), axis=(1, 2)) for logits, _ in found.values()]
    np.testing.assert_allclose(outputs['scores'][:, 0], np.maximum(*best), rtol=1e-4)


@pytest.mark.parametrize('head', ['anchor_free', 'anchors'])
def test_best_detection_is_the_place_of_the_best_score(head):
    params, extra, _, outputs = run(**({'head': head} if head != 'anchor_free' else {}))
    name = 'free' if head == 'anchor_free' else 'anchors'
    logits, numbers = predictions((name,), params, extra, False)[name]
    assert outputs['boxes'].shape == (4, 6, 4) and outputs['scores'].shape == (4, 6)
    assert outputs['classes'].dtype == np.int32
    assert np.all(np.diff(outputs['scores'], axis=1) <= 0)
    assert outputs['boxes'].min() >= 0 and outputs['boxes'].max() <= 32
    for i in range(4):
        place, kind = np.unravel_index(np.argmax(logits[i]), logits[i].shape)
        if name == 'free':
            at_least = jnp.maximum(numbers[i, place], 1e-4)
            box = box_ops.decode_tblr(np.concatenate(CELLS)[place], at_least, shape=(32, 32))
        else:
            every = np.concatenate(ANCHORS)
            box = box_ops.decode_deltas(every[place], numbers[i, place], shape=(32, 32))
        np.testing.assert_allclose(outputs['boxes'][i, 0], box, rtol=1e-4, atol=1e-3)
        assert outputs['classes'][i, 0] == kind


def test_turned_images_come_with_turned_boxes():
    straight = run()[2][0][0]
    turned = {
        **BATCH,
        'image': BATCH['image'][:, :, ::-1],
        'true_boxes': BATCH['true_boxes'].copy(),
    }
    real = BATCH['true_classes'] >= 0
    for here, there in ((0, 2), (2, 0)):
        turned['true_boxes'][..., here] = np.where(real, 32 - BATCH['true_boxes'][..., there], 0)
    method = fsaf.make(**OPTIONS | dict(flip_probability=1.0))
    params, extra = run()[:2]
    value, _ = jax.jit(method.loss)(params, extra, turned, jax.random.key(5))
    np.testing.assert_allclose(value, straight, rtol=1e-4)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'head': 'fcos'}, "head: expected one of .*, got 'fcos'"),
        ({'level_choice': 'best'}, "level_choice: expected one of .*, got 'best'"),
        ({'extra_levels': 'none'}, "extra_levels: expected one of .*, got 'none'"),
        ({'num_classes': 0}, 'num_classes, width, .*: expected positive numbers, got 0'),
        ({'groups': 3}, 'groups: expected a divisor of the width 8 or 0, got 3'),
        ({'positive_scale': 0.5}, 'positive_scale, negative_scale: .* got 0.5, 0.2'),
        ({'negative_iou': 0.7}, 'negative_iou, positive_iou: .* got 0.7, 0.5'),
        ({'nms_threshold': 2.0}, 'flip_probability, nms_threshold: .* got 0.0, 2.0'),
        ({'heuristic': (1, 0.0)}, r'heuristic: expected .* got \(1, 0.0\)'),
        ({'num_levels': 1}, 'num_levels: expected at least 2, got 1'),
        ({'ratios': ()}, 'ratios, base_scale, .*: expected positive numbers'),
        ({'backbone': {'name': 'vgg'}}, "backbone.name: expected one of .* got 'vgg'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        fsaf.make(**OPTIONS | options)


def test_a_batch_without_boxes_is_named():
    method = fsaf.make(**OPTIONS)
    with pytest.raises(ValueError, match=r"data: no column 'true_boxes'; there are \['image'\]"):
        method.init(jax.random.key(0), {'image': BATCH['image']})
