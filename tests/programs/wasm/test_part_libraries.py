"""The Arduino libraries and C readings of parts: found by their folder, each an archive, checked as programs are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts import reader
from microclaw.hardware.parts.reader import parts, quantities
from microclaw.hardware.parts.wiring import make_part
from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.part_libraries import Library, folder_digest, libraries_for, library_headers, library_roots
from microclaw.programs.wasm.part_readings import parts_with_reading
from microclaw.programs.wasm.refusals import refused_name
from microclaw.programs.wasm.source_scanner import own_header_names
from microclaw.programs.wasm.toolchain import OWN_FOLDERS, find_toolchain

FACTS = """
title = "a lamp of its own"
kind = "actuator"
source = "none"
[[pins]]
role = "pin"
use = "output"
[[pins]]
role = "other"
use = "input"
"""
HEADER = """#pragma once
#include <Arduino.h>
#include <Wire.h>
#include <arduino/pin_arguments.h>
class OwnLamp {
  public:
    OwnLamp(int pin, int other) MICROCLAW_OUTPUT_PIN(pin) MICROCLAW_INPUT_PIN(other) : pin_(pin) { (void)other; }
    bool begin(TwoWire *wire = &Wire) MICROCLAW_I2C_PINS { return microclaw_begin_wire(wire); }
    void turnOn();
  private:
    int pin_;
};
"""
SOURCE = """#include <OwnLamp.h>
void OwnLamp::turnOn() {
    pinMode(pin_, OUTPUT);
    digitalWrite(pin_, HIGH);
    printf("on\\n");
}
"""
SKETCH = "#include <OwnLamp.h>\nOwnLamp lamp(4, 5);\nvoid setup() { lamp.turnOn(); }\nvoid loop() { delay(1000); }\n"


@pytest.fixture
def own_lamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A part in a folder of its own, beside those that are shipped."""
    folder = tmp_path / "own_lamp"
    (folder / "arduino").mkdir(parents=True)
    (folder / "part.toml").write_text(FACTS)
    (folder / "arduino" / "OwnLamp.h").write_text(HEADER)
    (folder / "arduino" / "OwnLamp.cpp").write_text(SOURCE)
    folders = (*reader.part_folders(), folder)
    monkeypatch.setattr(reader, "part_folders", lambda: folders)
    reader.parts.cache_clear()
    yield folder
    reader.parts.cache_clear()


async def test_a_library_in_a_new_folder_is_served_with_its_pins(own_lamp: Path, compile_c: Any, on_board: Any) -> None:
    image = await compile_c(SKETCH, language="sketch")
    assert image.pins == (4, 5)
    assert image.driven == (4,)
    assert image.wired == (make_part("own_lamp", "own_lamp", pins={"pin": 4, "other": 5}),)
    assert on_board.run(image, 100).own == ["on"]
    with_bus = await compile_c(SKETCH.replace("lamp.turnOn()", "lamp.begin()"), language="sketch")
    assert with_bus.pins == (4, 5, 8, 9)
    with pytest.raises(BuildError) as caught:
        await compile_c(
            "#include <Arduino.h>\nOwnLamp lamp(4, 5);\nvoid setup() {}\nvoid loop() {}\n", language="sketch"
        )
    assert caught.value.diagnostics[0].hint == "add #include <OwnLamp.h>"


async def test_a_changed_header_makes_only_its_own_archive_anew(tmp_path: Path) -> None:
    toolchain = find_toolchain()
    roots = []
    for name in ("one", "two"):
        root = tmp_path / name / "arduino"
        root.mkdir(parents=True)
        (root / f"{name}.h").write_text("#pragma once\n")
        (root / f"{name}.c").write_text(f"#include <{name}.h>\nint {name};\n")
        roots.append(root)
    libraries = [Library(root) for root in roots]
    before = await build_glue(toolchain, tmp_path / "cache", libraries)
    assert await build_glue(toolchain, tmp_path / "cache") == {name: before[name] for name in OWN_FOLDERS}
    (roots[0] / "one.h").write_text("#pragma once\n#define CHANGED 1\n")
    # A host reads each library's files once.
    folder_digest.cache_clear()
    after = await build_glue(toolchain, tmp_path / "cache", libraries)
    assert [name for name in before if before[name] != after[name]] == ["one-arduino"]


async def test_a_program_without_parts_searches_and_links_none(compile_c: Any) -> None:
    assert libraries_for({"Arduino.h", "Wire.h", "SPI.h", "microclaw.h"}) == ()


def test_each_header_is_in_one_library() -> None:
    names: list[str] = []
    for root in library_roots():
        names += [header.relative_to(root).as_posix() for header in root.rglob("*.h")]
    assert len(names) == len(set(names))
    assert not own_header_names() & set(names)
    assert library_headers().keys() == set(names)


def test_each_library_includes_only_what_is_there() -> None:
    """So that a program gets the archives of all that it needs."""
    for header in library_headers():
        libraries = libraries_for({header})
        assert libraries[0].root == library_headers()[header]


async def test_each_header_of_a_library_compiles_as_the_first(compile_c: Any) -> None:
    for header in sorted(library_headers()):
        await compile_c(f"#include <{header}>\nvoid setup() {{}}\nvoid loop() {{ delay(1000); }}\n", language="sketch")


