"""Every room knows a part and a quantity from their files alone: both are added in a folder, and found in each."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from microclaw.agent.knowledge.skills import shipped_skills
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline import board_sensors, sentences
from microclaw.agent.offline.decision import Context
from microclaw.agent.turn.system_prompt import sensor_lines
from microclaw.devices.registry import answer_check
from microclaw.devices.registry.calls import I2cRead, SensorReading
from microclaw.devices.transports.pin_calls import PinAnswer, pin_result, pin_url
from microclaw.errors import ConfigError, DeviceLied
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts import reader
from microclaw.interfaces.mqtt import discovery
from microclaw.programs.patterns import library
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.stimuli import PartStimulus

ROOT: Final = Path(__file__).parents[3]
PAGE_SCRIPT: Final = str(ROOT / "scripts" / "parts_page.py")
SKILL: Final = shipped_skills() / "esp32-exploration" / "SKILL.md"
CACHES: Final[tuple[Any, ...]] = (
    reader.quantities,
    reader.part_folders,
    reader.parts,
    sentences._read_english,
    answer_check._possible_values,
    discovery.reading_sensors,
    library.load_pattern,
)
"""What is derived from the files, and computed once."""
# "Sound" has words for sentences already, as something that no part measures.
QUANTITY: Final = """
[sound]
reading = "sound_db"
unit = "dB"
spoken_unit = "decibels"
decimals = 0
possible = [0, 194]
home_assistant = "sound_pressure"
words.en = "(loudness|sound level)"
"""
PART: Final = """
title = "EAR9000: sound and temperature"
kind = "sensor"
source = "a data sheet"

[i2c]
addresses = [0x50, 0x51, 0x52]

[measures]
sound = { least = 30, most = 130, default = 40, sample = 90 }
temperature = { least = 0, most = 50, default = 20, sample = 30 }
"""


@pytest.fixture
def added_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Add the part "ear9000" with its quantity to a copy of the parts' folder, and return the part's name."""
    folder = tmp_path / "parts"
    shutil.copytree(reader.FOLDER, folder)
    with (folder / "quantities.toml").open("a", encoding="utf-8") as file:
        file.write(QUANTITY)
    part_folder = folder / "ear9000"
    part_folder.mkdir()
    (part_folder / "part.toml").write_text(PART, encoding="utf-8")
    monkeypatch.setattr(reader, "FOLDER", folder)
    _forget()
    yield part_folder.name
    _forget()


def _forget() -> None:
    for cache in CACHES:
        cache.cache_clear()


def _board(**sensors: int) -> BoardProfile:
    board = load_board("virtual")
    assert board.i2c is not None
    return replace(board, i2c=replace(board.i2c, sensors=sensors))


def _sensor(sentence: str, board: BoardProfile) -> board_sensors.BoardSensor:
    parse = sentences.english().parse(sentence)
    assert parse is not None
    devices = DeviceContext((KnownDevice("desk", board),))
    return board_sensors.sensor_of(Context(parse, sentence, devices))


def test_a_sentence_means_the_first_part_on_the_board_that_measures_it(added_part: str) -> None:
    assert _sensor("what is the sound level", _board(ear9000=0x51)).address == 0x51
    # The word alone is a sentence, too, as of each measured quantity.
    assert _sensor("loudness", _board(ear9000=0x51)).part.name == added_part
    assert _sensor("what is the temperature", _board(ear9000=0x51)).part.name == added_part
    assert _sensor("what is the temperature", _board(ear9000=0x51, bme280=0x76)).part.name == "bme280"
    # "Noise" was a word for what no part measures.
    assert sentences.english().parse("what is the noise") is None


def test_expectations_and_patterns_have_it(added_part: str) -> None:
    expectations = parse_expectations("i2c.ear9000.sound = 90 at 2 s\npin 2: high at 4 s")
    assert expectations.stimuli == (PartStimulus(added_part, 2000.0, 90.0, "sound", on_bus=True, line=1),)
    program = library.fill("threshold", {"QUANTITY": "sound", "ADDRESS": 0x50, "LIMIT_MILLI": 60_000}, kind="py")
    assert "i2c.ear9000.sound = 61 at" in program.expect
    assert 'QUANTITY = "sound"' in program.source
    with pytest.raises(ConfigError):
        library.fill("threshold", {"QUANTITY": "weight"})


def test_a_stock_board_is_asked_for_it_at_each_address(added_part: str) -> None:
    call = I2cRead(added_part)
    assert pin_url(_board(), call) == "pins/ear9000/80/81/82"
    assert pin_url(_board(ear9000=0x52), call) == "pins/ear9000/82/80/81"
    reading = pin_result(call, PinAnswer("ok", (61_500, 20_250), {}))
    assert reading == SensorReading(added_part, {"sound_db": 61.5, "temperature_c": 20.25})


def test_an_impossible_reading_is_no_reading(added_part: str) -> None:
    call = I2cRead(added_part)
    answer_check.check_answer("desk", call, SensorReading(added_part, {"sound_db": 90.0}))
    with pytest.raises(DeviceLied):
        answer_check.check_answer("desk", call, SensorReading(added_part, {"sound_db": 300.0}))


def test_home_assistant_gets_it_with_its_class(added_part: str) -> None:
    assert discovery.reading_sensors()["sound_db"] == {
        "name": "sound",
        "unit_of_measurement": "dB",
        "device_class": "sound_pressure",
        "state_class": "measurement",
    }


def test_a_model_and_a_reader_find_it(added_part: str) -> None:
    assert any("sound (dB)" in line for line in sensor_lines())
    script = runpy.run_path(PAGE_SCRIPT)
    assert f"| `{added_part}` | EAR9000: sound and temperature | I2C at 0x50, 0x51 or 0x52 |" in script["page"]()
    skill = script["skill_page"](SKILL.read_text(encoding="utf-8"))
    assert "| 0x50, 0x51 or 0x52 | EAR9000: sound and temperature |" in skill


def test_the_page_and_the_skill_are_made_from_the_parts() -> None:
    """If this fails: make docs."""
    script = runpy.run_path(PAGE_SCRIPT)
    assert script["page"]() == (ROOT / "docs/reference/parts.md").read_text(encoding="utf-8")
    skill = SKILL.read_text(encoding="utf-8")
    assert script["skill_page"](skill) == skill


def test_no_room_reads_the_parts_when_it_is_imported() -> None:
    """The start of the host and `--help` do not wait for the files of parts."""
    rooms = (
        "microclaw.app, microclaw.interfaces.cli, microclaw.interfaces.mqtt.setup, microclaw.agent.turn.setup, "
        "microclaw.agent.offline.model, microclaw.programs.changes.tool_forms, microclaw.devices.transports.open"
    )
    code = f"import {rooms}\nfrom microclaw.hardware.parts import reader\n"
    code += "print(reader.parts.cache_info().misses, reader.quantities.cache_info().misses)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0", "0"]
