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
from microclaw.client import Client
from microclaw.config.load import load_settings
from microclaw.events import Answer
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
    ("said", "board", "answer"),
    [
        ("turn on pin 5 | no, I meant pin 6", "5=0 6=1", "Pin 6 of virtual-1 is on"),
        ("turn on pin 5 | no, pin 39", "5=0 39=1", "Pin 39"),
        ("turn on pin 5 | no, pin 77 | 6", "5=0 6=1", "Pin 6"),
        ("turn on pin 5 | no, pin 27", "5=1 27=0", "reserved"),
        ("turn on pin 5 | no, pin 77", "5=1", "no pin 77"),
        ("turn on pin 77 | no, I meant pin 5", "5=1", "Pin 5"),
        ("turn on pin 5 | turn it off | turn it on again", "5=1", "is on"),
        ("turn on pin 5 | stop it", "5=0", "is off"),
        ("turn on pin 5 | is it on?", "5=1", "is on"),
        ("turn on pin 5 | and 6 | and 11", "5=1 6=1 11=1", "Pin 11"),
        ("turn on pin 5 | same on pin 6 | turn them off", "5=0 6=0", "off"),
        ("turn on pin 5 | no, off", "5=0", "off"),
        ("turn on pin 5 | faster", "5=1", "has no speed"),
        ("turn on pin 5 | make that 6", "5=0 6=1", "Pin 6"),
        ("dim pin 5 to 30% | a bit brighter", "5=40%", "40%"),
        ("dim pin 5 to 30% | make that 25", "5=25%", "25%"),
        ("dim pin 5 to 30% | and 6 | same on pin 6", "5=30% 6=30%", "Pin 6"),
        ("dim pin 5 to 30% | no, pin 6", "5=0% 6=30%", "Pin 6"),
        ("turn on pin 5 | a bit dimmer | 40%", "5=40%", "40%"),
        ("blink pin 5 every 250 ms | faster", "5~250 apps=blink", "blink"),
        ("blink pin 5 every 500 ms | twice as fast | faster", "5~250 apps=blink", "blink"),
        ("blink pin 5 every 100 ms | slower", "5~400 apps=blink", "blink"),
        ("blink pin 5 every 100 ms | no, pin 6", "6~200 apps=blink", "blink"),
        ("blink pin 5 every 100 ms | same on pin 6", "5~200 6~200 apps=blink,blink-6", "blink-6"),
        ("blink pin 5 every 100 ms | stop it", "apps=", "blink stopped"),
        ("blink pin 5 every 100 ms | turn it off", "5=0 apps=", "off"),
        ("blink pin 5 every 100 ms | stop it | start it again", "5~200 apps=blink", "blink"),
        ("blink pin 5 every 100 ms | is it on?", "apps=blink", "Yes, blink runs"),
        ("blink pin 5 every 100 ms | did it stop?", "apps=blink", "No, it did not: blink runs"),
        ("blink pin 5 every 100 ms | turn it on", "apps=blink", "drives"),
        ("turn on pin 5 in 10 minutes | stop it | what is scheduled", "5=0", "Nothing is scheduled"),
        ("turn on pin 5 | turn it off in 10 minutes | list everything scheduled", "5=1", "turn pin 5 off"),
        ("turn on pin 5 at half past six | in the evening | list everything scheduled", "5=0", "18:30"),
        ("turn on pin 5 | what happened yesterday", "5=1", "I cannot tell that"),
        ("turn on pin 5 | what did you do just now", "5=1", '"turn on pin 5"'),
        ("what time is it in Berlin", "5=0", "in Europe/Berlin"),
        ("what time is it in Atlantis", "5=0", "no time zone"),
        ("allume la lampe sur la broche 5", "5=0", "French"),
        ("how warm is it | in fahrenheit", "5=0", "°F"),
        ("can pin 42 be turned on?", "42=0", "Pin 42 is free; it can be"),
        ("blink pin 5 every 100 ms | stop it | did it stop?", "apps=", "No program"),
        ("blink pin 5 every 100 ms | stop it | faster", "apps=", "was stopped"),
        ("turn on pin 5 at 50% for 30 seconds", "5=50% apps=pwm-pulse", "pwm-pulse"),
        ("wait 1 second, then turn on pin 5", "5=1 apps=steps", "steps"),
        ("turn on pin 5, wait 1 second, then turn on pin 6", "5=1 6=1 apps=steps", "steps"),
        ("turn on pin 5, wait 500 ms, turn it off", "5=0 apps=steps", "steps"),
        ("wait 1 second, then turn on pin 5 | is it on?", "5=1 apps=steps", "Pin 5"),
        ("blink pin 5 every 20 seconds | no, pin 6", "5=0 6=1 apps=blink", "blink"),
        ("blink pin 5 every 20 seconds | stop it", "5=0 apps=", "blink stopped"),
        ("the fan is on pin 11 | turn on the fan", "11=1", "Pin 11"),
        ("remember that the fan is on pin 11 | turn on the fan | turn it off", "11=0", "Pin 11"),
        ("the fan is on pin 11 | which pin is the fan on?", "11=0", "the fan is on pin 11"),
        ("the fan is on pin 11 | forget the fan | turn on the fan", "11=0", "Which pin?"),
        ("the fan is on pin 11 | no, actually the fan is on pin 12 | turn on the fan", "11=0 12=1", "Pin 12"),
        ("the fan is on pin 11 | no, pin 12 | turn on the fan", "11=0 12=1", "Pin 12"),
        ("the fan is on pin 11 | no, the fan is on pin 12 | what do you remember", "11=0", "fan is on pin 12"),
        ("turn on pin 5 | the fan is on pin 11 | undo", "5=1", "I do not remember any more that the fan"),
        ("turn on pin 5 | the fan is on pin 11 | forget the fan | undo", "5=1", "Undo the last change of a board"),
        ("turn on pin 5 | the fan is on pin 11 | forget the fan | undo | yes", "5=0", "ndone"),
        ("blink pin 5 every 100 ms | fade pin 6 | stop it in 1 second", "5~200 apps=blink", "stop fade"),
        ("turn on pin 5 | stop it in 1 second", "5=0", "turn off pin 5"),
        ("blink pin 5 every 100 ms | what time is it | stop it in 1 second", "apps=", "stop blink"),
        (
            "blink pin 5 every 100 ms | fade pin 6 | what is the temperature | stop it in 1 second",
            "5~200 apps=blink,fade",
            "Which one: blink or fade",
        ),
        ("turn on pin 5 | turn on pin 6 in 10 minutes | undo", "5=1", "schedule 1 is removed"),
        ("turn on pin 5 | turn on pin 6 in 10 minutes | undo | what is scheduled", "5=1", "Nothing is scheduled"),
        ("turn on pin 5 | turn on pin 6 in 10 minutes | undo | undo", "5=1", "Undo the last change of a board"),
        ("turn on pin 6 in 10 minutes | turn on pin 5 | undo", "5=0", "ndone"),
        ("blink pin 5 every 100 ms | turn on pin 6 in 10 minutes | delete it", "5~200 apps=blink", "Cancelled: 1"),
        (
            "blink pin 5 every 100 ms | remind me in 10 minutes to eat | what is scheduled | remove it",
            "5~200 apps=blink",
            "Cancelled: 1",
        ),
        ("blink pin 5 every 100 ms | the fan is on pin 11 | remove it", "5~200 apps=blink", "Forgotten: the fan"),
    ],
)
async def test_a_sentence_refers_to_the_last_act(talk: Talk, said: str, board: str, answer: str) -> None:
    last = Answer("")
    for sentence in said.split(" | "):
        last = await talk.say(sentence)
    assert answer in last.text, last
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
    assert "came after it" in found.text
    assert await talk.missing("5=1 6=0") == []
