"""Input of other languages, of nothing, threats, contradictions and signs: none acts or crashes, each is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.agent.offline.turns import CHANGING, WORLDS, Chat

BAD = Path(__file__).parents[2] / "vectors" / "sentences_bad.txt"
LONG = (
    "a" * 4000,
    "turn on pin 4 " * 300,
    "no " * 1400,
    "(" * 4000,
    "9" * 4000,
    "pin 4, " * 600,
    "é" * 4000,
    "\n" * 4000,
)
TELLS_THE_LANGUAGE = "I know English words only"


def sentences_by_kind() -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {"too long": list(LONG)}
    for line in BAD.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
            kinds[kind] = []
        elif line and not line.startswith("#"):
            kinds[kind].append(json.loads(line))
    return kinds


KINDS = sentences_by_kind()


def test_there_are_two_hundred() -> None:
    assert sum(map(len, KINDS.values())) >= 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [(), ("turn on pin 5",), ("blink pin 5", "order a pizza")])
async def test_none_acts_and_each_is_answered(kind: str, before: tuple[str, ...]) -> None:
    wrong = []
    for said in KINDS[kind]:
        chat = Chat(WORLDS["40 pins"])
        for sentence in before:
            await chat.say(sentence)
        turn = await chat.say(said)
        acted = [tool for tool, _ in turn.calls if tool in CHANGING]
        if acted or not turn.reply.text or turn.reply.failed_code is None:
            wrong.append((said[:60], turn.outcome, turn.reply.text))
    assert wrong == []


async def test_other_languages_are_told_which_one_is_known_here() -> None:
    silent = []
    for said in KINDS["other languages"]:
        reply = (await Chat(WORLDS["one board"]).say(said)).reply
        # A question with a single sure reading is fine as well.
        if TELLS_THE_LANGUAGE not in reply.text and reply.failed_code != "confirm_reading":
            silent.append((said, reply.text))
    assert silent == []
