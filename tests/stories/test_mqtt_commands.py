"""A real broker: states, commands, their undo, what is refused, the last will, and telemetry of a board."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.stories.conftest import Host, running_host, until
from tests.stories.doors import blink, level, member_of, running
from tests.stories.mosquitto import Recorder, broker, recorder

from microclaw.apps import device_operations as devices


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Recorder]]:
    folder = tmp_path_factory.mktemp("house")
    home = folder / "home"
    home.mkdir(0o700)
    with broker(folder) as port, recorder(port, "microclaw/#", "homeassistant/#") as heard:
        (home / "config.toml").write_text(
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\ncommands = true\nhome_assistant = true\n'
        )
        with running_host(home, "--virtual", "1") as host:
            host.client.call(devices.label, device="virtual-1", labels=["pin-5=lamp"])
            yield host, heard


def root(host: Host) -> str:
    return f"microclaw/{host.client.get('/v1/status')['mqtt']['id']}"


def command(house: tuple[Host, Recorder], topic: str, payload: str) -> str:
    """Publish a command; the outcome that the host tells for it."""
    host, heard = house
    events = f"{root(host)}/virtual-1/event"

    def outcomes() -> list[str]:
        told = [json.loads(payload) for name, payload in heard.heard if name == events]
        return [one["data"]["outcome"] for one in told if one["name"] == "mqtt.command"]

    before = len(outcomes())
    heard.client.publish(f"{root(host)}/virtual-1/{topic}", payload, qos=1)
    return until(lambda: outcomes()[before:])[0]


def test_a_switch_of_home_assistant_drives_its_pin_and_its_button_takes_it_back(
    house: tuple[Host, Recorder],
) -> None:
    host, heard = house

    def lamp() -> dict[str, str]:
        configs = [payload for topic, payload in heard.heard if topic.startswith("homeassistant/device/")]
        found = json.loads(configs[-1])["cmps"].values() if configs and configs[-1] else []
        return next((one for one in found if str(one.get("command_topic", "")).endswith("/pin/lamp/set")), {})

    switch = until(lamp)
    assert switch["p"] == "switch"
    assert command(house, "pin/lamp/set", "ON") == "done"
    assert level(host, 5) == 1
    until(lambda: (heard.last(switch["state_topic"]) or {}).get("state") == "ON")
    assert command(house, "undo", "PRESS") == "done"
    assert level(host, 5) == 0
    until(lambda: heard.last(switch["state_topic"])["state"] == "OFF")


def test_a_program_is_stopped_and_started_and_its_pin_is_not_taken(house: tuple[Host, Recorder]) -> None:
    host, heard = house
    owner = member_of(host, "owner", "owner")
    assert owner.post("/v1/devices/virtual-1/apps", {"name": "blink", "source": blink(5)}).last["type"] == "result"
    state = f"{root(host)}/virtual-1/program/blink"
    until(lambda: (heard.last(state) or {}).get("state") == "ON")
    assert command(house, "pin/lamp/set", "ON") == "refused"
    assert running(host) == ["blink"]
    assert command(house, "program/blink/set", "OFF") == "done"
    assert running(host) == []
    until(lambda: heard.last(state)["state"] == "OFF")
    assert command(house, "program/blink/set", "ON") == "done"
    assert running(host) == ["blink"]
    assert owner.ask("DELETE", "/v1/devices/virtual-1/apps/blink").last["type"] == "result"
    until(lambda: heard.last(state) is None)


@pytest.mark.parametrize(
    ("topic", "payload"), [("pin/99/set", "ON"), ("pin/26/set", "ON"), ("program/nobody/set", "ON")]
)
def test_what_cannot_be_done_is_refused(house: tuple[Host, Recorder], topic: str, payload: str) -> None:
    assert command(house, topic, payload) in ("refused", "failed")


def test_a_killed_host_is_offline_by_its_last_will_and_does_no_retained_command_when_it_is_back(
    house: tuple[Host, Recorder],
) -> None:
    host, heard = house
    status, pin = f"{root(host)}/status", f"{root(host)}/virtual-1/pin/4/set"
    events = f"{root(host)}/virtual-1/event"

    def told() -> bytes:
        return [payload for topic, payload in heard.heard if topic == status][-1]

    assert told() == b"online"
    host.process.kill()
    until(lambda: told() == b"offline")
    heard.client.publish(pin, "ON", qos=1, retain=True).wait_for_publish(10)
    before = len(heard.heard)
    with running_host(host.home, "--virtual", "1") as again:
        until(lambda: told() == b"online")
        until(lambda: [1 for topic, _ in heard.heard[before:] if topic == events])
        told_of_it = [json.loads(payload) for topic, payload in heard.heard[before:] if topic == events]
        assert "refused" in [one["data"]["outcome"] for one in told_of_it if one["name"] == "mqtt.command"]
        assert level(again, 4) == 0
