import unicodedata

import numpy as np
import pytest

from jaxsep.data.source import load, take_all


@pytest.fixture(scope='module')
def glyphs():
    return load('glyphs')


@pytest.fixture(scope='module')
def rows(glyphs):
    return {name: take_all(split) for name, split in glyphs.splits.items()}


def test_the_design_is_a_complete_factorial(glyphs, rows):
    for batch in rows.values():
        cells = np.stack([batch[n] for n in ('character', 'family', 'weight', 'slant')], 1)
        assert len(np.unique(cells, axis=0)) == len(cells)
        assert len(cells) == 12 * len(np.unique(batch['character']))
        # row 12 i + f is character i in face f, slant fastest
        grid = {name: values.reshape(-1, 12) for name, values in batch.items() if values.ndim == 1}
        assert (grid['character'] == grid['character'][:, :1]).all()
        assert (grid['face'] == np.arange(12)).all()
        np.testing.assert_array_equal(
            grid['face'], 4 * grid['family'] + 2 * grid['weight'] + grid['slant']
        )


def test_there_are_1262_distinct_characters_and_none_is_in_both_splits(glyphs, rows):
    train, test = (set(rows[s]['character'].tolist()) for s in ('train', 'test'))
    assert not train & test
    assert len(train | test) == len(glyphs.labels['character']) == 1262
    assert len(test) == round(0.2 * 1262)


def test_no_two_characters_look_the_same_in_all_faces(rows):
    images = np.concatenate([rows[s]['image'] for s in ('train', 'test')]).reshape(-1, 12 * 32 * 32)
    assert len({image.tobytes() for image in images}) == len(images)


def test_labels_say_what_unicode_says(glyphs, rows):
    names = {label: np.array(values) for label, values in glyphs.labels.items()}
    batch = rows['test']
    for row in range(0, len(batch['index']), 12):
        character = names['character'][batch['character'][row]]
        script = unicodedata.name(character).split()[0].lower()
        assert names['script'][batch['script'][row]] in (script, 'other')
        case = names['case'][batch['case'][row]]
        assert (case == 'upper') == (unicodedata.category(character) == 'Lu')
    face = names['face'][batch['face'][5]].split('-')
    assert face == [names[n][batch[n][5]] for n in ('family', 'weight', 'slant')]


def test_images_are_uint8_with_ink_and_bold_has_more(rows):
    batch = rows['train']
    assert batch['image'].dtype == np.uint8
    assert batch['image'].shape[1:] == (32, 32, 1)
    ink = batch['image'].sum((1, 2, 3), dtype=np.int64)
    assert ink.min() > 0
    assert ink[batch['weight'] == 1].mean() > 1.2 * ink[batch['weight'] == 0].mean()


def test_pixels_find_the_same_character_in_another_face_at_the_known_rate(rows):
    """Nearest neighbour on pixels: recall@1 0.60 in the mean over 132 ordered pairs of faces."""
    pixels = rows['test']['image'].reshape(-1, 12, 1024).astype(np.float32) / 255
    found = []
    for a in range(12):
        for b in range(12):
            if a != b:
                distance = (pixels[:, b] ** 2).sum(1)[None] - 2 * pixels[:, a] @ pixels[:, b].T
                found.append(np.mean(distance.argmin(1) == np.arange(len(distance))))
    assert len(found) == 132
    assert abs(np.mean(found) - 0.60) < 0.03  # over seeds of the division: 0.58 to 0.60


def test_the_seed_moves_characters_between_the_splits():
    few = [load('glyphs', image_size=8, seed=s).splits['test'].columns['character'] for s in (0, 1)]
    assert set(few[0].tolist()) != set(few[1].tolist())
