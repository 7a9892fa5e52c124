import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses import fsaf
from jaxsep.ops import anchors
from jaxsep.ops import boxes as box_ops
from jaxsep.ops.box_assignment import center_region_assign

STRIDES = (8, 16, 32)


def places(x):
    """[b, c, h, w] as rows of places."""
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1, x.shape[1])


def maps(rows, like):
    b, c, h, w = like.shape
    return rows.reshape(b, h, w, c).transpose(0, 3, 1, 2)


def case(golden, name):
    """Predictions of each level, objects, priors, and the arrays of the golden."""
    g = {k.removeprefix(f'{name}/'): v for k, v in golden('fsaf').items() if k.startswith(name)}
    count = max(len(g[f'gt_labels{i}']) for i in range(2)) + 1
    boxes, classes = np.zeros((2, count, 4), np.float32), np.full((2, count), -1, np.int32)
    for i in range(2):
        here = len(g[f'gt_labels{i}'])
        boxes[i, :here], classes[i, :here] = g[f'gt_bboxes{i}'], g[f'gt_labels{i}']
    priors = [
        anchors.anchors(g[f'cls{k}'].shape[2:], stride, ratios=(1.0,), base_scale=1.0,
                        scales_per_octave=1)
        for k, stride in enumerate(STRIDES)
    ]  # fmt: skip
    return g, boxes, classes, priors


def run(logits, numbers, priors, boxes, classes, scale=0.2, **options):
    """The loss of levels that stand one after the other."""
    sizes, everywhere = [len(p) for p in priors], np.concatenate(priors)
    assigned, shadowed = jax.vmap(
        lambda b, c: center_region_assign(everywhere, b, c, logits.shape[2], negative_scale=scale)
    )(boxes, classes)
    predicted = box_ops.decode_tblr(everywhere[None], jnp.maximum(numbers, 1e-4))
    return fsaf.fsaf_loss(logits, predicted, assigned, shadowed, boxes, classes, sizes, **options)


@pytest.mark.parametrize('scale', [0.2, 0.5])
def test_loss_and_gradients_of_all_levels_agree_with_the_golden(golden, scale):
    g, boxes, classes, priors = case(golden, f'loss_neg{scale}')
    logits, numbers = (
        np.concatenate([places(g[f'{what}{k}']) for k in range(3)], axis=1)
        for what in ('cls', 'tblr')
    )

    def total(logits, numbers):
        loss = run(logits, numbers, priors, boxes, classes, scale)
        return jnp.sum(loss.class_loss) + jnp.sum(loss.box_loss), loss

    f = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    (value, loss), grads = f(logits, numbers)
    np.testing.assert_allclose(loss.class_loss, g['loss_cls'], rtol=1e-5)
    np.testing.assert_allclose(loss.box_loss, g['loss_bbox'], rtol=1e-5)
    np.testing.assert_allclose(value, g['total'], rtol=1e-5)
    assert loss.positives == g['num_pos']
    for rows, what in zip(grads, ('dcls', 'dtblr'), strict=True):
        of_levels = np.split(np.asarray(rows), np.cumsum([len(p) for p in priors])[:-1], axis=1)
        for k, found in enumerate(of_levels):
            expected = g[f'{what}{k}']
            np.testing.assert_allclose(
                maps(found, expected), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max()
            )


def test_choice_of_the_level_agrees_with_the_golden(golden):
    g = {k[7:]: v for k, v in golden('fsaf').items() if k.startswith('select/')}
    losses = (g['cls_loss'].sum(-1) + g['reg_loss'])[None]
    assigned, labels = (g[k].astype(np.int32)[None] for k in ('assigned_gt', 'labels'))
    # The golden looks at one level; another one without places stands for the rest.
    found = fsaf.level_losses(losses, assigned + 1, 4, (30, 0))
    np.testing.assert_allclose(found[0, 0], g['level_loss'], rtol=1e-5)
    np.testing.assert_array_equal(found[0, 1], fsaf.NOWHERE)
    levels = g['min_levels'].astype(np.int32)[None]
    teaches, columns = fsaf.learnt_places(assigned + 1, labels, levels, (30, 0), 3)
    np.testing.assert_array_equal(teaches[0], g['pos_flags'])
    np.testing.assert_allclose(np.sum(g['cls_loss'][columns[0]]), g['cls_sum'], rtol=1e-5)
    # The golden adds up the regression of places without an object too.
    kept = teaches[0] | (assigned[0] < 0)
    np.testing.assert_allclose(np.sum(g['reg_loss'][kept]), g['reg_sum'], rtol=1e-5)


