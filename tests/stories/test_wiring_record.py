"""What is wired to a board is recorded once: a label, a sentence, a file and a command write it, all others read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.mosquitto import Broker, Listener
from tests.stories.conftest import Host, running_host, until

BOARD = "virtual-1"
DIAGRAM = {
    "version": 1,
    "parts": [
        {"id": "esp", "type": "board-esp32-s3-devkitc-1"},
        {"id": "lamp", "type": "wokwi-led"},
        {"id": "r1", "type": "wokwi-resistor"},
        {"id": "Btn1", "type": "wokwi-pushbutton"},
        {"id": "dht1", "type": "wokwi-dht22"},
        {"id": "q1", "type": "wokwi-tm1637-7segment-of-nobody"},
    ],
    "connections": [
        ["esp:5", "lamp:C", "", []],
        ["esp:3V3", "r1:1", "", []],
        ["r1:2", "lamp:A", "", []],
        ["esp:7", "Btn1:1.l", "", []],
        ["esp:GND.1", "Btn1:2.l", "", []],
        ["esp:4", "dht1:SDA", "", []],
    ],
}


@dataclass(frozen=True, slots=True)
class Home:
    host: Host
    heard: Listener

    def wiring(self) -> dict[str, Any]:
        ran = self.host.run("--json", "device", "wiring", BOARD)
        assert ran.code == 0, ran.err
        return {part["id"]: part for part in ran.json["parts"]}

    def wire(self, *words: str, code: int = 0) -> Any:
        ran = self.host.run("--json", "device", "wiring", BOARD, *words)
        assert ran.code == code, (ran.out, ran.err)
        return ran.json

    def say(self, sentence: str) -> dict[str, Any]:
        ran = self.host.run("chat", "--json", sentence)
        assert ran.code == 0, (ran.out, ran.err)
        answer: dict[str, Any] = ran.json
        return answer

    def switches(self) -> dict[str, str]:
        """The names of Home Assistant's switches of pins, by the last part of their topic."""
        messages = [one for one in self.heard.heard if one.topic.startswith("homeassistant/")]
        names: dict[str, str] = {}
        for message in messages[-1:]:
            for entity in message.body["cmps"].values():
                topic = str(entity.get("command_topic", ""))
                if "/pin/" in topic:
                    names[topic.split("/")[-2]] = entity["name"]
        return names


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("wired")
    (folder / "home").mkdir(0o700)
    broker = Broker(folder)
    broker.start()
    heard = Listener(broker.port, "microclaw/#", "homeassistant/#")
    (folder / "home" / "config.toml").write_text(
        f'[mqtt]\nurl = "{broker.url}"\ncommands = true\nhome_assistant = true\n'
    )
    with running_host(folder / "home", "--virtual", "1") as host:
        yield Home(host, heard)
    heard.close()
    broker.stop()


def test_a_label_a_sentence_and_a_command_write_one_record(home: Home) -> None:
    host = home.host
    assert {part["origin"] for part in home.wiring().values()} == {"soldered on"}
    ran = host.run("--json", "device", "label", BOARD, "indoor", "pin-6=fan")
    assert ran.json["changes"] == [
        "labels: indoor, was none",
        "wiring: fan=load pin=6 active=high label=fan, was none",
    ]
    assert "labels: indoor kitchen, was indoor" in host.run("device", "label", BOARD, "kitchen").out
    home.say("the fish tank light is on pin 4")
    home.wire("--add", "lamp=led pin=5 active=low")
    wiring = home.wiring()
    assert {part_id: part["pins"] for part_id, part in wiring.items() if part["pins"]} == {
        "fan": {"pin": 6},
        "fish-tank-light": {"pin": 4},
        "lamp": {"pin": 5},
    }
    assert wiring["fish-tank-light"]["label"] == "fish tank light"
    device = host.client.get(f"/v1/devices/{BOARD}")
    assert device["labels"] == ["indoor", "kitchen"]
    assert not {4, 5, 6} & set(device["free_pins"])
    names = {pin["pin"]: pin["labels"] for pin in device["pins"] if pin["labels"]}
    assert names == {4: ["fish tank light"], 5: ["lamp"], 6: ["fan"]}
    shown = {"led": "led", "fan": "fan", "fish-tank-light": "fish tank light", "lamp": "lamp"}
    until(lambda: home.switches() == shown)


