"""The sentence vectors: the shared ones are all right, of our own almost all, and none of them acts wrongly."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from tests.offline.score import Verdict, judge, observe, rows

SHARED = rows("sentences.tsv")
OWN = rows("sentences_own.tsv")
LEAST_RIGHT = 0.85


async def test_a_shared_sentence_is_right_or_declined_as_what_it_is() -> None:
    judged = [(row.utterance, judge(row, await observe(row.utterance))) for row in SHARED]
    assert [one for one in judged if one[1] is not Verdict.RIGHT] == []


@pytest.mark.parametrize("held_out", [False, True], ids=["tuned", "held out"])
async def test_most_sentences_of_our_own_are_right_and_none_acts_wrongly(held_out: bool) -> None:
    rows = [row for row in OWN if row.held_out is held_out]
    judged = {row.utterance: judge(row, await observe(row.utterance)) for row in rows}
    assert [said for said, verdict in judged.items() if verdict is Verdict.ACTED_WRONGLY] == []
    verdicts = Counter(judged.values())
    assert verdicts[Verdict.RIGHT] / verdicts.total() >= LEAST_RIGHT, verdicts


@pytest.mark.parametrize("seed", range(10))
async def test_no_sentence_with_a_slip_of_the_keyboard_acts_wrongly(seed: int) -> None:
    chance = random.Random(seed)
    for row in chance.sample(OWN, 20):
        said = _with_a_slip(row.utterance, chance)
        seen = await observe(said)
        assert judge(row, seen) is not Verdict.ACTED_WRONGLY, (said, seen.calls, row.slots)


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
