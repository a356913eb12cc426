"""The parts of E for a program: waits, pins and their evidence, interrupts, timers, buses and text."""

from __future__ import annotations

from typing import Any

import pytest
from tests.firmware.runner.conftest import MicroPython


def outcome(micropython: MicroPython, body: str, during: str = "", ms: int = 100, modules: str = "gc") -> Any:
    """The program's lines, then what `during` (of the test's side) returned in `found`.

    The firmware's `modules` are there before: read from their sources they would count as the program's memory.
    """
    lines = "\n    ".join(body.strip().split("\n"))
    micropython.compile("p", f"async def main(E):\n    {lines}\n")
    steps = "".join(f"\n            {line}" for line in during.strip().split("\n"))
    return micropython.run(f"""
        import {modules}
        async def main():
            runner = new_runner()
            await install(runner, "p")
            await asyncio.sleep_ms({ms})
            found = None{steps}
            return [lines(), found, events("app.crash")]
        run(main)
    """)


def test_inputs_are_counted_and_the_programs_own_handler_is_called(micropython: MicroPython) -> None:
    lines, found, crashes = outcome(
        micropython,
        """
machine = E.module("machine")
button = machine.Pin(4, machine.Pin.IN, machine.Pin.PULL_UP)
E.irq(button, handler=lambda pin: E.print("down", pin.value(), pin is button), trigger=machine.Pin.IRQ_FALLING)
await E.sleep(100)
""",
        """
for level in (1, 0, 1, 0):
    machine.drive(4, level)
    await asyncio.sleep_ms(2)
found = runner.edges(0)
""",
    )
    assert not crashes
    assert lines == ["down 0 True", "down 0 True"]
    assert [edge[1:] for edge in found["edges"]] == [[4, 1], [4, 0], [4, 1], [4, 0]]
    assert found["evidence"] == {"4": "counted"}


@pytest.mark.parametrize("irq", ["E.irq(button, ", "button.irq(", "machine.Pin(14).irq("])
def test_an_interrupt_of_a_pin_without_a_direction_is_counted(micropython: MicroPython, irq: str) -> None:
    body = f"""
machine = E.module("machine")
button = machine.Pin(14)
{irq}handler=lambda pin: E.print("down", pin.value()), trigger=machine.Pin.IRQ_FALLING)
await E.sleep(100)
"""
    lines, found, crashes = outcome(
        micropython,
        body,
        "for level in (1, 0, 1, 0):\n    machine.drive(14, level)\n    await asyncio.sleep_ms(2)\nfound = runner.edges(0)",
    )
    assert not crashes
    assert lines == ["down 0", "down 0"]
    assert [edge[1:] for edge in found["edges"]] == [[14, 1], [14, 0], [14, 1], [14, 0]]
    assert found["evidence"] == {"14": "counted"}


def test_above_two_hundred_edges_a_second_the_count_is_at_least(micropython: MicroPython) -> None:
    _, found, _ = outcome(
        micropython,
        'machine = E.module("machine")\nmachine.Pin(4, machine.Pin.IN)\nawait E.sleep(100)',
        "for i in range(500):\n    machine.drive(4, 1 - i % 2)\nfound = runner.edges(0)",
    )
    assert found["evidence"] == {"4": "at_least"}
    assert found["dropped"] == 500 - 192
    assert (len(found["edges"]), found["cursor"], found["more"]) == (64, 500 - 192 + 64, True)


def test_a_timeline_larger_than_a_page_says_that_there_is_more(micropython: MicroPython) -> None:
    found = micropython.run("""
        from timeline import Timeline
        async def main():
            now = [2**32 - 1]
            line = Timeline(lambda: now[0], 600)
            line.watch(3, "written", 0)
            for i in range(700):
                now[0] += 1
                line.write(3, 1 - i % 2)
                line.write(3, 1 - i % 2)
            pages = [line.read(0)]
            while pages[-1]["more"]:
                pages.append(line.read(pages[-1]["cursor"]))
            first, last = pages[0], pages[-1]
            return [[len(p["edges"]) for p in pages], first["dropped"], first["edges"][0][0] - 2**32, last["edges"][-1][0] - 2**32]
        run(main)
    """)
    assert found == [[64] * 9 + [24], 100, 100, 699]


def test_pins_of_every_kind_are_claimed(micropython: MicroPython) -> None:
    body = """
machine = E.module("machine")
machine.Pin(2, machine.Pin.OUT, value=1)
machine.PWM(machine.Pin(4), freq=50, duty_u16=1000)
machine.ADC(machine.Pin(32))
machine.I2C(0, scl=machine.Pin(22), sda=21)
signal = machine.Signal(machine.Pin(13, machine.Pin.OUT), invert=True)
signal.on()
E.print(signal.value(), machine.Pin(13).value())
await E.sleep(100)
"""
    lines, found, crashes = outcome(
        micropython, body, 'found = [row(runner, "p")["pins"], runner.edges(0)["evidence"], len(machine.inited)]'
    )
    assert not crashes
    assert lines == ["1 0"]
    pins, evidence, on = found
    assert pins == [2, 4, 13, 21, 22, 32]
    assert evidence["4"] == "pwm"
    assert evidence["2"] == "written"
    assert on == 1