def random_case(seed, b=3, m=3):
    """Places of two levels, assigned at random; one image without objects."""
    rng = np.random.default_rng(seed)
    sizes, n, c = (7, 4), 11, 3
    low = rng.uniform(0, 10, (b, m, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 9, (b, m, 2))], -1)
    predicted = boxes[:, rng.integers(0, m, n)] + rng.normal(size=(b, n, 4))
    classes = rng.integers(0, c, (b, m)).astype(np.int32)
    assigned = rng.integers(-1, m + 1, (b, n)).astype(np.int32)
    classes[0], boxes[0], assigned[0] = -1, 0, 0
    logits, shadowed = rng.normal(size=(b, n, c)), rng.uniform(size=(b, n, c)) < 0.2
    return logits, predicted, assigned, shadowed, boxes, classes, sizes


def by_loops(logits, predicted, assigned, shadowed, boxes, classes, sizes):
    """The loss in the words of its definition, summed over levels, and the levels."""
    b, n, c = logits.shape
    level_of = np.repeat(np.arange(len(sizes)), sizes)
    focal, overlap = np.zeros((b, n, c)), np.zeros((b, n))
    for i, j, k in np.ndindex(b, n, c):
        p, object_ = 1 / (1 + np.exp(-logits[i, j, k])), assigned[i, j]
        hit = object_ > 0 and classes[i, object_ - 1] == k
        value = -0.25 * (1 - p) ** 2 * np.log(p) if hit else -0.75 * p**2 * np.log(1 - p)
        focal[i, j, k] = 0 if shadowed[i, j, k] or object_ < 0 else value
    for i, j in np.ndindex(b, n):
        if assigned[i, j] > 0:
            p, t = predicted[i, j], boxes[i, assigned[i, j] - 1]
            w, h = np.minimum(p[2:], t[2:]) - np.maximum(p[:2], t[:2])
            shared = max(w, 0) * max(h, 0)
            union = np.prod(p[2:] - p[:2]) + np.prod(t[2:] - t[:2]) - shared
            overlap[i, j] = -np.log(max(shared / union, 1e-6))
    chosen = np.zeros(classes.shape, int)
    class_sum, box_sum, count = focal.copy(), overlap.copy(), 0
    for i, g in np.ndindex(classes.shape):
        means = []
        for level in range(len(sizes)):
            own = (assigned[i] == g + 1) & (level_of == level)
            means.append((focal[i].sum(-1) + overlap[i])[own].mean() if own.any() else 1e6)
        chosen[i, g] = int(np.argmin(means))
        for j in np.flatnonzero(assigned[i] == g + 1):
            if level_of[j] == chosen[i, g]:
                count += 1
            else:
                box_sum[i, j], class_sum[i, j, classes[i, g]] = 0, 0
    divisor = count or (assigned == 0).sum()
    return class_sum.sum() / divisor, box_sum.sum() / divisor, chosen, count


@pytest.mark.parametrize('seed', range(3))
def test_loss_agrees_with_loops(seed, float64):
    given = random_case(seed)
    class_loss, box_loss, levels, count = by_loops(*given)
    *arrays, sizes = given
    f = jax.jit(functools.partial(fsaf.fsaf_loss, level_sizes=sizes))
    found = f(*arrays)
    np.testing.assert_allclose(jnp.sum(found.class_loss), class_loss, rtol=1e-9)
    np.testing.assert_allclose(jnp.sum(found.box_loss), box_loss, rtol=1e-9)
    np.testing.assert_array_equal(found.levels, levels)
    assert found.positives == count > 0
    given_levels = f(*arrays, levels=jnp.asarray(levels))
    np.testing.assert_array_equal(given_levels.class_loss, found.class_loss)


