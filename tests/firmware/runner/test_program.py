"""The parts of E for a program: waits, pins and their evidence, interrupts, timers, buses and text."""

from __future__ import annotations

from typing import Any

import pytest
from tests.firmware.runner.conftest import MicroPython


def outcome(micropython: MicroPython, body: str, during: str = "", modules: str = "gc") -> tuple[list[str], Any]:
    """The program's lines, and what `during` (of the test's side) returned in `found`; it must not crash.

    The firmware's `modules` are there before: read from their sources they would count as the program's memory.
    """
    lines = "\n    ".join(body.strip().split("\n"))
    micropython.compile(
        "p", f"async def main(E):\n    machine = E.module('machine')\n    {lines}\n    await E.sleep(100)\n"
    )
    steps = "".join(f"\n            {line}" for line in during.strip().split("\n"))
    said, found, crashes = micropython.run(f"""
        import {modules}
        async def main():
            runner = new_runner()
            await install(runner, "p")
            await asyncio.sleep_ms(100)
            found = None{steps}
            return [lines(), found, events("app.crash")]
        run(main)
    """)
    assert not crashes
    return said, found


def levels(found: Any) -> list[list[int]]:
    return [edge[1:] for edge in found["edges"]]


def test_inputs_are_counted_and_the_programs_own_handlers_are_called_and_may_wait(micropython: MicroPython) -> None:
    body = """
button = machine.Pin(4)
E.irq(button, handler=lambda pin: E.print('down', pin.value()), trigger=machine.Pin.IRQ_FALLING)
async def pressed(pin):
    await E.sleep_ms(5)
    E.print("pressed")
machine.Pin(5).irq(pressed, machine.Pin.IRQ_RISING)
async def tick(timer):
    await E.sleep_ms(1)
    E.print("tick")
E.timer(machine.Timer(1), mode=machine.Timer.ONE_SHOT, period=10, callback=tick)
E.timer(machine.Timer, 2, freq=100, callback=lambda t: (E.print("fast"), t.deinit()))
"""
    during = """
for level in (1, 0, 1, 0):
    machine.drive(4, level)
    await asyncio.sleep_ms(2)
machine.drive(5, 1)
await until(lambda: len(lines()) == 5)
found = runner.edges(0)
"""
    lines, found = outcome(micropython, body, during)
    assert sorted(lines) == ["down 0", "down 0", "fast", "pressed", "tick"]
    assert levels(found) == [[4, 1], [4, 0], [4, 1], [4, 0], [5, 1]]
    assert found["evidence"] == {"4": "counted", "5": "counted"}


def test_above_two_hundred_edges_a_second_the_count_is_at_least(micropython: MicroPython) -> None:
    _, found = outcome(
        micropython,
        "machine.Pin(4, machine.Pin.IN)",
        "for i in range(500):\n    machine.drive(4, 1 - i % 2)\nfound = runner.edges(0)",
    )
    assert found["evidence"] == {"4": "at_least"}
    assert found["dropped"] == 500 - 192
    assert (len(found["edges"]), found["cursor"], found["more"]) == (64, 500 - 192 + 64, True)


def test_pins_of_every_kind_are_claimed_and_the_host_may_drive_free_ones_alone(micropython: MicroPython) -> None:
    body = """
machine.Pin(2, machine.Pin.OUT, value=1)
machine.PWM(machine.Pin(4), freq=50, duty_u16=1000)
machine.ADC(machine.Pin(32))
machine.I2C(0, scl=machine.Pin(22), sda=21)
signal = machine.Signal(machine.Pin(13, machine.Pin.OUT), invert=True)
signal.on()
E.print(signal.value(), machine.Pin(13).value())
"""
    during = """
board = runner.board
found = [row(runner, "p")["pins"], runner.edges(0)["evidence"], len(machine.inited)]
board.gpio_set(5, 1)
board.gpio_set(5, 0)
found.append([refused(lambda: board.gpio_set(pin, 0)) for pin in (2, 6, 77)])
found[-1] += [refused(lambda: board.pwm_set(2, 1, 100)), refused(board.i2c_scan)]
found += [[board.gpio_get(2), board.gpio_get(5)], [e[1:] for e in runner.edges(0)["edges"] if e[1] == 5]]
"""
    lines, (pins, evidence, on, refusals, read, edges) = outcome(micropython, body, during)
    assert lines == ["1 0"]
    assert pins == [2, 4, 13, 21, 22, 32]
    assert (evidence["4"], evidence["2"], on) == ("pwm", "written", 1)
    assert refusals == ["pin_refused"] * 4 + ["not_supported"]
    assert (read, edges) == ([1, 0], [[5, 1], [5, 0]])


