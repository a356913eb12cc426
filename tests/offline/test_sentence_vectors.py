"""The sentence vectors: the shared ones are all right, of our own almost all, and none of them acts wrongly."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from tests.offline.score import Observed, Row, Verdict, judge, observe, rows

from microclaw.models.protocol import ModelReply

SHARED = rows("sentences.tsv")
OWN = rows("sentences_own.tsv")
LEAST_RIGHT = 0.85


@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.utterance)
async def test_a_shared_sentence_is_right_or_declined_as_what_it_is(row: Row) -> None:
    seen = await observe(row.utterance)
    assert judge(row, seen) is Verdict.RIGHT, (seen.category, seen.slots, seen.last.text)


@pytest.mark.parametrize("held_out", [False, True], ids=["tuned", "held out"])
async def test_most_sentences_of_our_own_are_right(held_out: bool) -> None:
    verdicts = Counter([judge(row, await observe(row.utterance)) for row in OWN if row.held_out is held_out])
    assert verdicts[Verdict.RIGHT] / verdicts.total() >= LEAST_RIGHT, verdicts


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.utterance)
async def test_no_sentence_acts_wrongly(row: Row) -> None:
    seen = await observe(row.utterance)
    assert judge(row, seen) is not Verdict.ACTED_WRONGLY, (seen.calls, row.slots)


@pytest.mark.parametrize("seed", range(10))
async def test_no_sentence_with_a_slip_of_the_keyboard_acts_wrongly(seed: int) -> None:
    chance = random.Random(seed)
    for row in chance.sample(OWN, 20):
        said = _with_a_slip(row.utterance, chance)
        seen = await observe(said)
        assert judge(row, seen) is not Verdict.ACTED_WRONGLY, (said, seen.calls, row.slots)


def test_own_sentences_are_enough_and_of_every_category() -> None:
    assert len({row.utterance for row in OWN}) >= 150
    for held_out in (False, True):
        categories = Counter(row.category for row in OWN if row.held_out is held_out)
        assert set(categories) == {row.category for row in SHARED}
        assert min(categories.values()) >= 8


@pytest.mark.parametrize(
    ("category", "slots", "calls", "verdict"),
    [
        ("act", {"tool": "gpio_write", "pin": "4", "level": "1"}, 1, Verdict.RIGHT),
        ("act", {"tool": "gpio_write", "pin": "5", "level": "1"}, 1, Verdict.ACTED_WRONGLY),
        ("ambiguous", {}, 1, Verdict.ACTED_WRONGLY),
        ("ambiguous", {}, 0, Verdict.HARMLESS),
    ],
)
def test_the_score_tells_wrong_acts_from_harmless_errors(
    category: str, slots: dict[str, str], calls: int, verdict: Verdict
) -> None:
    row = Row("set pin 4 on", "act", {"tool": "gpio_write", "pin": "4", "level": "1"})
    seen = Observed(category, slots, [("gpio-set", {"pin": 4, "level": 1})] * calls, ModelReply(""), acted=bool(calls))
    assert judge(row, seen) is verdict


def _with_a_slip(text: str, chance: random.Random) -> str:
    """One letter of one word dropped, doubled by another, replaced, or swapped with the next."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if re.fullmatch("[a-z]{3,}", word)]
    if not places:
        return text
    place = chance.choice(places)
    word, letter = words[place], chance.choice("abcdefghijklmnopqrstuvwxyz")
    at = chance.randrange(len(word) - 1)
    head, tail = word[:at], word[at + 1 :]
    words[place] = chance.choice(
        [head + tail, head + letter + word[at:], head + letter + tail, head + tail[0] + word[at] + tail[1:]]
    )
    return " ".join(words)
