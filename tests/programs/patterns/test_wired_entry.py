"""The parts that the shipped entries record of their drawings."""

from __future__ import annotations

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.named_parts import parse_part_line, part_line
from microclaw.hardware.parts.wiring import Wiring, soldered_parts
from microclaw.programs.patterns.catalog import Entry, shipped
from microclaw.programs.patterns.wired_entry import new_parts

# Its second part is what the sensor measures.
_WITHOUT_PARTS = {"load and supply"}


def _lines(name: str, wiring: Wiring, **params: int) -> list[str]:
    entry = next(entry for entry in shipped() if entry.name == name)
    return [part_line(part) for part in new_parts(entry, params, wiring)]


def _drawn(entry: Entry) -> list[str]:
    return [part.name for part in entry.wiring if part.name not in _WITHOUT_PARTS]


def test_every_drawn_part_of_a_shipped_entry_is_recorded() -> None:
    for entry in shipped():
        recorded = new_parts(entry, {}, Wiring())
        assert len(recorded) == len(_drawn(entry)), entry.name


def test_a_drawn_part_is_the_kind_that_its_name_its_terminals_and_its_use_mean() -> None:
    assert _lines("distance_alarm", Wiring()) == [
        "hc-sr04=hcsr04 trig=5 echo=18",
        "buzzer=buzzer pin=6 active=high",
    ]
    assert _lines("day_night_light", Wiring(), DARK_PIN=7) == [
        "light-sensor=digital_input pin=7 active=low",
        "lamp-relay=relay pin=5 active=high",
    ]
    assert _lines("stepper", Wiring()) == ["uln2003-board=stepper_uln2003 in1=4 in2=5 in3=6 in4=7"]
    assert _lines("rainbow", Wiring()) == ["ws2812-strip=ws2812 data=48"]
    assert _lines("bme280", Wiring(), ADDRESS=0x77) == ["bme280=bme280 address=0x77"]


def test_what_is_recorded_already_stays() -> None:
    lamp = parse_part_line("led=led pin=5 active=low")
    assert _lines("fade", Wiring((lamp,))) == []
    assert _lines("blink", Wiring((lamp,))) == ["led-2=led pin=2 active=high"]
    assert _lines("bme280", soldered_parts(load_board("virtual"))) == []
