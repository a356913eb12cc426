"""Models of I2C parts at register level, with the examples of their data sheets."""

from __future__ import annotations

from struct import unpack

import pytest
from tests.hardware.parts.desk_bench import DeskBench

from microclaw.hardware.parts import pressure_compensation
from microclaw.hardware.parts.bmp180.model import b5_of, pressure_pa
from microclaw.hardware.parts.models import BusDevice
from microclaw.hardware.parts.reader import i2c_sensors
from microclaw.hardware.parts.sht3x.model import crc8
from microclaw.hardware.parts.wiring import make_part
from microclaw.virtual.bench import load_model


@pytest.fixture
def bench() -> DeskBench:
    return DeskBench()


def make_device(name: str, bench: DeskBench, *, pins: dict[str, int] | None = None, **attributes: float) -> BusDevice:
    model_class = load_model(name)
    assert model_class is not None
    device = model_class(make_part("part1", name, pins=pins or {}, attributes=attributes), bench)
    device.reset()
    assert isinstance(device, BusDevice)
    return device


def read_from(device: BusDevice, register: int, size: int) -> bytes:
    device.write(bytes([register]))
    return device.read(size)


@pytest.mark.parametrize("name", sorted(i2c_sensors()))
def test_any_traffic_on_the_bus_is_answered(name: str, bench: DeskBench) -> None:
    device = make_device(name, bench)
    for first in range(256):
        device.write(bytes([first]))
        device.write(bytes([first, 255 - first, first, 7, first]))
        assert len(device.read(3)) == 3
    device.write(b"")
    assert device.read(0) == b""


# BST-BMP180-DS000, section 3.5; BST-BMP280-DS001, section 3.12.
def test_compensations_are_those_of_the_data_sheets() -> None:
    b5 = b5_of(27898)
    assert b5 + 8 >> 4 == 150
    assert pressure_pa(23843, b5, 0) == 69964
    hundredths, fine = pressure_compensation.compensate_temperature(519888)
    assert (hundredths, fine) == (2508, 128422)
    assert pressure_compensation.compensate_pressure(415148, fine) == 25767233


# SHT3x-DIS, table 20.
def test_the_checksum_of_an_sht3x_is_that_of_its_data_sheet(bench: DeskBench) -> None:
    assert crc8(b"\xbe\xef") == 0x92
    device = make_device("sht3x", bench)
    device.set_values({"temperature": 25, "humidity": 50})
    device.write(b"\x24\x00")
    assert not device.acknowledges_read
    bench.t_ms += 12.5
    assert device.acknowledges_read
    raw_t, crc_t, raw_h, crc_h = unpack(">HBHB", device.read(6))
    assert -45 + 175 * raw_t / 65535 == pytest.approx(25, abs=0.003)
    assert 100 * raw_h / 65535 == pytest.approx(50, abs=0.002)
    assert (crc_t, crc_h) == (crc8(raw_t.to_bytes(2, "big")), crc8(raw_h.to_bytes(2, "big")))
    # One answer for one command.
    assert not device.acknowledges_read


def test_an_sht3x_that_measures_all_the_time_has_one_answer_a_period(bench: DeskBench) -> None:
    device = make_device("sht3x", bench)
    device.write(b"\x27\x37")
    answers = []
    for t_ms in (5, 20, 21, 113, 500, 511, 513):
        bench.t_ms = t_ms
        device.write(b"\xe0\x00")
        answers.append(device.acknowledges_read)
    assert answers == [False, True, False, True, True, False, True]


def test_an_sht3x_notes_that_it_was_reset(bench: DeskBench) -> None:
    device = make_device("sht3x", bench)
    device.write(b"\xf3\x2d")
    assert device.read(2) == b"\x80\x10"
    device.write(b"\x30\x41")
    device.write(b"\xf3\x2d")
    assert device.read(2) == b"\0\0"