async def test_each_reading_has_the_fields_of_its_part(compile_c: Any) -> None:
    for name, part in parts_with_reading().items():
        fields = "".join(f"{name}.{quantities()[quantity].reading} + " for quantity in part.measures)
        assert part.i2c is not None
        read = f"{name}_read(i2c_open(8, 9), {part.i2c.addresses[0]}, &{name})"
        source = (
            f'#include <microclaw.h>\nint main(void) {{ {name}_t {name}; if (!{read}) printf("%f", {fields}0.0); }}\n'
        )
        assert (await compile_c(source)).warnings == ()


async def test_sensor_read_links_only_what_measures_the_quantity(compile_c: Any) -> None:
    sizes = []
    for quantity in ('"voltage"', "word"):
        read = f"sensor_read(i2c_open(8, 9), 0x40, {quantity}, &value)"
        main = f'int main(void) {{ float value; if (!{read}) printf("%f", value); }}'
        source = f"#include <microclaw.h>\nchar word[16];\n{main}\n"
        sizes.append(len((await compile_c(source)).wasm))
    assert sizes[0] < sizes[1] - 1000


def test_what_a_program_is_too_slow_for_is_refused_with_the_way_that_exists() -> None:
    refused = {}
    for part in parts().values():
        needs = [pin.needs for pin in part.pins if pin.needs]
        for header in part.serves.arduino:
            if needs and header not in library_headers():
                refused[header] = (part.title.partition(":")[0], needs[0])
    assert {"DHT.h", "Adafruit_NeoPixel.h", "OneWire.h", "DallasTemperature.h", "FastLED.h"} <= refused.keys()
    for header in refused:
        advice = refused_name(header, headers=True)
        assert advice is not None
        assert "microclaw flash" in advice.hint
        assert "needs" in (advice.explanation or "")
        assert refused_name(header.removesuffix(".h")) == advice


SPI = """#include <SPI.h>
void setup() {
  SPI.begin();
  SPI.beginTransaction(SPISettings(4000000, MSBFIRST, SPI_MODE3));
  Serial.println(SPI.transfer(0x9f));
  uint8_t data[600] = {1};
  SPI.transfer(data, sizeof data);
  SPI.endTransaction();
  Serial.println(data[0]);
}
void loop() { delay(1000); }
"""


async def test_spi_is_only_refused_where_it_is_used(compile_c: Any, board: BoardProfile, on_board: Any) -> None:
    only_included = "#include <SPI.h>\nvoid setup() { Serial.println(1); }\nvoid loop() { delay(1000); }\n"
    assert on_board.run(await compile_c(only_included, language="sketch"), 100).own == ["1"]
    with pytest.raises(BuildError) as caught:
        await compile_c(SPI, language="sketch")
    assert "/dev/spi" in caught.value.diagnostics[0].message
    assert "microclaw flash" in (caught.value.diagnostics[0].hint or "")
    with_spi = parse_firmware(("nodes=+spi",)).applied(board)
    image = await compile_c(SPI, language="sketch", board=with_spi)
    assert {11, 12, 13} <= set(image.pins)


async def test_a_header_names_no_pins_by_itself(compile_c: Any) -> None:
    image = await compile_c("#include <Adafruit_INA219.h>\nvoid setup() {}\nvoid loop() {}\n", language="sketch")
    assert image.pins == ()


I2C_PINS: Mapping[str, tuple[int, ...]] = {"": (8, 9), "Wire.begin();": (8, 9), "Wire.begin(4, 5);": (4, 5)}


@pytest.mark.parametrize("begin", I2C_PINS)
async def test_a_library_on_i2c_uses_the_pins_of_the_board_or_of_the_program(compile_c: Any, begin: str) -> None:
    read = "if (sensor.begin()) { Serial.println(sensor.getCurrent_mA()); }"
    source = (
        f"#include <Adafruit_INA219.h>\nAdafruit_INA219 sensor;\nvoid setup() {{ {begin} {read} }}\nvoid loop() {{}}\n"
    )
    image = await compile_c(source, language="sketch")
    assert image.pins == I2C_PINS[begin]


async def test_an_i2c_part_is_wired_at_the_address_that_a_sketch_writes_or_its_library_has(compile_c: Any) -> None:
    sketch = """
    #include <Adafruit_SHT31.h>
    #include <RTClib.h>
    Adafruit_SHT31 air;
    RTC_DS1307 rtc;
    void setup() { air.begin(0x45); rtc.begin(); }
    void loop() { delay(1000); }
    """
    image = await compile_c(sketch, language="sketch")
    clock = make_part("ds1307", "ds1307", pins={}, address=0x68)
    assert image.wired == (clock, make_part("sht3x", "sht3x", pins={}, address=0x45))
    image = await compile_c(sketch.replace("air.begin", "Wire.begin(4, 5); air.begin"), language="sketch")
    assert [part.pins for part in image.wired] == [{"sda": 4, "scl": 5}] * 2


@pytest.mark.parametrize(("wanted", "is_header"), [("MPU6050_tockn.h", True), ("BH1750FVI.h", True), ("SHT3X", False)])
def test_another_library_of_a_part_is_answered_with_the_one_that_is_here(wanted: str, is_header: bool) -> None:
    advice = refused_name(wanted, headers=is_header)
    assert advice is not None
    assert advice.hint.startswith("for this part there is another library: add #include <")
    assert refused_name("my_button.h", headers=True) is None
