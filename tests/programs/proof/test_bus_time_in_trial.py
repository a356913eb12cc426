"""Time on the buses and exact pulses, as programs in both languages measure them in a trial."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.programs.conftest import tried

from microclaw.programs.proof.stimuli import PinStimulus

PULSE = (PinStimulus(5, 1, 8), PinStimulus(5, 0, 12))
WIRE_SKETCH = """
#include <Wire.h>
static unsigned long refresh() {
  unsigned long began = micros();
  for (int row = 0; row < 16; row++) {
    Wire.beginTransmission(0x76);
    Wire.write(0x40);
    for (int i = 0; i < 64; i++) Wire.write((uint8_t)0);
    Wire.endTransmission();
  }
  return micros() - began;
}
void setup() {
  Wire.begin();
  unsigned long slow = refresh();
  int is_set = Wire.setClock(400000);
  unsigned long fast = refresh();
  printf("%lu %d %lu\\n", slow, is_set, fast);
  unsigned long began = micros();
  Wire.beginTransmission(0x3C);
  int error = Wire.endTransmission();
  printf("%d %lu\\n", error, micros() - began);
  began = micros();
  Wire.beginTransmission(0x76);
  Wire.write(0xD0);
  Wire.endTransmission(false);
  Wire.requestFrom(0x76, 1);
  printf("%x %lu\\n", Wire.read(), micros() - began);
  printf("%d\\n", Wire.setClock(4000000));
}
void loop() {}
"""
BUSES_PY = """
from machine import I2C, SPI, UART, Pin
import time

def took(act):
    began = time.ticks_us()
    act()
    return time.ticks_diff(time.ticks_us(), began)

def nobody():
    try:
        i2c.writeto(0x3C, b"1")
    except OSError:
        pass

for freq in (100000, None):
    if freq:
        i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=freq)
    else:
        i2c = I2C(0, scl=Pin(9), sda=Pin(8))
    print(took(lambda: i2c.writeto(0x76, bytes(1026))), took(nobody), took(lambda: i2c.readfrom_mem(0x76, 0xD0, 1)))
spi = SPI(1, baudrate=1000000, sck=Pin(10), mosi=Pin(11), miso=Pin(12))
usual = SPI(1, sck=Pin(10), mosi=Pin(11), miso=Pin(12))
print(took(lambda: spi.write(bytes(1000))), took(lambda: usual.write(bytes(1000))))
uart = UART(1, 9600, tx=Pin(13), rx=Pin(14))
print(took(lambda: uart.write(bytes(384))), took(lambda: uart.write(bytes(96))), uart.txdone())
print(took(uart.flush), uart.txdone())
"""
PULSE_SKETCH = """
#include <Arduino.h>
void setup() { pinMode(5, INPUT); printf("%lu\\n", pulseIn(5, HIGH, 500000)); }
void loop() {}
"""
DISPLAY_PY = """
from machine import Pin
import time
pins = [Pin(n, Pin.OUT) for n in (4, 5, 6, 7, 10, 11, 12, 13)]
while True:
    for pin in pins:
        pin.value(1)
    time.sleep_us(500)
    for pin in pins:
        pin.value(0)
    time.sleep_us(500)