def test_the_host_cannot_drive_a_programs_pin_and_a_program_can_take_a_free_one(micropython: MicroPython) -> None:
    _, found, crashes = outcome(
        micropython,
        'machine = E.module("machine")\nmachine.Pin(2, machine.Pin.OUT).on()\nawait E.sleep(100)',
        """
board = runner.board
board.gpio_set(5, 1)
board.gpio_set(5, 0)
found = [refused(lambda: board.gpio_set(2, 0)), refused(lambda: board.gpio_set(6, 0)), refused(lambda: board.gpio_set(77, 0))]
found += [board.gpio_get(2), board.gpio_get(5), refused(lambda: board.pwm_set(2, 1, 100)), refused(board.i2c_scan), [e[1:] for e in runner.edges(0)["edges"]]]
""",
    )
    assert not crashes
    assert found == [
        "pin_refused",
        "pin_refused",
        "pin_refused",
        1,
        0,
        "pin_refused",
        "not_supported",
        [[2, 1], [5, 1], [5, 0]],
    ]


def test_a_pin_made_again_is_the_same_pin(micropython: MicroPython) -> None:
    body = """
machine = E.module("machine")
button = machine.Pin(4, machine.Pin.IN)
E.irq(button, handler=lambda pin: E.print("edge"))
machine.Pin(4, machine.Pin.IN).value()
led = machine.Pin(2, machine.Pin.OUT)
led(1)
machine.Pin(2).off()
machine.Pin(led, machine.Pin.OUT).on()
led.init(machine.Pin.OUT, value=0)
both = machine.Pin(5, machine.Pin.OUT)
both.init(machine.Pin.IN)
button.init(machine.Pin.IN, machine.Pin.PULL_UP)
await E.sleep(100)
"""
    lines, found, crashes = outcome(
        micropython, body, 'machine.drive(4, 1)\nfound = [e[1:] for e in runner.edges(0)["edges"]]'
    )
    assert not crashes
    assert lines == ["edge"]
    assert found == [[2, 1], [2, 0], [2, 1], [2, 0], [4, 1]]


def test_a_pin_that_changes_its_direction_changes_its_evidence(micropython: MicroPython) -> None:
    body = """
machine = E.module("machine")
pin = machine.Pin(4, machine.Pin.IN)
pin.init(machine.Pin.OUT)
pin.value(1)
pin.value(0)
other = machine.Pin(5, machine.Pin.IN)
machine.Pin(5, machine.Pin.OUT).on()
third = machine.Pin(13, machine.Pin.OUT)
machine.Pin(13, machine.Pin.IN)
E.print(machine.Pin(4) is pin)
await E.sleep(100)
"""
    lines, found, crashes = outcome(
        micropython,
        body,
        "machine.drive(13, 1)\nfound = [runner.edges(0), [machine.pins[n].state['irq'] is None for n in (4, 5, 13)]]",
    )
    assert not crashes
    assert lines == ["True"]
    page, silent = found
    assert page["evidence"] == {"4": "written", "5": "written", "13": "counted"}
    assert [edge[1:] for edge in page["edges"]] == [[4, 1], [4, 0], [5, 1], [13, 1]]
    assert silent == [True, True, False]


PRESS = "0101 0", "1010 1"  # pressed and let go, each with its bounces of 1 ms


@pytest.mark.parametrize(
    ("edge", "changes", "times"),
    [
        ("falling", PRESS, 1),
        ("rising", PRESS, 1),
        ("change", PRESS, 2),
        ("falling", PRESS * 3, 3),
        ("falling", ("01", "01"), 0),  # it never stays low
        ("falling, debounce=0", ("01", "01"), 2),
    ],
)
def test_a_change_counts_once_the_level_stays(
    micropython: MicroPython, edge: str, changes: tuple[str, ...], times: int
) -> None:
    name, _, more = edge.partition(", ")
    task = 'lambda: E.print("now")'
    body = f'E.module("microclaw").on(0, "{name}", {task}{", " if more else ""}{more})\nawait E.sleep(100)'
    during = f"""
for levels in {changes}:
    for level in levels.replace(" ", ""):
        machine.drive(0, int(level))
        await asyncio.sleep_ms(1)
    await asyncio.sleep_ms(200)
"""
    lines, _, crashes = outcome(micropython, body, during, modules="inputs, microclaw, chip_facts")
    assert not crashes
    assert lines == ["now"] * times


def test_handlers_may_wait(micropython: MicroPython) -> None:
    body = """
machine = E.module("machine")
async def pressed(pin):
    await E.sleep_ms(5)
    E.print("pressed")
async def tick(timer):
    await E.sleep_ms(1)
    E.print("tick")
E.irq(machine.Pin(4, machine.Pin.IN), pressed, machine.Pin.IRQ_RISING)
E.timer(machine.Timer(1), mode=machine.Timer.ONE_SHOT, period=10, callback=tick)
E.timer(machine.Timer, 2, freq=100, callback=lambda t: (E.print("fast"), t.deinit()))
await E.sleep(100)
"""
    lines, _, crashes = outcome(micropython, body, "machine.drive(4, 1)\nawait until(lambda: len(lines()) == 3)")
    assert not crashes
    assert sorted(lines) == ["fast", "pressed", "tick"]
