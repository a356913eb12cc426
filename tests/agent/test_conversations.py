"""Conversations of two and three turns without a model: the real agent, a virtual board, and what its pins then do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from tests.agent.real_host import Home, real_host

from microclaw.cli.board_control import BoardControl
from microclaw.events import Answer
from microclaw.wire import board_control as control

_WAIT_S = 25.0  # of real time: the machine may be busy
_POLL_S = 0.05


def sees(home: Home, wanted: str) -> bool:
    """True if the board shows it: "5=1" a level, "5=25%" PWM, "5~500" a period in ms, "apps=blink,fade"."""
    subject, sign, value = re.split("([=~])", wanted, maxsplit=1)
    if subject == "apps":
        return home.programs() == set(filter(None, value.split(",")))
    pin = next(row for row in home.ask(control.Pins()).pins if row.pin == int(subject))
    if sign == "~":
        with BoardControl(home.boards["virtual-1"].ready.control) as board:
            ons = [edge.t_ms for edge in board.edges(0).edges if edge.pin == pin.pin and edge.level][-3:]
        return len(ons) == 3 and all(abs(b - a - float(value)) <= 0.2 * float(value) for a, b in pairwise(ons))
    if value.endswith("%"):
        return bool(pin.role == "pwm" and abs(pin.duty / 2.55 - float(value[:-1])) < 1)
    return bool(pin.role != "pwm" and pin.level == int(value))


async def missing(home: Home, wanted: str) -> list[str]:
    """The part that the board does not show in time, of a list with spaces."""
    left: list[str] = []
    for _ in range(int(_WAIT_S / _POLL_S)):
        left = [one for one in wanted.split() if not await asyncio.to_thread(sees, home, one)]
        if not left:
            break
        await asyncio.sleep(_POLL_S)
    return left


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with real_host(tmp_path / "home") as home:
        yield home


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Home]:
    """A host that asks before each act."""
    async with real_host(tmp_path / "home", config='[agent]\napprovals = "always"\n') as home:
        yield home


@pytest.mark.parametrize(
    ("said", "board"),
    [
        ("turn on pin 5 | no, I meant pin 6", "5=0 6=1"),
        ("turn on pin 5 | same on pin 6 | turn them off", "5=0 6=0"),
        ("dim pin 5 to 30% | no, pin 6", "5=0% 6=30%"),
        ("blink pin 5 every 500 ms | twice as fast | faster", "5~250 apps=blink"),
        ("blink pin 5 every 100 ms | same on pin 6", "5~200 6~200 apps=blink,blink-6"),
        ("blink pin 5 every 100 ms | stop it | start it again", "5~200 apps=blink"),
        ("the fan is on pin 11 | no, pin 12 | turn on the fan", "11=0 12=1"),
        ("turn on pin 6 in 10 minutes | turn on pin 5 | undo", "5=0"),
        ("turn on pin 4 | turn on pin 6 in 10 minutes | turn on pin 5 | undo | undo", "4=1 5=0"),
        ("turn on pin 4 | turn on pin 6 in 10 minutes | turn on pin 5 | undo | undo | undo", "4=0 5=0"),
        ("turn on pin 4 | turn on pin 6 in 10 minutes | turn on pin 5 | no, pin 8 | undo | undo", "4=1 5=0 8=0"),
    ],
)
async def test_a_sentence_refers_to_the_last_act(home: Home, said: str, board: str) -> None:
    last = Answer("")
    for sentence in said.split(" | "):
        last = await home.say(sentence)
    assert await missing(home, board) == [], last


async def test_only_the_chat_and_the_person_of_the_last_act_refer_to_it(home: Home) -> None:
    await home.say("turn on pin 5", chat="one")
    assert (await home.say("turn it off", chat="another")).error_code == "ambiguous"
    assert await missing(home, "5=1") == []


async def test_a_correction_leaves_the_pin_alone_that_somebody_set_since(home: Home) -> None:
    await home.say("turn on pin 5", chat="one")
    await home.say("turn on pin 5", chat="another")
    assert (await home.say("no, I meant pin 6", chat="one")).error_code is not None
    assert await missing(home, "5=1 6=0") == []


@pytest.mark.parametrize(
    ("said", "decisions", "board"),
    [
        ("turn on pin 40 | no, I meant pin 10", (True, True), "40=0 10=1"),
        ("turn on pin 40 | no, I meant pin 10", (True, False), "40=1 10=0"),
        ("dim pin 5 to 40% | no, pin 6", (True, True), "5=0% 6=40%"),
        ("dim pin 5 to 40% | no, pin 6 | no, pin 7", (True, True, True), "6=0% 7=40%"),
    ],
)
async def test_a_correction_is_asked_once_for_both_halves_and_done_whole_or_not(
    asking: Home, said: str, decisions: tuple[bool, ...], board: str
) -> None:
    shown: list[bool] = []
    sentences = said.split(" | ")
    for sentence, yes in zip(sentences, decisions, strict=True):
        before = ["40=1", "10=0"] if sentence.endswith("10") else []
        when_asked = partial(_note, shown, asking, before)
        await asking.events(sentence, yes, when_asked=when_asked)
    assert shown == [True] * len(sentences), "nothing is half done while somebody is asked"
    assert await missing(asking, board) == []


def _note(shown: list[bool], home: Home, wanted: list[str]) -> None:
    shown.append(all(sees(home, one) for one in wanted))
