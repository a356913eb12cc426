"""Which parts of a wiring the firmware reads by itself."""

from __future__ import annotations

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.readable import readable_sensors
from microclaw.hardware.parts.wiring import Wiring, make_part, parse_wiring, soldered_parts

BOARD = load_board("virtual")
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


def names(wiring: Wiring) -> dict[str, str]:
    return {name: part.id for name, part in readable_sensors(wiring, BOARD).items()}


def test_parts_with_a_reading_on_the_boards_own_bus_are_read_and_two_of_a_kind_by_their_addresses() -> None:
    assert names(parse_wiring(WIRING)) == {"bme280@0x76": "air", "bme280@0x77": "air-2", "ina219": "load"}


def test_a_part_whose_pins_are_those_of_the_boards_own_bus_is_read() -> None:
    assert BOARD.i2c is not None
    pins = {"sda": BOARD.i2c.sda, "scl": BOARD.i2c.scl}
    assert names(Wiring((make_part("imu1", "mpu6050", pins=pins),))) == {"mpu6050": "imu1"}


def test_what_is_soldered_on_is_read() -> None:
    assert names(soldered_parts(BOARD)) == {"bme280": "bme280", "ina219": "ina219"}
