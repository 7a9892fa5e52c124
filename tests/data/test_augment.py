import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxsep.data import augment
from jaxsep.data.augment import STEPS, make_augment, two_views

KEY = jax.random.key(0)
SHAPES = {1: (12, 12, 1), 3: (10, 14, 3)}


def image(shape=(12, 12, 1), seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape), jnp.uint8)


def glyph(size=24):
    """A bright ring on black."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return jnp.asarray(
        np.clip(2.0 - np.abs(np.hypot(y, x) - size / 4), 0, 1)[..., None], jnp.float32
    )


@jax.jit
def every_step(keys, x):
    return {name: jax.vmap(step, (0, None))(keys, x) for name, step in STEPS.items()}


@pytest.mark.parametrize('channels', [1, 3])
def test_every_step_keeps_the_shape_and_range_and_depends_on_the_key(channels):
    x, keys = image(SHAPES[channels]), jax.random.split(KEY, 16)
    again = every_step(keys, x)
    for name, values in every_step(keys, x).items():
        changed = np.asarray(values)
        assert changed.shape == (16, *x.shape) and changed.dtype == np.float32, name
        assert np.isfinite(changed).all(), name
        assert -1e-6 <= changed.min() and changed.max() <= 1 + 1e-6, name
        np.testing.assert_array_equal(changed, again[name], err_msg=name)
        if not (name == 'grayscale' and channels == 1):
            assert len(np.unique(changed.reshape(16, -1), axis=0)) > 1, name


def test_neutral_parameters_change_nothing():
    neutral = [
        ('crop', {'area': (1.0, 1.0), 'ratio': (1.0, 1.0)}),
        ('affine', {'rotation': 0, 'shear': 0, 'scale': (1, 1), 'translation': 0}),
        ('flip', {'probability': 0.0}),
        ('color', {'probability': 0.0}),
        ('color', {'brightness': 0, 'contrast': 0, 'saturation': 0, 'hue': 0}),
        ('grayscale', {'probability': 0.0}),
        ('invert', {'probability': 0.0}),
        ('thickness', {'sigma': (1e-3, 1e-3), 'softness': (1.0, 1.0)}),
        ('blur', {'probability': 0.0}),
        ('noise', {'std': (0.0, 0.0)}),
        ('cutout', {'size': (0.0, 0.0)}),
    ]
    steps = [make_augment({name: options}) for name, options in neutral]
    x = image((12, 12, 3))
    found = jax.jit(lambda x: [step(KEY, x) for step in steps])(x)
    for changed, case in zip(found, neutral, strict=True):
        np.testing.assert_allclose(changed, np.asarray(x) / 255, atol=2e-6, err_msg=str(case))


def test_an_empty_recipe_only_converts():
    x = image()
    np.testing.assert_array_equal(make_augment({})(KEY, x), x.astype(jnp.float32) / 255)


def test_certain_flip_and_invert_are_what_they_say():
    recipes = [{name: {'probability': 1.0}} for name in ('flip', 'invert')]
    x = image()
    flipped, inverted = jax.jit(lambda x: [make_augment(r)(KEY, x) for r in recipes])(x)
    x = np.asarray(x) / 255
    np.testing.assert_allclose(flipped, x[:, ::-1], atol=1e-7)
    np.testing.assert_allclose(inverted, 1 - x, atol=1e-7)


def test_crop_affine_and_flip_together_are_one_warp():
    """The flip after a neutral affine is exact, and so is the crop away from the border."""
    x = jnp.asarray(np.asarray(image((16, 16, 1))) / np.float32(255))
    neutral = {'rotation': 0, 'shear': 0, 'scale': (1, 1), 'translation': 0}
    fused = make_augment({'crop': {}, 'affine': neutral, 'flip': {'probability': 1.0}})
    separate = make_augment({'crop': {}, 'flip': {'probability': 1.0}})
    inner = (slice(2, -2), slice(2, -2))
    once, twice = (np.asarray(v) for v in jax.jit(lambda x: (fused(KEY, x), separate(KEY, x)))(x))
    np.testing.assert_allclose(once[inner], twice[inner], atol=2e-6)
    text = jax.jit(fused).lower(KEY, x).as_text()
    assert 'gather' not in text


def test_boxes_lie_inside_and_have_the_area_and_ratio_asked_for():
    keys = jax.random.split(KEY, 200)
    box = lambda k: augment.crop_box(k, (20, 30), (0.2, 0.5), (0.8, 1.25))  # noqa: E731
    boxes = jax.jit(jax.vmap(box))(keys)
    top, left, height, width = (np.asarray(side, np.float64) for side in boxes)
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 20 + 1e-4).all() and (left + width <= 30 + 1e-4).all()
    area, ratio = height * width / 600, width / height
    assert 0.2 - 1e-5 <= area.min() < 0.25 and 0.45 < area.max() <= 0.5 + 1e-5
    assert 0.8 - 1e-5 <= ratio.min() < 0.85 and 1.2 < ratio.max() <= 1.25 + 1e-5


both_blurs = jax.jit(lambda x, sigma: (augment.blur(x, sigma), dm_pix.gaussian_blur(x, sigma, 17)))


@pytest.mark.parametrize('sigma', [0.3, 1.0, 2.0])
def test_blur_is_that_of_dm_pix_and_scipy_away_from_the_border(sigma):
    x = np.asarray(image((30, 28, 2))) / np.float32(255)
    radius = 8
    ours, theirs = (np.asarray(blurred) for blurred in both_blurs(x, sigma))
    inner = (slice(radius, -radius), slice(radius, -radius))
    # both cut their kernels off at 8 pixels, which is 4 sigma or more: 6e-5 of the weight
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-4)
    scipys = scipy.ndimage.gaussian_filter(np.asarray(x, np.float64), (sigma, sigma, 0), radius=8)
    np.testing.assert_allclose(ours[inner], scipys[inner], atol=1e-4)


def test_blur_keeps_a_constant_up_to_the_border():
    blurred = jax.jit(augment.blur)(jnp.full((9, 7, 1), 0.4), 1.5)
    np.testing.assert_allclose(blurred, 0.4, atol=1e-6)


def test_a_low_level_thickens_and_a_high_one_thins():
    x = glyph()
    exact = {'sigma': (0.8, 0.8), 'softness': (0.3, 0.3)}
    drawn = jax.jit(
        lambda x: [STEPS['thickness'](KEY, x, level=(v, v), **exact) for v in (0.2, 0.6)]
    )(x)
    ink = [float(np.sum(v)) for v in drawn]
    assert ink[0] > 1.1 * x.sum() and ink[1] < 0.9 * x.sum()


def test_thickness_keeps_black_black_and_white_white():
    keys = jax.random.split(KEY, 8)
    step = jax.jit(jax.vmap(STEPS['thickness'], (0, None)))
    for value in (0.0, 1.0):
        np.testing.assert_allclose(step(keys, jnp.full((8, 8, 1), value)), value, atol=1e-6)


def test_cutout_clears_one_box_of_the_size_asked_for():
    cut = lambda k: STEPS['cutout'](k, jnp.ones((20, 20, 1)), size=(0.5, 0.5))  # noqa: E731
    holes = jax.jit(jax.vmap(cut))(jax.random.split(KEY, 20))
    cleared = np.asarray(holes[..., 0]) == 0
    np.testing.assert_array_equal(cleared.any(1).sum(-1), 10)
    np.testing.assert_array_equal(cleared.any(2).sum(-1), 10)
    np.testing.assert_array_equal(cleared.sum((1, 2)), 100)


def test_gray_images_have_three_equal_channels():
    step = jax.jit(make_augment({'grayscale': {'probability': 1.0}}))
    gray = np.asarray(step(KEY, image((6, 6, 3))))
    np.testing.assert_allclose(gray, np.broadcast_to(gray[..., :1], gray.shape), atol=1e-7)


def test_two_views_differ_and_do_not_depend_on_the_other_images():
    recipe = {'crop': {}, 'affine': {}, 'thickness': {}, 'noise': {}}
    function = make_augment(recipe)
    keys = jax.random.split(KEY, 3)
    images = jnp.stack([image(seed=s) for s in range(3)])
    views = jax.jit(lambda k, x: two_views(k, x, function))
    first, second = views(keys, images)
    assert first.shape == second.shape == (3, 12, 12, 1)
    first, second = np.asarray(first), np.asarray(second)
    assert np.abs(first - second).mean() > 0.01
    blackened = np.array(images)
    blackened[1] = 0
    again, _ = views(keys, jnp.asarray(blackened))
    np.testing.assert_allclose(np.asarray(again)[[0, 2]], first[[0, 2]], atol=1e-6)


def test_the_order_of_the_recipe_does_not_matter():
    recipes = {'noise': {}, 'crop': {}}, {'crop': {}, 'noise': {}}
    one, other = jax.jit(lambda x: [make_augment(r)(KEY, x) for r in recipes])(image())
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ('recipe', 'message'),
    [
        ({'afine': {}}, "unknown augmentation 'afine': did you mean affine"),
        ({'affine': {'rotaton': 3}}, "'affine' has no parameter 'rotaton': did you mean rotation"),
        ({'crop': {'area': 0.5}}, r'area should be \(low, high\), got 0.5'),
        ({'crop': {'area': (0.9, 0.5)}}, r'area should be \(low, high\)'),
        ({'blur': {'probability': 'high'}}, "probability should be a number, got 'high'"),
    ],
)
def test_wrong_recipes_fail_at_once_naming_the_nearest(recipe, message):
    with pytest.raises(ValueError, match=message):
        make_augment(recipe)


def test_integers_other_than_uint8_are_refused():
    with pytest.raises(ValueError, match='expected uint8 or floats, got int32'):
        make_augment({})(KEY, jnp.zeros((2, 2, 1), jnp.int32))


def test_small_crops_follow_the_two_views_item_by_item():
    images = jnp.stack([jnp.full((6, 6, 1), v, jnp.float32) for v in (0.25, 0.5, 0.75)])
    dark = lambda key, image: 0.0 * image  # noqa: E731
    plain = lambda key, image: image  # noqa: E731
    crops = jax.jit(lambda k: augment.multi_crop(k, images, plain, dark, 2))
    views = np.stack(augment.apart(crops(jax.random.split(KEY, 3)), 4)).reshape(4, 3, -1)
    np.testing.assert_array_equal(views[:2, :, 0], [[0.25, 0.5, 0.75]] * 2)
    np.testing.assert_array_equal(views[2:], 0)