"""
PULSE_PY = """
from machine import Pin, time_pulse_us
print(time_pulse_us(Pin(5, Pin.IN), 1, 500000))
"""


async def test_a_sketch_has_the_time_of_the_bus_at_the_clock_that_it_sets(build_cache: Path) -> None:
    trial = await tried(WIRE_SKETCH, build_cache, for_ms=1_000)
    slow_us, is_set, fast_us = (int(word) for word in trial.log[0].split())
    assert is_set == 1
    # 16 transfers of 65 bytes.
    assert slow_us == pytest.approx(16 * 596 * 10, abs=30)
    assert fast_us == pytest.approx(16 * 596 * 2.5, abs=30)
    assert [int(word) for word in trial.log[1].split()] == [2, pytest.approx(11 * 2.5, abs=10)]
    name, exchange_us = trial.log[2].split()
    assert name == "60"
    assert int(exchange_us) == pytest.approx(2 * 20 * 2.5, abs=10)
    assert trial.log[3] == "0"


async def test_a_python_program_has_the_time_of_the_bus(build_cache: Path) -> None:
    trial = await tried(BUSES_PY, build_cache, for_ms=2_000)
    rows = [line.split() for line in trial.log]
    slow_us, nobody_us, register_us = map(int, rows[0])
    assert 92_450 <= slow_us <= 97_000
    assert nobody_us == pytest.approx(110, abs=20)
    assert register_us == pytest.approx(390, abs=20)
    assert 23_112 <= int(rows[1][0]) <= 26_500
    # At 1 MHz, and at 500 kHz if the program gives no clock; the program's own work comes to it.
    assert 8_000 <= int(rows[2][0]) <= 11_000
    assert 16_000 <= int(rows[2][1]) <= 19_000
    # 384 bytes have room; of 96 more each waits for one.
    assert int(rows[3][0]) < 1_000
    assert int(rows[3][1]) == pytest.approx(100_000, abs=1_000)
    assert rows[3][2] == "False"
    assert int(rows[4][0]) == pytest.approx(400_000, abs=1_000)
    assert rows[4][1] == "True"


@pytest.mark.parametrize(("source", "error_us"), [(PULSE_SKETCH, 6), (PULSE_PY, 0)], ids=["sketch", "python"])
async def test_a_pulse_right_after_the_start_has_its_length(build_cache: Path, source: str, error_us: int) -> None:
    trial = await tried(source, build_cache, for_ms=1_000, inputs=PULSE)
    assert int(trial.log[0]) == pytest.approx(4_000, abs=error_us)


@pytest.mark.parametrize(("source", "error_us"), [(PULSE_SKETCH, 6), (PULSE_PY, 0)], ids=["sketch", "python"])
async def test_an_echo_from_10_cm_is_measured_to_the_microsecond(build_cache: Path, source: str, error_us: int) -> None:
    echo = (PinStimulus(5, 1, 15.46), PinStimulus(5, 0, 16.043))
    trial = await tried(source, build_cache, for_ms=1_000, inputs=echo)
    assert int(trial.log[0]) == pytest.approx(583, abs=error_us)


async def test_a_python_program_that_changes_pins_all_the_time_keeps_its_pace(build_cache: Path) -> None:
    trial = await tried(DISPLAY_PY, build_cache, for_ms=300)
    rises = [edge.t_ms for edge in trial.edges if edge.pin == 4 and edge.level]
    assert len(rises) > 200
    assert max(later - earlier for earlier, later in pairwise(rises)) < 3.0


CONDITIONS_PY = """
from machine import I2C, SoftI2C, Pin
bus = SoftI2C(scl=Pin(9), sda=Pin(8))
answer = bytearray(1)
bus.start()
print(bus.write(bytes((0x76 << 1, 0xD0))))
bus.start()
bus.write(bytes((0x76 << 1 | 1,)))
bus.readinto(answer)
bus.stop()
print(answer[0])
bus.start()
print(bus.write(bytes((0x11 << 1,))))
bus.stop()
try:
    I2C(0, scl=Pin(9), sda=Pin(8)).start()
except OSError as error:
    print(error)
"""
FIRST_FORMS_PY = """
from machine import I2C, SPI, Pin
for bus in (I2C(-1, Pin(9), Pin(8)), I2C(-1, scl=Pin(9), sda=Pin(8)), I2C(scl=Pin(9), sda=Pin(8))):
    bus.start()
    print(bus.write(bytes((0x76 << 1, 0xD0))))
    bus.stop()
try:
    I2C(0, Pin(9), Pin(8))
except TypeError as error:
    print(error)
SPI(-1, sck=Pin(10), mosi=Pin(11), miso=Pin(12)).write(b'x')
"""


async def test_a_bus_without_a_number_or_with_minus_one_is_bit_banged(build_cache: Path) -> None:
    trial = await tried(FIRST_FORMS_PY, build_cache, for_ms=100)
    assert trial.ok, trial.error
    assert trial.log == ("2", "2", "2", "extra positional arguments given")


async def test_a_bit_banged_bus_sends_its_conditions_one_by_one(build_cache: Path) -> None:
    trial = await tried(CONDITIONS_PY, build_cache, for_ms=100)
    assert trial.log == ("2", "96", "0", "I2C operation not supported"), trial.error