FORCED = [
    # What a program writes, the register and the bits that say that a measurement runs, and its typical time.
    ("bme280", "f201f425", 0xF3, 0x08, 8.0, 0xF7, 8),
    ("bme280", "f205f4b5", 0xF3, 0x08, 98.0, 0xF7, 8),
    ("bmp280", "f425", 0xF3, 0x08, 5.5, 0xF7, 6),
    ("bmp180", "f42e", 0xF4, 0x20, 3.0, 0xF6, 3),
    ("bmp180", "f4f4", 0xF4, 0x20, 17.0, 0xF6, 3),
]


@pytest.mark.parametrize(("name", "order", "status", "busy", "duration_ms", "data", "size"), FORCED)
def test_a_value_is_there_when_the_measurement_has_ended(
    name: str, order: str, status: int, busy: int, duration_ms: float, data: int, size: int, bench: DeskBench
) -> None:
    device = make_device(name, bench)
    old = read_from(device, data, size)
    device.write(bytes.fromhex(order))
    bench.t_ms += duration_ms - 0.01
    assert read_from(device, status, 1)[0] & busy
    assert read_from(device, data, size) == old
    bench.t_ms += 0.02
    assert not read_from(device, status, 1)[0] & busy
    measured = read_from(device, data, size)
    assert measured != old
    # Asleep, it keeps what it measured.
    device.set_values({"temperature": 5, "pressure": 600})
    assert read_from(device, data, size) == measured


@pytest.mark.parametrize("name", ["bme280", "bmp280"])
def test_in_normal_mode_values_follow_after_the_first_measurement(name: str, bench: DeskBench) -> None:
    device = make_device(name, bench)
    old = read_from(device, 0xF7, 6)
    device.write(bytes.fromhex("f427"))
    assert read_from(device, 0xF7, 6) == old
    bench.t_ms += 10
    first = read_from(device, 0xF7, 6)
    device.set_values({"temperature": 5})
    assert len({old, first, read_from(device, 0xF7, 6)}) == 3


def test_an_mpu6050_sleeps_until_it_is_woken_and_has_four_ranges(bench: DeskBench) -> None:
    device = make_device("mpu6050", bench)
    assert read_from(device, 0x75, 1) == b"\x68"
    assert read_from(device, 0x3B, 14) == bytes(14)
    device.write(b"\x6b\x00")
    assert unpack(">h", read_from(device, 0x3F, 2)) == (16384,)
    device.write(b"\x1c\x18")
    assert unpack(">h", read_from(device, 0x3F, 2)) == (2048,)
    device.write(b"\x1b\x08")
    device.set_values({"rotation_x": 100})
    assert unpack(">h", read_from(device, 0x43, 2)) == (6550,)
    # Beyond the range is its end.
    device.write(b"\x1b\x00")
    device.set_values({"rotation_x": 2000})
    assert unpack(">h", read_from(device, 0x43, 2)) == (32767,)
    device.write(b"\x6b\x80")
    assert read_from(device, 0x6B, 1) == b"\x40"


def test_an_mpu6050_notes_a_motion_until_its_status_is_read(bench: DeskBench) -> None:
    device = make_device("mpu6050", bench)
    device.write(b"\x1f\x14")
    device.write(b"\x38\x40")
    device.set_values({"acceleration_x": 0.03})
    assert read_from(device, 0x3A, 1)[0] & 0x40 == 0
    device.set_values({"acceleration_x": 0.5})
    assert read_from(device, 0x3A, 1)[0] & 0x40
    assert read_from(device, 0x3A, 1)[0] & 0x40 == 0


def test_a_light_sensor_has_its_first_value_after_the_time_of_its_mode(bench: DeskBench) -> None:
    device = make_device("bh1750", bench)
    device.write(b"\x10")
    bench.t_ms = 100
    assert device.read(2) == b"\x00\x00"
    bench.t_ms = 120
    assert device.read(2) == (360).to_bytes(2, "big")
    # Twice the usual time of a measurement, and steps of half a lux.
    device.write(b"\x44")
    device.write(b"\x6a")
    device.write(b"\x21")
    bench.t_ms = 120 + 241
    assert device.read(2) == (1440).to_bytes(2, "big")


