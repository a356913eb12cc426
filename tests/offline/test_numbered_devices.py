"""Boards that a sentence calls by a number, and numbers that are no time and no rate."""

from __future__ import annotations

import pytest
from tests.offline.conftest import Ask, called, defined, kept

from microclaw.boards.reader import load_board
from microclaw.models.protocol import DeviceContext, KnownDevice, UserText

BOARD = load_board("virtual")
NUMBERED = DeviceContext((KnownDevice("board-1", BOARD), KnownDevice("board-2", BOARD)))


@pytest.mark.parametrize(
    "where",
    [
        "on board 1",
        "on board-1",
        "on board one",
        "on board #1",
        "on board no. 1",
        "of board 01",
        "at Board 1",
        "on board1",
    ],
)
async def test_a_spoken_number_is_the_device_of_that_name(where: str, ask: Ask) -> None:
    reply = await ask(f"turn on pin 7 {where}", device_context=NUMBERED)
    assert called(reply) == ("gpio-set", {"pin": 7, "level": 1, "device": "board-1"})


@pytest.mark.parametrize("where", ["on boards 1 and 2", "on board 1 and 2", "on board 1, board 2"])
async def test_several_numbers_are_several_boards_and_no_pins(where: str, ask: Ask) -> None:
    each = called(await ask(f"turn on pin 7 {where}", device_context=NUMBERED))[1]["each"]
    assert each == [{"devices": ["board-1", "board-2"], "arguments": {"pin": 7, "level": 1}}]


async def test_a_number_answers_the_question_which_device(ask: Ask) -> None:
    question = await ask("turn on pin 7", device_context=NUMBERED)
    before = (UserText("turn on pin 7"), kept(question))
    assert called(await ask("board 2", device_context=NUMBERED, before=before))[1]["device"] == "board-2"


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 7 on board 3",
        "turn on pin 7 on board 1 and 3",
        "turn on pin 7 on device 7",
        "status of board 3",
        "what can board 3 do",
        "which pins are free on board 3",
        "blink on board 3",
        "stop everything on board 3",
        "restart board 3",
        "every day at 8:00 turn on pin 7 on board 3",
        "turn on pin 7 on esp32 4",
    ],
)
async def test_a_number_that_no_device_has_is_told(said: str, ask: Ask) -> None:
    for context in (NUMBERED, None):
        reply = await ask(said, device_context=context)
        assert (reply.calls, reply.failed_code) == ((), "unknown_name")


@pytest.mark.parametrize(
    ("pace", "half_ms"),
    [("at 1/2 Hz", 1000), ("at 1/0.5 Hz", 250), ("every 3/4 seconds", 750)],
)
async def test_a_fraction_is_the_number_that_it_is(pace: str, half_ms: int, ask: Ask) -> None:
    assert defined(await ask(f"blink pin 2 {pace}"))["HALF_PERIOD_MS"] == str(half_ms)
