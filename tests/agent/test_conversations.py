"""Conversations of two and three turns without a model: the real agent, virtual boards, and what their pins then do."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from tests.agent.real_host import Home, real_host

from microclaw.cli.board_control import BoardControl
from microclaw.events import Answer
from microclaw.wire import board_control as control

pytestmark = pytest.mark.asyncio(loop_scope="module")
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    async with real_host(tmp_path_factory.mktemp("one") / "home") as home:
        yield home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asking_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """It asks before each act."""
    async with real_host(tmp_path_factory.mktemp("ask") / "home", config='[agent]\napprovals = "always"\n') as home:
        yield home


@pytest_asyncio.fixture(loop_scope="module")
async def home(one_host: Home) -> Home:
    """The host with an empty board whose pins are low; each test has chats of its own."""
    await one_host.clear()
    return one_host


@pytest_asyncio.fixture(loop_scope="module")
async def asking(asking_host: Home) -> Home:
    await asking_host.clear()
    return asking_host


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
    last, chat = Answer(""), home.new_chat()
    for sentence in said.split(" | "):
        last = await home.say(sentence, chat=chat)
    assert await missing(home, board) == [], last


async def test_only_the_chat_and_the_person_of_the_last_act_refer_to_it(home: Home) -> None:
    await home.say("turn on pin 5", chat="a")
    assert (await home.say("turn it off", chat="b")).error_code == "ambiguous"
    assert await missing(home, "5=1") == []


async def test_a_correction_leaves_the_pin_alone_that_somebody_set_since(home: Home) -> None:
    await home.say("turn on pin 5", chat="c")
    await home.say("turn on pin 5", chat="d")
    assert (await home.say("no, I meant pin 6", chat="c")).error_code is not None
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
    sentences, chat = said.split(" | "), asking.new_chat()
    for sentence, yes in zip(sentences, decisions, strict=True):
        before = ["40=1", "10=0"] if sentence.endswith("10") else []
        when_asked = partial(_note, shown, asking, before)
        await asking.events(sentence, yes, chat=chat, when_asked=when_asked)
    assert shown == [True] * len(sentences), "nothing is half done while somebody is asked"
    assert await missing(asking, board) == []


def _note(shown: list[bool], home: Home, wanted: list[str]) -> None:
    shown.append(all(sees(home, one) for one in wanted))


async def test_a_board_that_hangs_leaves_the_others_alone_and_is_never_said_to_be_done(tmp_path: Path) -> None:
    """It takes connections and answers nothing."""
    async with real_host(tmp_path / "home", boards=("lamp", "fan", "desk")) as home:
        process = home.boards["fan"]._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            answer = await home.say("set pin 4 high everywhere", True)
            assert answer.error_code == "boards_unknown"
            assert [action.outcome for action in answer.actions] == ["unknown"]
            assert [home.level(4, name) for name in ("lamp", "desk")] == [1, 1]
            undone = await home.say("undo")
        finally:
            process.send_signal(signal.SIGCONT)
        assert "fan" not in undone.text
        assert [home.level(4, name) for name in ("lamp", "desk")] == [0, 0]
