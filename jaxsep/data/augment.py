"""Random changes of one image: pure functions (key, image) -> image, for `jax.vmap`.

Images come as uint8 or as floats in [0, 1], shape [h, w, c], and leave as float32
in [0, 1]. No function gathers pixels and none looks at other images.

`make_augment` builds one function from a config:

    augment = make_augment({'crop': {'area': (0.5, 1.0)}, 'affine': {'rotation': 15.0}})
    first, second = two_views(keys, images, augment)

The order is fixed, whatever the order in the config: crop, affine and flip (together
ONE warp), color, grayscale, invert, thickness, blur, noise, cutout.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, Shaped

from jaxsep.data.source import nearest
from jaxsep.ops import warp

Augment = Callable[[Key[Array, ''], Shaped[Array, 'h w c']], Float[Array, 'h w c']]
Range = tuple[float, float]
Shape = tuple[int, int]


def to_float(image: Shaped[Array, '...']) -> Float[Array, '...']:
    """uint8 as float32 in [0, 1]; floats as float32, unchanged."""
    if image.dtype == jnp.uint8:
        return image.astype(jnp.float32) / 255.0
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(f'image: expected uint8 or floats, got {image.dtype}')
    return image.astype(jnp.float32)


def uniform(key: Key[Array, ''], bounds: Range, shape: tuple[int, ...] = ()) -> Float[Array, '...']:
    """Uniform numbers between the two bounds."""
    return jax.random.uniform(key, shape, minval=bounds[0], maxval=bounds[1])


def keep_or(
    key: Key[Array, ''],
    probability: float,
    changed: Float[Array, '...'],
    image: Float[Array, '...'],
) -> Float[Array, '...']:
    """`changed` with the given probability, else `image`."""
    return jnp.where(jax.random.bernoulli(key, probability), changed, image)


def crop_box(
    key: Key[Array, ''], shape: Shape, area: Range, ratio: Range
) -> tuple[Float[Array, ''], Float[Array, ''], Float[Array, ''], Float[Array, '']]:
    """Top, left, height and width of a random box within the image, in pixels.

    Its area is uniform between shares of the image, the logarithm of width / height is
    uniform between those of `ratio`; a side that would not fit is cut to the image.
    """
    area_key, ratio_key, top_key, left_key = jax.random.split(key, 4)
    h, w = shape
    pixels = uniform(area_key, area) * h * w
    root = jnp.exp(0.5 * uniform(ratio_key, (math.log(ratio[0]), math.log(ratio[1]))))
    height = jnp.minimum(jnp.sqrt(pixels) / root, h)
    width = jnp.minimum(jnp.sqrt(pixels) * root, w)
    top = jax.random.uniform(top_key) * (h - height)
    left = jax.random.uniform(left_key) * (w - width)
    return top, left, height, width


def random_resized_crop(
    key: Key[Array, ''],
    image: Shaped[Array, 'h w c'],
    *,
    area: Range = (0.2, 1.0),
    ratio: Range = (3 / 4, 4 / 3),
) -> Float[Array, 'h w c']:
    """A random box of the image (see `crop_box`), resized to the whole image.

    After Szegedy et al. 2015, "Going deeper with convolutions", as used by SimCLR.
    """
    image = to_float(image)
    shape = image.shape[:2]
    return warp.crop_and_resize(image, *crop_box(key, shape, area, ratio), shape)


def affine(
    key: Key[Array, ''],
    shape: Shape,
    rotation: float,
    shear: float,
    scale: Range,
    translation: float,
) -> Float[Array, '3 3']:
    """The matrix of `random_affine`."""
    rotation_key, shear_key, scale_key, translation_key = jax.random.split(key, 4)
    limits = jnp.array(shape, jnp.float32) * translation
    return warp.affine_matrix(
        jnp.deg2rad(uniform(rotation_key, (-rotation, rotation))),
        jnp.deg2rad(uniform(shear_key, (-shear, shear))),
        jnp.exp(uniform(scale_key, (math.log(scale[0]), math.log(scale[1])))),
        limits * uniform(translation_key, (-1.0, 1.0), (2,)),
    )


def random_affine(
    key: Key[Array, ''],
    image: Shaped[Array, 'h w c'],
    *,
    rotation: float = 15.0,
    shear: float = 10.0,
    scale: Range = (0.9, 1.1),
    translation: float = 0.1,
) -> Float[Array, 'h w c']:
    """Rotates, shears, scales and shifts about the centre; 0 comes in from beyond the border.

    Args:
      rotation, shear: uniform in plus and minus so many degrees.
      scale: log-uniform between the two; above 1 enlarges.
      translation: uniform in plus and minus this share of height and width.
    """
    image = to_float(image)
    matrix = affine(key, image.shape[:2], rotation, shear, scale, translation)
    return warp.warp_affine(image, matrix)


def random_flip(
    key: Key[Array, ''], image: Shaped[Array, 'h w c'], *, probability: float = 0.5
) -> Float[Array, 'h w c']:
    """Exchanges left and right with the given probability."""
    image = to_float(image)
    return keep_or(key, probability, image[:, ::-1], image)


def color_jitter(
    key: Key[Array, ''],
    image: Shaped[Array, 'h w c'],
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    probability: float = 0.8,
) -> Float[Array, 'h w c']:
    """Changes brightness, contrast, saturation and hue, in this order, with a probability.

    The first three are factors, uniform in 1 - strength .. 1 + strength (brightness about 0,
    contrast about the mean of each channel); hue turns by at most `hue` of the circle. Saturation
    and hue are left alone unless there are three channels. The result is clipped to [0, 1].
    SimCLR (Chen et al. 2020, appendix A) draws the order at random too.
    """
    image = to_float(image)
    keys = jax.random.split(key, 5)

    def factor(key, strength):
        return uniform(key, (max(1.0 - strength, 0.0), 1.0 + strength))

    changed = jnp.clip(image * factor(keys[0], brightness), 0.0, 1.0)
    changed = jnp.clip(dm_pix.adjust_contrast(changed, factor(keys[1], contrast)), 0.0, 1.0)
    if image.shape[-1] == 3:
        changed = dm_pix.adjust_saturation(changed, factor(keys[2], saturation))
        changed = jnp.clip(dm_pix.adjust_hue(changed, uniform(keys[3], (-hue, hue))), 0.0, 1.0)
    return keep_or(keys[4], probability, changed, image)


def grayscale(
    key: Key[Array, ''], image: Shaped[Array, 'h w c'], *, probability: float = 0.2
) -> Float[Array, 'h w c']:
    """Takes the colour away (Rec. 601 luma in every channel) with the given probability."""
    image = to_float(image)
    if image.shape[-1] != 3:
        return image
    return keep_or(key, probability, dm_pix.rgb_to_grayscale(image, keep_dims=True), image)


def random_invert(
    key: Key[Array, ''], image: Shaped[Array, 'h w c'], *, probability: float = 0.5
) -> Float[Array, 'h w c']:
    """1 - image, with the given probability."""
    image = to_float(image)
    return keep_or(key, probability, 1.0 - image, image)


def blur(image: Float[Array, 'h w c'], sigma: Float[Array, ''] | float) -> Float[Array, 'h w c']:
    """Gaussian blur by two matrix products, one along the rows and one along the columns.

    The weights exp(-(i - j)^2 / 2 sigma^2) are divided by their sum within the image, so
    that nothing fades towards the border. dm_pix.gaussian_blur computes the same away from the
    border, but under vmap turns into a convolution with a kernel per image: slow.
    """
    for axis, equation in ((0, 'os,smc->omc'), (1, 'os,msc->moc')):
        places = jnp.arange(image.shape[axis], dtype=image.dtype)
        exponent = -0.5 * jnp.square((places[:, None] - places[None, :]) / sigma)
        weights = jax.nn.softmax(exponent, axis=1)
        image = jnp.einsum(equation, weights, image, precision=jax.lax.Precision.HIGHEST)
    return image


def gaussian_blur(
    key: Key[Array, ''],
    image: Shaped[Array, 'h w c'],
    *,
    sigma: Range = (0.1, 2.0),
    probability: float = 0.5,
) -> Float[Array, 'h w c']:
    """Blurs (see `blur`) with a width in pixels that is uniform between the two."""
    image = to_float(image)
    sigma_key, apply_key = jax.random.split(key)
    changed = blur(image, uniform(sigma_key, sigma))
    return keep_or(apply_key, probability, changed, image)


def random_thickness(
    key: Key[Array, ''],
    image: Shaped[Array, 'h w c'],
    *,
    sigma: Range = (0.4, 1.0),
    level: Range = (0.2, 0.6),
    softness: Range = (0.3, 0.7),
) -> Float[Array, 'h w c']:
    """Makes the strokes of a bright drawing on dark ground bolder or thinner.

    A blur of random width, then the curve clip((x - l) / (u - l), 0, 1) with
    l = level (1 - softness) and u = level + (1 - level) softness: black stays black, white
    white; a low level thickens, a high one thins; softness 1 leaves the blur as it is.
    """
    image = to_float(image)
    sigma_key, level_key, softness_key = jax.random.split(key, 3)
    blurred = blur(image, uniform(sigma_key, sigma))
    middle, soft = uniform(level_key, level), uniform(softness_key, softness)
    lower, upper = middle * (1.0 - soft), middle + (1.0 - middle) * soft
    return jnp.clip((blurred - lower) / (upper - lower), 0.0, 1.0)


def gaussian_noise(
    key: Key[Array, ''], image: Shaped[Array, 'h w c'], *, std: Range = (0.0, 0.1)
) -> Float[Array, 'h w c']:
    """Adds normal noise of a uniform standard deviation and clips to [0, 1]."""
    image = to_float(image)
    std_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, image.shape)
    return jnp.clip(image + uniform(std_key, std) * noise, 0.0, 1.0)


def cutout(
    key: Key[Array, ''], image: Shaped[Array, 'h w c'], *, size: Range = (0.1, 0.4)
) -> Float[Array, 'h w c']:
    """Sets a box to 0; its sides are uniform shares of the image's, it lies inside.

    After DeVries and Taylor 2017, "Improved regularization of CNNs with cutout".
    """
    image = to_float(image)
    size_key, place_key = jax.random.split(key)
    share = uniform(size_key, size, (2,))
    start = jax.random.uniform(place_key, (2,)) * (1.0 - share)

    def within(axis: int) -> Bool[Array, 'n']:
        places = (jnp.arange(image.shape[axis]) + 0.5) / image.shape[axis]
        return (places >= start[axis]) & (places < start[axis] + share[axis])

    hole = within(0)[:, None, None] & within(1)[None, :, None]
    return jnp.where(hole, 0.0, image)


class Steps(NamedTuple):
    """What `make_augment` knows, in the order in which it is applied."""

    crop: Augment = random_resized_crop
    affine: Augment = random_affine
    flip: Augment = random_flip
    color: Augment = color_jitter
    grayscale: Augment = grayscale
    invert: Augment = random_invert
    thickness: Augment = random_thickness
    blur: Augment = gaussian_blur
    noise: Augment = gaussian_noise
    cutout: Augment = cutout


STEPS = Steps()._asdict()


def options_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a step, checked and completed with its defaults."""
    parameters = inspect.signature(STEPS[name]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in defaults:
            raise ValueError(
                f'augmentation {name!r} has no parameter {option!r}: '
                f'{nearest(option, sorted(defaults))}'
            )
        if isinstance(defaults[option], tuple):
            low_high = isinstance(value, tuple | list) and len(value) == 2
            if not low_high or value[0] > value[1]:
                raise ValueError(
                    f'augmentation {name!r}: {option} should be (low, high), got {value}'
                )
            options = {**options, option: tuple(float(v) for v in value)}
        elif not isinstance(value, int | float):
            raise ValueError(f'augmentation {name!r}: {option} should be a number, got {value!r}')
        else:
            options = {**options, option: float(value)}
    return defaults | dict(options)


def make_augment(recipe: Mapping[str, Mapping[str, Any]]) -> Augment:
    """One function (key, image) -> image from a config; an empty one only converts to float.

    Args:
      recipe: names of steps (see `Steps`) -> their parameters, where they differ from the
        defaults. An unknown name or parameter is a ValueError at once, with the nearest ones.

    >>> augment = make_augment({'flip': {'probability': 1.0}})
    >>> augment(jax.random.key(0), jnp.array([[[0], [255]]], jnp.uint8))[0, :, 0].tolist()
    [1.0, 0.0]
    """
    for name in recipe:
        if name not in STEPS:
            raise ValueError(f'unknown augmentation {name!r}: {nearest(name, list(STEPS))}')
    options = {name: options_of(name, recipe[name]) for name in STEPS if name in recipe}

    @jax.jit  # for those who call it outside of a compiled step
    def augment(key, image):
        image = to_float(image)
        keys = dict(zip(STEPS, jax.random.split(key, len(STEPS)), strict=True))
        remaining = list(options)
        if 'affine' in options:
            image = warp.warp_affine(image, geometry(keys, image.shape[:2], options))
            remaining = [name for name in options if name not in ('crop', 'affine', 'flip')]
        for name in remaining:
            image = STEPS[name](keys[name], image, **options[name])
        return image

    return augment


def geometry(
    keys: Mapping[str, Key[Array, '']], shape: Shape, options: Mapping[str, Mapping[str, Any]]
) -> Float[Array, '3 3']:
    """Crop, affine and flip, as far as there are options for them, as one matrix."""
    matrices = []
    if 'crop' in options:
        box = crop_box(keys['crop'], shape, **options['crop'])
        matrices.append(warp.crop_matrix(*box, shape, shape))
    if 'affine' in options:
        matrices.append(affine(keys['affine'], shape, **options['affine']))
    if 'flip' in options:
        flipped = jax.random.bernoulli(keys['flip'], options['flip']['probability'])
        matrices.append(jnp.diag(jnp.array([1.0, jnp.where(flipped, -1.0, 1.0), 1.0])))
    return warp.compose(*matrices)


def two_views(
    keys: Key[Array, 'b'], images: Shaped[Array, 'b h w c'], augment: Augment
) -> tuple[Float[Array, 'b h w c'], Float[Array, 'b h w c']]:
    """Two independent augmentations of every image, each from its own half of the key."""
    return apart(both_views(keys, images, augment))


def both_views(
    keys: Key[Array, 'b'], images: Shaped[Array, 'b h w c'], augment: Augment
) -> Float[Array, 'n h w c']:
    """The same item after item, for a network: rows 2 i and 2 i + 1 show image i.

    A batch that is spread over devices stays where it is; to put all first views before all second
    ones, images would have to travel. `apart` takes what the network makes of them apart.
    """

    def both(key, image):
        return jax.vmap(augment, (0, None))(jax.random.split(key), image)

    return jax.vmap(both)(keys, images).reshape(-1, *images.shape[1:])


def apart(rows: Shaped[Array, 'n *s'], num_views: int = 2) -> tuple[Shaped[Array, 'b *s'], ...]:
    """View by view what stands item after item.

    >>> first, second = apart(jnp.arange(6))
    >>> first.tolist(), second.tolist()
    ([0, 2, 4], [1, 3, 5])
    """
    items = rows.reshape(-1, num_views, *rows.shape[1:])
    return tuple(items[:, view] for view in range(num_views))


def multi_crop(
    keys: Key[Array, 'b'],
    images: Shaped[Array, 'b h w c'],
    augment: Augment,
    augment_small: Augment,
    num_small: int,
) -> Float[Array, 'n h w c']:
    """Two views of every image and `num_small` small crops, item after item: n = (2 + num_small) b.

    `apart` takes what a network makes of them apart. All have the size of the images: a small
    crop shows less of the image, but costs as much.
    """

    def of_one(key, image):
        keys = jax.random.split(key, 2 + num_small)
        large = jax.vmap(augment, (0, None))(keys[:2], image)
        if not num_small:
            return large
        return jnp.concatenate([large, jax.vmap(augment_small, (0, None))(keys[2:], image)])

    return jax.vmap(of_one)(keys, images).reshape(-1, *images.shape[1:])