@pytest.mark.parametrize("name", ["ds1307", "ds3231"])
def test_a_clock_counts_over_the_end_of_february(name: str, bench: DeskBench) -> None:
    device = make_device(name, bench)
    bench.t_ms = 3_600_000
    assert read_from(device, 0, 7) == bytes.fromhex("00001203010125")
    device.write(bytes.fromhex("0058592303280224"))
    bench.t_ms += 2_000
    assert read_from(device, 0, 7) == bytes.fromhex("00000004290224")
    # A cut of the power does not stop a clock with a battery.
    device.reset()
    bench.t_ms += 1_000
    assert read_from(device, 0, 3) == bytes.fromhex("010000")


@pytest.mark.parametrize("name", ["ds1307", "ds3231"])
def test_a_clock_may_count_in_halves_of_a_day(name: str, bench: DeskBench) -> None:
    device = make_device(name, bench)
    device.write(bytes.fromhex("0059597103280224"))
    bench.t_ms = 1_000
    # 11:59:59 pm, and then 12:00:00 am.
    assert read_from(device, 0, 5) == bytes.fromhex("0000520429")
    device.set_values({"hour": 13})
    assert read_from(device, 2, 1) == bytes([0x40 | 0x20 | 0x01])


def test_a_date_that_does_not_exist_is_not_taken(bench: DeskBench) -> None:
    device = make_device("ds1307", bench)
    device.write(bytes.fromhex("0000000001310225"))
    assert read_from(device, 4, 3) == bytes.fromhex("010125")


def test_a_ds1307_without_its_battery_stands_until_it_is_set(bench: DeskBench) -> None:
    device = make_device("ds1307", bench, lost_power=1)
    bench.t_ms = 5_000
    assert read_from(device, 0, 7) == bytes.fromhex("80000006010100")
    device.write(b"\x00\x00")
    bench.t_ms = 7_000
    assert read_from(device, 0, 1) == b"\x02"
    device.write(b"\x00\x82")
    bench.t_ms = 9_000
    assert read_from(device, 0, 1) == b"\x82"
    # Its memory ends at 0x3F, and then comes the time.
    device.write(b"\x3e\x11\x22")
    assert read_from(device, 0x3E, 3) == b"\x11\x22\x82"


def test_a_ds3231_rings_when_the_fields_of_an_alarm_match(bench: DeskBench) -> None:
    device = make_device("ds3231", bench)
    read_from(device, 0, 1)
    # Alarm 1 at second 10 of any minute, alarm 2 at 12:02 of any day.
    device.write(bytes.fromhex("0710808080"))
    device.write(bytes.fromhex("0b021280"))
    bench.t_ms = 9_000
    assert read_from(device, 0x0F, 1)[0] & 3 == 0
    bench.t_ms = 11_000
    assert read_from(device, 0x0F, 1)[0] & 3 == 1
    device.write(b"\x0f\x00")
    assert read_from(device, 0x0F, 1)[0] & 3 == 0
    bench.t_ms = 120_000
    assert read_from(device, 0x0F, 1)[0] & 3 == 3


def test_a_ds3231_measures_in_quarters_of_a_degree_and_says_that_it_lost_power(bench: DeskBench) -> None:
    device = make_device("ds3231", bench, lost_power=1)
    device.set_values({"temperature": -10.25})
    assert read_from(device, 0x11, 2) == bytes.fromhex("f5c0")
    assert read_from(device, 0x0F, 1)[0] & 0x80
    device.write(b"\x0f\x00")
    assert not read_from(device, 0x0F, 1)[0] & 0x80
    # A program cannot set a flag.
    device.write(b"\x0f\x83")
    assert read_from(device, 0x0F, 1) == b"\x00"


def test_an_expander_pulls_its_interrupt_low_until_it_is_read(bench: DeskBench) -> None:
    device = make_device("pcf8574", bench, pins={"int": 4})
    assert device.read(1) == b"\xff"
    assert bench.levels == {4: 1}
    device.set_values({"p3": 0})
    assert bench.levels == {4: 0}
    assert device.read(1) == b"\xf7"
    assert bench.levels == {4: 1}
    # A pin that was written low is low, whatever is wired to it.
    device.write(b"\xfe")
    assert device.read(2) == b"\xf6\xf6"
    assert bench.shown == [*((f"p{number}", 1) for number in range(8)), ("p3", 0), ("p0", 0)]