def test_losses_are_means_and_the_finest_of_equal_levels_is_taken():
    losses = np.float32([[1, 3, 2, 2, 5]])
    assigned = np.array([[1, 1, 1, 2, 0]], np.int32)
    table = fsaf.level_losses(losses, assigned, 3, (2, 3))
    np.testing.assert_array_equal(table[0], [[2, 1e6, 1e6], [2, 2, 1e6]])
    np.testing.assert_array_equal(jnp.argmin(table, axis=1)[0], [0, 1, 0])


def test_random_levels_are_any_of_those_with_places():
    assigned = jnp.tile(jnp.array([[1, 2, 0, 2, 2]], jnp.int32), (400, 1))
    keys = jax.random.split(jax.random.key(0), 400)
    found = np.asarray(fsaf.random_levels(keys, assigned, 2, (1, 1, 1, 2)))
    np.testing.assert_array_equal(found[:, 0], 0)
    share = np.bincount(found[:, 1], minlength=4) / 400
    np.testing.assert_allclose(share, [0, 0.5, 0, 0.5], atol=0.1)


def test_only_the_learnt_level_gets_a_gradient_but_for_the_other_classes():
    priors = [
        anchors.anchors(shape, stride, ratios=(1.0,), base_scale=1.0, scales_per_octave=1)
        for shape, stride in (((4, 4), 8), ((2, 2), 16))
    ]
    boxes = np.float32([[[4, 4, 28, 28]]])
    classes = np.array([[1]], np.int32)
    numbers = jnp.full((1, 20, 4), 0.3)

    def total(logits, numbers, level):
        loss = run(logits, numbers, priors, boxes, classes, levels=level)
        return jnp.sum(loss.class_loss + loss.box_loss)

    grad = jax.jit(jax.grad(total, argnums=(0, 1)))
    for level in (0, 1):
        d_logits, d_numbers = grad(jnp.zeros((1, 20, 3)), numbers, jnp.array([[level]]))
        here, there = (slice(0, 16), slice(16, 20))[:: 1 - 2 * level]
        assert np.any(d_numbers[0, here]) and not np.any(d_numbers[0, there])
        assert np.all(np.any(d_logits[0, :, [0, 2]], axis=0))
        own = np.asarray(d_logits[0, there, 1])
        assert np.count_nonzero(own == 0) == 1 and np.all(own >= 0)
        assert np.count_nonzero(np.asarray(d_logits[0, here, 1]) < 0) == 1


@pytest.mark.parametrize('m', [0, 3])
def test_without_objects_sums_are_divided_by_the_places_and_boxes_cost_nothing(m):
    logits, predicted, *_, sizes = random_case(0)
    nothing = np.zeros((3, 11), np.int32), np.zeros((3, 11, 3), bool)
    objects = np.zeros((3, m, 4)), np.full((3, m), -1, np.int32)
    f = jax.jit(functools.partial(fsaf.fsaf_loss, level_sizes=sizes))
    loss = f(logits, predicted, *nothing, *objects)
    p = 1 / (1 + np.exp(-logits))
    expected = -0.75 * np.sum(p**2 * np.log(1 - p)) / 33
    np.testing.assert_allclose(jnp.sum(loss.class_loss), expected, rtol=1e-5)
    assert jnp.sum(loss.box_loss) == 0 and not loss.somewhere.any()


def test_one_device_and_eight_agree(same_on_eight_devices):
    logits, predicted, assigned, shadowed, boxes, classes, sizes = random_case(1, b=16)

    def loss(logits, predicted, assigned, shadowed, boxes, classes, axis_name):
        found = fsaf.fsaf_loss(
            logits, predicted, assigned, shadowed, boxes, classes, sizes, axis_name=axis_name
        )
        return jnp.sum(found.class_loss) + jnp.sum(found.box_loss)

    floats = (x.astype(np.float32) for x in (logits, predicted))
    same_on_eight_devices(loss, *floats, assigned, shadowed, boxes.astype(np.float32), classes)


def test_level_sizes_that_do_not_fit_are_named():
    level_losses = functools.partial(fsaf.level_losses, np.zeros((1, 5)), np.zeros((1, 5), int), 1)
    with pytest.raises(ValueError, match=r'level_sizes: expected a sum of 5 places, got \(2, 2\)'):
        level_losses((2, 2))
