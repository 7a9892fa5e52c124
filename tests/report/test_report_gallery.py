"""Pictures of test examples: which there are, what they show, and that odd rows break nothing."""

import base64
import io
import re
import wave

import numpy as np
import pytest

from jaxsep.report import gallery, page


def images(n=3, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16, channels)).astype(np.uint8)


def detections(n=3):
    return {
        'image': images(n),
        'boxes': np.tile(np.float32([[2, 3, 9, 8], [0, 0, 0, 0]]), (n, 1, 1)),
        'scores': np.tile(np.float32([0.9, -1]), (n, 1)),
        'classes': np.tile(np.int32([1, -1]), (n, 1)),
        'true_boxes': np.tile(np.float32([[2, 3, 9, 9], [0, 0, 0, 0]]), (n, 1, 1)),
        'true_classes': np.tile(np.int32([0, -1]), (n, 1)),
    }


def headings(rows, names=(), **options):
    return [heading for heading, _ in gallery.sections(rows, dict(names), **options)]


def test_what_is_shown_follows_from_the_names():
    assert headings({'embedding': np.zeros((3, 2))}) == []
    assert headings({'image': images(), 'embedding': np.zeros((3, 2))}) == []
    assert headings(detections(), {'true_classes': ('cat', 'dog')}) == ['Boxes']
    rows = {'image': images(), 'mask': np.zeros((3, 16, 16), int), 'attention': np.ones((3, 4, 4))}
    assert headings(rows) == ['Masks', 'Attention']
    assert headings({'waveform': np.zeros((2, 1, 400))}) == []
    assert headings({'waveform': np.zeros((2, 1, 400))}, sample_rate=8000) == ['Sounds']


def patches_and_words(monkeypatch, rows, names):
    """The rectangles and texts on each cell of the figure that `boxes` draws."""
    drawn = []
    monkeypatch.setattr(
        gallery.plots, 'address', lambda figure, svg=True: drawn.append(figure) or ''
    )
    gallery.boxes(rows, names)
    return [
        (
            [(p.get_xy(), p.get_width(), p.get_height(), p.get_linestyle()) for p in axes.patches],
            [text.get_text() for text in axes.texts],
        )
        for axes in drawn[0].axes
        if axes.images
    ]


def test_true_boxes_are_unbroken_found_ones_broken_and_padding_is_not_drawn(monkeypatch):
    (patches, words), *rest = patches_and_words(monkeypatch, detections(), ('cat', 'dog'))
    assert len(rest) == 2
    assert patches == [((1.5, 2.5), 7.0, 6.0, '-'), ((1.5, 2.5), 7.0, 5.0, '--')]
    assert words == ['cat', 'dog 0.90']


def test_boxes_of_a_low_score_are_left_out(monkeypatch):
    rows = detections(1)
    rows['scores'] = np.float32([[0.1, 0.1]])
    ((patches, _),) = patches_and_words(monkeypatch, rows, ())
    assert len(patches) == 1


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_masks_of_any_class_number_and_grey_images(channels):
    mask = np.full((2, 8, 8), 3)
    rows = {'image': images(2, channels), 'mask': mask, 'true_mask': np.zeros((2, 16, 16), int)}
    ((_, content),) = gallery.sections(rows, {'true_mask': ('background', 'a', 'b', 'c')})
    assert content.count('<img') == 1 and 'a, b, c' in content


def test_a_sound_is_played_as_it_is():
    samples = np.float32([0.0, 0.5, -0.25, 1.0])
    ((_, content),) = gallery.sections(
        {'waveform': samples[None, None], 'mixture': samples[None]}, {}, sample_rate=8000
    )
    addresses = re.findall(r'data:audio/wav;base64,([^"]+)', content)
    assert len(addresses) == 2 and content.count('<img') == 2
    with wave.open(io.BytesIO(base64.b64decode(addresses[1]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        integers = np.frombuffer(file.readframes(10), '<i2')
    np.testing.assert_allclose(integers / 32767, samples, atol=1 / 32767)


def test_loud_sounds_are_scaled_and_silence_and_single_samples_are_drawn():
    loud = base64.b64decode(gallery.player(np.float32([4.0, -2.0]), 8000).split(',')[1])
    assert np.frombuffer(loud[-4:], '<i2').tolist() == [32767, -16384]
    for samples in (np.zeros(400, np.float32), np.ones(1, np.float32)):
        assert gallery.spectrogram(samples, 8000).startswith('data:image/png')


def test_the_page_of_a_run_shows_the_examples_and_escapes_names():
    sections = gallery.sections(detections(), {'true_classes': ('<b>', 'dog')})
    text = page.run_page('run', {'ap': 0.5}, {}, {}, {}, sections)
    assert '<h2>Boxes</h2>' in text and 'boxes on test images' in text
    assert 'href' not in text and '<script' not in text
