"""Commands over MQTT: what they mean, what is refused, and that a flood of them is bounded and answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.interfaces.mqtt.conftest import publishing, until
from tests.mosquitto import Broker, Listener

from microclaw.host.config.settings import MqttSettings
from microclaw.interfaces.mqtt.commands import (
    MAX_NAME_CHARS,
    WAITING_A_DEVICE,
    Command,
    CommandOutcome,
    MqttCommands,
    read_command,
)
from microclaw.interfaces.mqtt.feed import MqttFeed
from microclaw.interfaces.mqtt.topics import topic_part

COMMANDS = {
    ("desk/pin/2/set", b"ON"): Command("desk", "pin", "2", "on"),
    ("desk/pin/led/set", b"false"): Command("desk", "pin", "led", "off"),
    ("desk/program/blink/set", b" off\n"): Command("desk", "program", "blink", "off"),
    ("desk/undo", b"PRESS"): Command("desk", "undo"),
}
WRONG = [
    ("desk/pin/2/set", b"maybe"), ("desk/pin/2/set", b"\xff\xfe"), ("desk/pin/2/set", b"x" * 65),
    ("desk/undo", b"ON"), ("desk/pin//set", b"ON"), (f"desk/program/{'x' * 127}/set", b"ON"), ("desk", b"ON"),
]  # fmt: skip


def test_commands_are_read_and_what_is_none_is_told_so() -> None:
    assert {words: read_command(*words) for words in COMMANDS} == COMMANDS
    for topic, payload in WRONG:
        with pytest.raises(ValueError, match=r"command|limit"):
            read_command(topic, payload)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_NAME_CHARS))
def test_any_name_is_one_safe_part_of_a_topic(name: str) -> None:
    part = topic_part(name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", part)
    assert read_command(f"desk/program/{part}/set", b"ON") == Command("desk", "program", name, "on")


class Acts:
    """Stands for the host's tools: keeps what it was asked, until a test lets it go on."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def make(self, feed: MqttFeed) -> MqttCommands:
        known = ("desk", "shelf").__contains__
        self.commands = MqttCommands(feed=feed, act=self.act, is_known=known, monotonic_s=lambda: 0.0)
        return self.commands

    async def act(self, command: Command) -> CommandOutcome:
        self.asked.append(command)
        await self.go_on.wait()
        return CommandOutcome("done")


async def test_flood_of_commands_is_bounded_and_told_once_a_second(
    broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    acts = Acts()
    settings = MqttSettings(url=broker.url, topic="flood", commands=True)
    heard = listen(broker.port, "flood/#")
    async with publishing(tmp_path, settings, make_commands=acts.make) as running:
        await running.connected()
        acts.go_on.clear()
        for number in range(3_000):
            heard.client.publish("flood/h-test/desk/pin/2/set", "ON" if number % 2 else "OFF", 0)
        commands = acts.commands
        taken = (WAITING_A_DEVICE, WAITING_A_DEVICE + 1)  # and the one that is under way, where it was begun in between
        await until(lambda: 3_000 - commands.dropped in taken, "it is not bounded")
        acts.go_on.set()
        told = "flood/h-test/event"
        await until(lambda: sum(one.body["data"]["count"] for one in heard.on(told)) == commands.dropped, "not told")
        assert len(heard.on(told)) < 30
        await until(lambda: len(acts.asked) == 3_000 - commands.dropped, "those that waited are not done")
        assert acts.asked[-1].switch == "on"


async def test_without_the_setting_no_command_is_heard(
    broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    heard = listen(broker.port, "deaf/#")
    async with publishing(tmp_path, MqttSettings(url=broker.url, topic="deaf")) as running:
        await running.connected()
        heard.say("deaf/h-test/desk/pin/2/set", "ON")
        heard.say("deaf/h-test/status", "offline")  # it is delivered after the command would be
        said = [b"offline", b"online"]
        await until(lambda: [one.payload for one in heard.on("deaf/h-test/status")][-2:] == said, "it hears nothing")
        assert running.publisher.status_object()["commands"] is None
        assert not heard.on("deaf/h-test/desk/event")