def test_a_program_reads_the_clock_as_an_rtc_and_cannot_set_it(micropython: MicroPython) -> None:
    body = """
time = E.module("time")
moment = None
while moment != time.gmtime():
    moment = time.gmtime()
    now = machine.RTC().datetime()
E.print(now[:3] + now[4:7] + now[3:4] == moment[:7], len(now))
for setting in (machine.RTC().datetime, machine.RTC(0).init):
    try:
        setting((2020, 1, 1, 0, 0, 0, 0, 0))
    except OSError as exc:
        E.print(exc.errno)
"""
    lines, _ = outcome(micropython, body)
    assert lines == ["True 8", "1", "1"]


def test_a_pin_made_again_is_the_same_pin_and_its_evidence_follows_its_direction(micropython: MicroPython) -> None:
    body = """
button = machine.Pin(14, machine.Pin.IN)
E.irq(button, handler=lambda pin: E.print("edge"))
machine.Pin(14, machine.Pin.IN).value()
button.init(machine.Pin.IN, machine.Pin.PULL_UP)
led = machine.Pin(2, machine.Pin.OUT)
led(1)
machine.Pin(2).off()
machine.Pin(led, machine.Pin.OUT).on()
led.init(machine.Pin.OUT, value=0)
pin = machine.Pin(4, machine.Pin.IN)
pin.init(machine.Pin.OUT)
pin.value(1)
machine.Pin(5, machine.Pin.IN)
machine.Pin(5, machine.Pin.OUT).on()
machine.Pin(13, machine.Pin.OUT)
machine.Pin(13, machine.Pin.IN)
E.print(machine.Pin(4) is pin)
"""
    during = """
machine.drive(14, 1)
machine.drive(13, 1)
found = [runner.edges(0), [machine.pins[n].state['irq'] is None for n in (4, 5, 13)]]
"""
    lines, (page, silent) = outcome(micropython, body, during)
    assert lines == ["True", "edge"]
    assert levels(page) == [[2, 1], [2, 0], [2, 1], [2, 0], [4, 1], [5, 1], [14, 1], [13, 1]]
    assert page["evidence"] == {"2": "written", "4": "written", "5": "written", "13": "counted", "14": "counted"}
    assert silent == [True, True, False]


PRESS = "0101 0", "1010 1"  # pressed and let go, each with its bounces of 1 ms


@pytest.mark.parametrize(
    ("edge", "changes", "times"),
    [("change", PRESS, 2), ("falling", PRESS * 3, 3), ("falling", ("01", "01"), 0)],  # at last it never stays low
)
def test_a_change_counts_once_the_level_stays(
    micropython: MicroPython, edge: str, changes: tuple[str, ...], times: int
) -> None:
    body = f'E.module("microclaw").on(0, "{edge}", lambda: E.print("now"))'
    during = f"""
for levels in {changes}:
    for level in levels.replace(" ", ""):
        machine.drive(0, int(level))
        await asyncio.sleep_ms(1)
    await asyncio.sleep_ms(200)
"""
    assert outcome(micropython, body, during, modules="inputs, microclaw, chip_facts")[0] == ["now"] * times
