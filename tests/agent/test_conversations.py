"""Conversations of two and three turns without a model: the real agent, a virtual board, and what its pins then do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from microclaw.app import running_host
from microclaw.cli.board_control import BoardControl
from microclaw.config.load import load_settings
from microclaw.events import Answer
from microclaw.operations.client import Client
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.wire import board_control as control

_WAIT_S = 25.0  # of real time: the machine may be busy
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Talk:
    """A chat with a host whose only board is `board`."""

    socket: Path
    board: BoardControl

    async def say(self, text: str, chat: str = "c") -> Answer:
        def turn() -> Answer:
            body = {"text": text, "chat_id": chat}
            events = list(Client(self.socket).stream("/v1/chat", body))
            assert isinstance(events[-1], Answer)
            return events[-1]

        return await asyncio.to_thread(turn)

    def sees(self, wanted: str) -> bool:
        """Whether the board shows it: "5=1" a level, "5=25%" PWM, "5~500" a period in ms, "apps=blink,fade"."""
        subject, sign, value = re.split("([=~])", wanted, maxsplit=1)
        if subject == "apps":
            names = {app.name for app in self.board.ask(control.Apps()).apps}
            return names == set(filter(None, value.split(",")))
        pin = next(row for row in self.board.ask(control.Pins()).pins if row.pin == int(subject))
        if sign == "~":
            ons = [edge.t_ms for edge in self.board.edges(0).edges if edge.pin == pin.pin and edge.level][-3:]
            return len(ons) == 3 and all(abs(b - a - float(value)) <= 0.2 * float(value) for a, b in pairwise(ons))
        if value.endswith("%"):
            return pin.role == "pwm" and abs(pin.duty / 2.55 - float(value[:-1])) < 1
        return pin.role != "pwm" and pin.level == int(value)

    async def missing(self, wanted: str) -> list[str]:
        """What the board does not show in time, of a list with spaces."""
        async with asyncio.timeout(_WAIT_S + 1):
            for _ in range(int(_WAIT_S / _POLL_S)):
                left = [one for one in wanted.split() if not self.sees(one)]
                if not left:
                    return []
                await asyncio.sleep(_POLL_S)
        return left


@pytest.fixture
async def talk(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    cache = tmp_path_factory.getbasetemp() / "cache"
    settings = load_settings({"MICROCLAW_CACHE": str(cache)}, home=tmp_path / "home", http_port=None)
    async with VirtualBoardProcess() as board, running_host(settings) as host:
        await host.devices.add("virtual-1", "virtual", board.ready.transports)
        with BoardControl(board.ready.control) as witness:
            yield Talk(settings.control_socket, witness)


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
    ],
)
async def test_a_sentence_refers_to_the_last_act(talk: Talk, said: str, board: str) -> None:
    last = Answer("")
    for sentence in said.split(" | "):
        last = await talk.say(sentence)
    assert await talk.missing(board) == [], last


async def test_only_the_chat_and_the_person_of_the_last_act_refer_to_it(talk: Talk) -> None:
    await talk.say("turn on pin 5", "one")
    assert (await talk.say("turn it off", "another")).error_code == "ambiguous"
    assert await talk.missing("5=1") == []


async def test_a_correction_leaves_the_pin_alone_that_somebody_set_since(talk: Talk) -> None:
    await talk.say("turn on pin 5", "one")
    await talk.say("turn on pin 5", "another")
    found = await talk.say("no, I meant pin 6", "one")
    assert found.error_code is not None
    assert await talk.missing("5=1 6=0") == []
