"""Sentences that no template has, understood by the nearest that is known."""

from __future__ import annotations

import pytest

from microclaw.language.numbers import tag_numbers
from microclaw.offline.parse import Parse
from microclaw.offline.sentences import english, near_sentences


def _reading(sentence: str) -> Parse | None:
    return english().parse_anew(sentence)


def test_so_much_less_is_no_brightness() -> None:
    reading = _reading("dim the led by 20 percent")
    assert reading is None or reading.number("milli") is None


def test_either_of_two_pins_is_none() -> None:
    reading = _reading("turn on either pin 10 or pin 11")
    assert reading is None or reading.number("pin") is None


@pytest.mark.parametrize("sentence", ["dont blink anymore", "please don't blink any more", "do not fade any longer!"])
def test_no_more_of_something_means_that_it_stops(sentence: str) -> None:
    reading = _reading(sentence)
    assert reading is not None
    assert reading.kind == "remove_app"


def test_each_nearest_sentence_is_a_template_with_the_same_numbers() -> None:
    sentences = english()
    for meant, said in near_sentences().items():
        parse = sentences.parse(meant)
        assert parse is not None
        assert not parse.loose, meant
        assert all(tag_numbers(one).units == tag_numbers(meant).units for one in said), meant
