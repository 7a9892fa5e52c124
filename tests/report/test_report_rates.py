"""The curve of rate and distortion in a run's page."""

import base64
import re

from jaxsep.report import rates

MEASURED = {
    'teacher': {'test/accuracy': 0.96, 'loss': 0.1},
    'fine': {'test/accuracy': 0.93, 'test/bits': 128.0, 'test/bytes': 16.5, 'loss': 1.0},
    'coarse': {'test/accuracy': 0.8, 'test/bits': 32.0, 'test/bytes': 4.5, 'loss': 2.0},
}


def svg(html):
    return base64.b64decode(re.search('base64,([^"]+)"', html).group(1)).decode()


def test_every_stage_that_sends_bits_is_a_point_and_the_others_are_lines():
    [(heading, html)] = rates.sections(MEASURED)
    assert heading == 'Rate and distortion' and html.count('<figure>') == 1
    assert 'test/accuracy over bits' in html
    drawn = svg(html)
    for word in ('fine', 'coarse', 'teacher, nothing compressed', 'bits an example', 'accuracy'):
        assert word in drawn, word
    without = svg(rates.sections({k: v for k, v in MEASURED.items() if k != 'teacher'})[0][1])
    assert 'nothing compressed' not in without


def test_names_are_text_and_not_markup():
    [(_, html)] = rates.sections({'<b>': {'test/bits': 8.0, 'test/<i>': 0.5}})
    assert '<i>' not in html


def test_runs_that_send_nothing_have_no_curve():
    assert rates.sections({'': {'test/accuracy': 0.9}}) == []
    assert rates.sections({'a': {'test/bits': 8.0}}) == []  # nothing to draw over the bits
    assert rates.sections({}) == []
