"""A wiring's own form, what a board refuses of it, and where the file of a program lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, MicroclawError
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.named_parts import parse_part_lines, part_line
from microclaw.hardware.parts.wiring import NO_MODEL, make_part, parse_wiring, wiring_of_board
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.hardware.parts.wiring_file import find_wiring_file, read_wiring_text, wiring_text
from microclaw.programs.proof.expectation_text import parse_expectations

KITCHEN = """
[dht1]
part = "dht22"
data = 4
label = "kitchen"
[bme1]
part = "bme280"
address = 0x77
[lamp]
part = "led"
pin = 5
active = "low"
[strip]
part = "ws2812"
data = 15
count = 12
"""


def test_a_wiring_is_read_and_asked_by_pin_address_kind_and_quantity() -> None:
    wiring = parse_wiring(KITCHEN)
    check_wiring(wiring, load_board("virtual"))
    assert [part.id for part in wiring.on_pin(4)] == ["dht1"]
    bme = wiring.at_address(0x77)
    assert bme is not None
    assert bme.id == "bme1"
    assert [part.id for part in wiring.measuring("temperature")] == ["dht1", "bme1"]
    assert wiring.of_part("ws2812")[0].attributes == {"count": 12}
    lamp = wiring.find("lamp")
    assert lamp is not None
    assert lamp.active == "low"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a", "TOML"),
        ("a = 5", "a:"),
        ("[a]\npin = 4", "a:"),
        ('[a]\npart = "nothing-like-it"', "nothing-like-it"),
        ('[a]\npart = "led"', "pin"),
        ('[a]\npart = "led"\npin = 4\nshade = 3', "shade"),
        ('[a]\npart = "led"\npin = "four"', "pin"),
        ('[a]\npart = "led"\npin = true', "pin"),
        ('[a]\npart = "led"\npin = 4\nactive = "maybe"', "active"),
        ('[a]\npart = "servo"\nsignal = 4\nactive = "low"', "active"),
        ('[a]\npart = "led"\npin = 4\naddress = 5', "address"),
        ('[a]\npart = "bme280"\naddress = 5', "0x76"),
        ('[a]\npart = "bme280"\naddress = "0x76"', "0x76"),
        ('[a]\npart = "ws2812"\ndata = 4\ncount = 0', "count"),
        ('[a]\npart = "a4988"\nstep = 4\ndir = 5\nmicrosteps = 3', "1, 2, 4, 8, 16"),
        ('[a]\npart = "led"\npin = 4\nlabel = 5', "a name"),
        ('[a]\npart = "led"\npin = nan', "pin"),
        ('[a]\npart = "led"\npin = 4.5', "pin"),
        ("x = 1\n" * 40_000, "bytes"),
        ("\n".join(f"[a{number}]" for number in range(65)), "65"),
    ],
)
def test_a_wrong_wiring_is_refused_by_the_name_of_its_part_and_key(text: str, words: str) -> None:
    with pytest.raises(MicroclawError) as refused:
        parse_wiring(text)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[a]\npart = "led"\npin = 4\n[b]\npart = "servo"\nsignal = 4', "pin 4 has two parts"),
        ('[a]\npart = "led"\npin = 99', "no GPIO 99"),
        ('[a]\npart = "led"\npin = 35', "PSRAM"),
        ('[a]\npart = "bme280"\n[b]\npart = "bme280"', "0x76"),
    ],
)
def test_a_wiring_that_the_board_cannot_have_is_refused(text: str, words: str) -> None:
    wiring = parse_wiring(text)
    with pytest.raises(MicroclawError) as refused:
        check_wiring(wiring, load_board("virtual"))
    assert words in refused.value.message


def test_parts_at_one_address_may_be_on_two_buses_and_one_wire_parts_may_share_a_pin() -> None:
    text = """
    [a]
    part = "bme280"
    [b]
    part = "bme280"
    sda = 4
    scl = 5
    [c]
    part = "ds18b20"
    data = 15
    [d]
    part = "ds18b20"
    data = 15
    """
    check_wiring(parse_wiring(text), load_board("virtual"))


def test_a_shift_register_may_be_on_the_data_and_the_clock_of_an_spi_bus() -> None:
    display = '[a]\npart = "st7789"\nsck = 12\nmosi = 11\ndc = 4\ncs = 10\n'
    register = '[b]\npart = "hc595"\nshcp = 12\nds = 11\nstcp = 5\n'
    check_wiring(parse_wiring(display + register), load_board("virtual"))
    crossed = '[b]\npart = "hc595"\nshcp = 11\nds = 12\nstcp = 5\n'
    with pytest.raises(MicroclawError) as refused:
        check_wiring(parse_wiring(display + crossed), load_board("virtual"))
    assert refused.value.message == "pin 11 has two parts: a and b"


def test_a_board_has_its_record_and_what_is_soldered_on() -> None:
    board = load_board("virtual")
    lamp = parse_wiring('[lamp]\npart = "led"\npin = 5')
    assert [part.id for part in wiring_of_board(lamp, board).parts] == ["bme280", "ina219", "lamp"]
    other = parse_wiring('[kitchen]\npart = "bmp280"\n[ina219]\npart = "ina219"\naddress = 0x41')
    assert [part.id for part in wiring_of_board(other, board).parts] == ["kitchen", "ina219"]
    check_wiring(wiring_of_board(other, board), board)


def test_the_wiring_of_a_program_lies_beside_it_or_beside_its_src_folder(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    program = source / "main.cpp"
    program.write_text("")
    assert find_wiring_file(program) is None
    (tmp_path / "diagram.json").write_text('{"parts": [{"id": "x", "type": "own"}]}')
    assert find_wiring_file(program) == tmp_path / "diagram.json"
    assert read_wiring_text((tmp_path / "diagram.json").read_text()).not_simulated == {"x": NO_MODEL}
    (source / "wiring.toml").write_text(KITCHEN)
    assert find_wiring_file(source) == source / "wiring.toml"
    assert len(read_wiring_text((source / "wiring.toml").read_text()).parts) == 4


@pytest.mark.parametrize("key", ["gpio = 8", 'colour = "red"', "active_level = 1"])
def test_an_unknown_key_is_named_with_the_keys_that_the_part_has(key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_wiring(f'[lamp]\npart = "led"\npin = 5\n{key}\n')
    assert "lamp" in raised.value.message
    assert repr(key.split()[0]) in raised.value.message
    assert raised.value.next_step == "its keys: pin, color, label, active"


def test_the_ids_of_a_file_follow_the_rule_of_a_diagram() -> None:
    wiring = parse_wiring('[LCD]\npart = "led"\npin = 5\n["btn 1"]\npart = "button"\npin = 4\n')
    assert [part.id for part in wiring.parts] == ["lcd", "btn-1"]
    assert wiring.renamed == {"LCD": "lcd", "btn 1": "btn-1"}


def test_every_id_is_a_word_of_expectations() -> None:
    wiring = parse_wiring('["knob-"]\npart = "button"\npin = 4\n[a-b_]\npart = "button"\npin = 5\n')
    assert [part.id for part in wiring.parts] == ["knob", "a-b_"]
    for part in wiring.parts:
        parse_expectations(f"press {part.id} at 2 s, 4 s for 175 ms\npin 2: rises at 2 s\n")
    with pytest.raises(ConfigError):
        make_part("knob-", "button", pins={"pin": 4})


_I2C = '[a]\npart = "bme280"\nsda = 4\nscl = 5\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[a]\npart = "bme280"\nsda = 4\nscl = 4\n', "a: sda and scl are both on pin 4"),
        (_I2C + '[b]\npart = "ds18b20"\ndata = 4\n', "pin 4 has a (sda) and b (data)"),
        (_I2C + '[b]\npart = "bmp180"\nsda = 5\nscl = 4\n', "pin 5 has a (scl) and b (sda)"),
        ('[a]\npart = "hcsr04"\ntrig = 4\necho = 4\n', "a: trig and echo are both on pin 4"),
        ('[a]\npart = "led"\npin = 8\n', "pin 8 has bme280 (sda) and a (pin)"),
        ('[b]\npart = "bmp180"\n[a]\npart = "led"\npin = 9\n', "pin 9 has bme280 (scl) and a (pin)"),
    ],
)
def test_pins_that_cannot_share_a_gpio_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_wiring(parse_wiring(text), load_board("virtual"))
    assert refused.value.message == words


def test_half_a_bus_and_a_value_that_follows_are_refused() -> None:
    with pytest.raises(ConfigError, match="which pin is its scl wired to"):
        parse_wiring('[a]\npart = "bme280"\nsda = 4\n')
    with pytest.raises(ConfigError, match="has no 'power'"):
        parse_wiring('[a]\npart = "ina219"\npower = 5\n')


def test_the_text_of_a_wiring_has_all_its_keys() -> None:
    text = '[kp]\npart = "keypad"\nr1 = 4\nr2 = 5\nr3 = 6\nr4 = 7\nc1 = 15\nc2 = 16\nc3 = 17\n"#" = 1\n"*" = 1\n'
    text += '[m]\npart = "mq2"\nao = 1\nr0_kohm = 3.3333333333333335\n[b]\npart = "bh1750"\nlight = 1e-05\n'
    wiring = parse_wiring(text)
    assert parse_wiring(wiring_text(wiring)) == wiring
    assert parse_part_lines([part_line(part) for part in wiring.parts]) == wiring


def test_a_wiring_with_a_byte_order_mark_is_read_and_one_that_is_too_large_says_so() -> None:
    assert len(read_wiring_text("\ufeff" + KITCHEN).parts) == 4
    with pytest.raises(ConfigError, match="a wiring has 130,000 bytes, at most 65,536"):
        read_wiring_text("é" * 65_000)
    diagram = json.dumps({"parts": [{"id": "led1", "type": "wokwi-led", "attrs": {"note": "x" * 5_000_000}}]})
    with pytest.raises(ConfigError, match=f"the diagram has {len(diagram):,} bytes, at most 1,000,000"):
        read_wiring_text(diagram)


def test_json_that_is_no_diagram_is_named_so() -> None:
    for text in ("[]", ' [{"id": 1}]'):
        with pytest.raises(ConfigError, match=r"no diagram\.json"):
            read_wiring_text(text)