def test_on_is_what_turns_the_part_on(home: Home) -> None:
    host = home.host
    home.say("turn on the lamp")
    assert host.level(BOARD, 5) == 0
    home.say("turn off the lamp")
    assert host.level(BOARD, 5) == 1
    home.say("set pin 5 low")
    assert host.level(BOARD, 5) == 0
    home.say("turn on the fish tank light")
    assert host.level(BOARD, 4) == 1
    root = next(topic for topic in (one.topic for one in home.heard.heard) if topic.endswith(f"/{BOARD}/pin/lamp"))
    home.heard.say(f"{root}/set", "OFF")
    until(lambda: host.level(BOARD, 5) == 1)
    home.heard.say(f"{root}/set", "ON")
    until(lambda: host.level(BOARD, 5) == 0)


def test_what_is_removed_or_forgotten_is_gone(home: Home) -> None:
    host = home.host
    assert host.run("device", "label", BOARD, "--remove", "indoor", "--remove", "pin-6=fan").code == 0
    assert host.client.get(f"/v1/devices/{BOARD}")["labels"] == ["kitchen"]
    home.say("forget the fish tank light")
    home.wire("--remove", "lamp")
    home.say("the pump is on pin 12")
    home.wire("--remove", "pump")
    assert "the pump is on pin 12" not in host.run("memory", "show").out
    assert {part_id for part_id, part in home.wiring().items() if part["pins"]} == set()
    until(lambda: home.switches() == {"led": "led"})
    home.wire("--remove", "lamp", code=1)
    home.wire("--add", "lamp=led pin=33", code=1)
    home.wire("--add", "lamp", code=1)


def test_a_diagram_is_the_record_and_the_board_has_its_parts(home: Home, tmp_path: Path) -> None:
    host = home.host
    file = tmp_path / "diagram.json"
    file.write_text(json.dumps(DIAGRAM))
    document = home.wire(str(file))
    assert document["not_simulated"] == ["q1"]
    assert document["renamed"] == {"Btn1": "btn1"}
    assert set(home.wiring()) == {"bme280", "ina219", "lamp", "btn1", "dht1"}
    own = tmp_path / "wiring.toml"
    own.write_text(document["file"])
    assert home.wire(str(own))["file"] == document["file"]
    home.say("turn on the lamp")
    assert host.level(BOARD, 5) == 0
    assert host.run("chat", "the pump is on pin 7").code == 1
    assert host.run("device", "label", BOARD, "pin-7=pump").code == 1
    assert home.wiring()["btn1"]["pins"] == {"pin": 7}
    # What is soldered on stays beside the parts of the diagram.
    scan = host.client.post(f"/v1/devices/{BOARD}/call", {"method": "i2c.scan", "arguments": {}})
    assert scan["result"]["addresses"] == [0x40, 0x76]


def test_a_program_of_the_catalogue_records_its_drawing_and_replaces_nothing(home: Home) -> None:
    host = home.host
    words = ("app", "install", "button_counter", "-d", BOARD)
    # The button of the record bounces in another way than the expectations of the program say.
    host.run("device", "wiring", BOARD, "--add", "push=button pin=7 bounce_ms=5", "--remove", "btn1")
    assert host.run(*words, "--set", "pin=7").code == 0
    before = home.wiring()
    assert (before["push"]["pins"], "button" in before) == ({"pin": 7}, False)
    ran = host.run(*words, "--name", "second", "--set", "pin=11")
    assert ran.code == 0, ran.err
    assert f"recorded as wired to {BOARD}: button=button pin=11 active=low" in ran.out + ran.err
    after = home.wiring()
    assert {part_id: after[part_id]["pins"] for part_id in after.keys() - before.keys()} == {"button": {"pin": 11}}


def test_a_record_survives_the_host(home: Home) -> None:
    before = home.wiring()
    home.host.process.terminate()
    home.host.process.wait(30)
    with running_host(home.host.home, "--virtual", "1") as again:
        ran = again.run("--json", "device", "wiring", BOARD)
        assert {part["id"]: part for part in ran.json["parts"]} == before
