"""Sentences that must not act: negated, doubtful, told, supposed, dangerous, half read."""

from __future__ import annotations

import pytest
from tests.offline.score import VECTORS, observe

NEVER = (VECTORS / "sentences_never.txt").read_text(encoding="utf-8").splitlines()


async def test_it_does_not_act() -> None:
    acted = [sentence for sentence in NEVER if (await observe(sentence, say_yes=False)).changes]
    assert acted == []


@pytest.mark.parametrize("sentence", ["switch the ventilator on", "turn the bathroom fan on"])
async def test_what_is_missing_is_asked_for(sentence: str) -> None:
    seen = await observe(sentence, say_yes=False)
    assert not seen.changes, seen.calls
    assert seen.category == "ambiguous", seen.last.text
    assert "?" in seen.last.text
