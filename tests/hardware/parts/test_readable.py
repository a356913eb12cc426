"""Which parts of a wiring the firmware reads by itself."""

from __future__ import annotations

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.readable import readable_parts
from microclaw.hardware.parts.wiring import parse_wiring, soldered_parts

WIRING = """
[air]
part = "bme280"

[air-2]
part = "bme280"
address = 0x77

[load]
part = "ina219"

[elsewhere]
part = "bme280"
sda = 4
scl = 5

[dht1]
part = "dht22"
data = 6

[lamp]
part = "led"
pin = 7
"""


def test_parts_with_a_reading_on_the_boards_own_bus_are_read_one_of_each_kind() -> None:
    assert [part.id for part in readable_parts(parse_wiring(WIRING))] == ["air", "load"]


def test_what_is_soldered_on_is_read() -> None:
    assert [part.part for part in readable_parts(soldered_parts(load_board("virtual")))] == ["bme280", "ina219"]
