"""Small digits somewhere on a canvas full of pieces of other digits and of noise."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxsep.data.sets import mnist5k
from jaxsep.data.source import Arrays, Source, take_all

DRAWN = 11
"""Pixels of a side of the digits that pieces are cut out of."""
INK = slice(4, 24)
"""MNIST's digits fill the middle 20 x 20 pixels, or one of the two sides of it."""


def load(
    *,
    image_size: int = 32,
    digit_size: tuple[int, int] = (9, 13),
    num_pieces: int = 6,
    piece_size: int = 6,
    noise: float = 0.15,
    num_train: int = 4000,
    num_test: int = 1000,
    seed: int = 0,
) -> Source:
    """Handwritten digits to be found and read: `image` uint8 [image_size, image_size, 1], `label`.

    One digit of `mnist5k` (a package of 1.4 MB), 9 to 13 pixels high, at a random place, over
    pieces of the size of a stroke cut out of other digits of the same split, over Gaussian noise. Where
    drawings overlap the brighter one is seen. `true_boxes` float32 [1, 4], xyxy in pixels, is the
    square that holds the digit, for what looks at it. Digits of test scenes, and their pieces, are
    never seen in training. Clutter after Mnih et al. 2014, https://arxiv.org/abs/1406.6247.

    Args:
      image_size: pixels of a side.
      digit_size: smallest and largest height of the digit, any alike.
      num_pieces: pieces of other digits in each scene.
      piece_size: pixels of a side of a piece.
      noise: standard deviation of the noise before it is cut off at 0; white is 1.
      num_train, num_test: number of scenes, at most 20 for each digit there is: digits are taken
        in turns, each time at another place, among other clutter.
      seed: of the division and of the scenes.
    """
    smallest, largest = digit_size
    if not 4 <= smallest <= largest <= image_size:
        raise ValueError(
            f'digit_size: expected 4 <= smallest <= largest <= image_size, got {digit_size} '
            f'on canvases of {image_size}'
        )
    if num_pieces < 0:
        raise ValueError(f'num_pieces: expected 0 or more, got {num_pieces}')
    if not 1 <= piece_size <= min(image_size, DRAWN):
        raise ValueError(f'piece_size: expected 1 to {min(image_size, DRAWN)}, got {piece_size}')
    if noise < 0:
        raise ValueError(f'noise: expected 0 or more, got {noise}')
    found, splits = mnist5k.load(seed=seed), {}
    wanted = {'train': num_train, 'test': num_test}
    for name, size in wanted.items():
        if not 1 <= size <= 20 * len(found.splits[name]):
            raise ValueError(
                f'num_{name}: expected 1 to {20 * len(found.splits[name])}, got {size}'
            )
    for part, (name, size) in enumerate(wanted.items()):
        rows = take_all(found.splits[name])
        digits = rows['image'][:, INK, INK, 0]
        drawn = np.stack([shrunk(digit, DRAWN) for digit in digits])
        rng = np.random.default_rng((seed, part))
        chosen = in_turns(rng, len(digits), size)
        images, boxes = [], []
        for row in chosen:
            height = int(rng.integers(smallest, largest + 1))
            ground = clutter(rng, drawn, image_size, num_pieces, piece_size, noise)
            image, box = paste(rng, ground, digits[row], height)
            images.append(image)
            boxes.append(box)
        splits[name] = Arrays(
            {
                'image': np.stack(images)[..., None],
                'label': rows['label'][chosen],
                'true_boxes': np.stack(boxes)[:, None],
            }
        )
    return Source(splits, found.labels, 'small digits among clutter', targets={'true_boxes': ()})


def in_turns(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """So many of n numbers in random order, none a second time before all were there."""
    rounds = [rng.permutation(n) for _ in range(-(-size // n))]
    return np.concatenate(rounds)[:size]


def clutter(rng, drawn, image_size, num_pieces, piece_size, noise) -> UInt8[np.ndarray, 'h h']:
    """Noise with pieces of the digits as they are drawn; arguments as in `load`."""
    ground = 255 * noise * rng.standard_normal((image_size, image_size))
    ground = np.clip(np.rint(ground), 0, 255).astype(np.uint8)
    for _ in range(num_pieces):
        digit = drawn[rng.integers(len(drawn))]
        top, left = rng.integers(0, DRAWN - piece_size + 1, 2)
        piece = digit[top : top + piece_size, left : left + piece_size]
        top, left = rng.integers(0, image_size - piece_size + 1, 2)
        part = ground[top : top + piece_size, left : left + piece_size]
        np.maximum(part, piece, out=part)
    return ground


def shrunk(digit: UInt8[np.ndarray, 's s'], height: int) -> UInt8[np.ndarray, 't t']:
    """The digit with so many pixels a side, each the mean of what it covers."""
    return np.asarray(Image.fromarray(digit).resize((height, height), Image.Resampling.BOX))


def paste(
    rng, ground: UInt8[np.ndarray, 'h h'], digit: UInt8[np.ndarray, 's s'], height: int
) -> tuple[UInt8[np.ndarray, 'h h'], np.ndarray]:
    """The ground with the digit at a random place, and its square [4], xyxy in pixels."""
    small = shrunk(digit, height)
    top, left = rng.integers(0, len(ground) - height + 1, 2)
    image = ground.copy()
    part = image[top : top + height, left : left + height]
    np.maximum(part, small, out=part)
    return image, np.array([left, top, left + height, top + height], np.float32)
