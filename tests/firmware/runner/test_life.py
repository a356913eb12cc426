"""Programs start, return, crash, start again, and stop for sure."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.firmware.runner.conftest import MicroPython

BLINK = """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    while True:
        await E.y()
        led.value(1)
        await E.sleep_ms(20)
        led.value(0)
        await E.sleep_ms(20)
"""


def test_an_installed_program_runs_and_its_writes_are_in_the_timeline(micropython: MicroPython) -> None:
    micropython.compile("blink", BLINK)
    found = micropython.act("""
        name = await install(runner, "blink")
        await until(lambda: runner.edges(0)["cursor"] >= 6)
        return [name, row(runner, "blink"), runner.edges(1)]
    """)
    name, row, page = found
    assert name == "blink"
    assert (row["state"], row["pins"], row["kind"], row["autostart"]) == ("running", [2], "py", True)
    assert [edge[1:] for edge in page["edges"][:4]] == [[2, 0], [2, 1], [2, 0], [2, 1]]
    assert all(15 <= b[0] - a[0] < 1000 for a, b in zip(page["edges"], page["edges"][1:], strict=False))
    assert page["dropped"] == 0
    assert not page["more"]
    assert page["evidence"] == {"2": "written"}


def test_a_stopped_programs_pins_are_inputs_again(micropython: MicroPython) -> None:
    micropython.compile("blink", BLINK)
    found = micropython.act("""
        await install(runner, "blink")
        await until(lambda: runner.edges(0)["cursor"] >= 2)
        began = time.ticks_ms()
        await runner.stop("blink")
        took = time.ticks_diff(time.ticks_ms(), began)
        edges = runner.edges(0)["cursor"]
        await asyncio.sleep_ms(100)
        return [row(runner, "blink"), took, runner.edges(0)["cursor"] - edges, machine.pins[2].state["mode"], runner.board.owners]
    """)
    row, took_ms, edges, mode, owners = found
    assert (row["state"], row["pins"]) == ("stopped", [])
    assert took_ms < 1500
    assert (edges, mode, owners) == (0, 1, {})


def test_autostart_programs_start_at_boot_and_others_do_not(micropython: MicroPython) -> None:
    micropython.compile("blink", BLINK)
    micropython.act("""
        await install(runner, "stays", "blink")
        await runner.stop("stays")
        await install(runner, "goes", "blink", autostart=False)
    """)
    found = micropython.act("""
        await runner.boot()
        await asyncio.sleep_ms(10)
        return [[r["name"], r["state"]] for r in runner.list()]
    """)
    assert found == [["goes", "stopped"], ["stays", "running"]]


def test_boot_button_starts_no_program(micropython: MicroPython) -> None:
    micropython.compile("blink", BLINK)
    micropython.run("""
        async def main():
            await install(new_runner(), "blink")
        run(main)
    """)
    found = micropython.run("""
        async def main():
            machine.Pin(0).state["level"] = 0
            runner = new_runner()
            await runner.boot()
            return [row(runner, "blink")["state"], lines()]
        run(main)
    """)
    assert found == ["stopped", ["BOOT is held: no program is started"]]


POWER, HARD, WATCHDOG, SOFT = 1, 2, 3, 5
START = """
    async def main():
        machine.cause, ran_s = %d, %d
        runner = new_runner()
        now_ms = runner.board.now_ms
        await runner.boot()
        runner.board.now_ms = lambda: now_ms() + 1000 * ran_s
        await asyncio.sleep_ms(350)
        return [row(runner, "blink")["state"], row(runner, "blink").get("error", ""), lines()]
    run(main)
"""


def starts(micropython: MicroPython, *of: tuple[int, int]) -> list[list[Any]]:
    """State of a program with autostart in starts one after the other, each with its cause and how many s it runs."""
    micropython.compile("blink", BLINK)
    micropython.run("""
        async def main():
            await install(new_runner(), "blink")
        run(main)
    """)
    return [micropython.run(START % start) for start in of]


@pytest.mark.parametrize("cause", [HARD, WATCHDOG])
def test_after_three_starts_that_a_reset_ended_no_program_starts_and_the_list_says_why(
    micropython: MicroPython, cause: int
) -> None:
    found = starts(micropython, (POWER, 1), (cause, 1), (cause, 30), (cause, 1), (cause, 1), (POWER, 1))
    assert [row[0] for row in found] == ["running"] * 3 + ["stopped"] * 2 + ["running"]
    why = "the last starts ended within a minute, this one by " + {HARD: "restart", WATCHDOG: "watchdog"}[cause]
    assert found[3][1:] == ["it was not started: " + why, [why + ": no program is started"]]
    assert found[5][1:] == ["", []]


def test_a_minute_of_health_or_a_person_at_the_cable_ends_the_count(micropython: MicroPython) -> None:
    healthy = starts(
        micropython, (POWER, 1), (HARD, 1), (HARD, 61), (HARD, 1), (HARD, 1), (HARD, 1), (HARD, 61), (HARD, 1)
    )
    assert [row[0] for row in healthy] == ["running"] * 6 + ["stopped", "running"]
    cable = [micropython.run(START % start) for start in ((HARD, 1), (SOFT, 1), (HARD, 1), (HARD, 1), (HARD, 1))]
    assert [row[0] for row in cable] == ["running"] * 4 + ["stopped"]


def test_pulling_the_plug_a_few_times_costs_no_program_and_brown_outs_end(micropython: MicroPython) -> None:
    pulled = starts(micropython, *[(POWER, 25)] * 14, *[(POWER, 1)] * 9)
    assert {row[0] for row in pulled} == {"running"}
    short = [micropython.run(START % (POWER, 1))[0] for _ in range(5)]
    assert short == ["running"] * 2 + ["stopped"] + ["running"] * 2


def test_a_restart_that_was_asked_for_does_not_count(micropython: MicroPython) -> None:
    starts(micropython)
    asked = """
        async def main():
            machine.cause = 2
            runner = new_runner()
            await runner.boot()
            states = [r["state"] for r in runner.list()]
            try:
                runner.board.restart()
            except SystemExit:
                return states
        run(main)
    """
    assert [micropython.run(asked) for _ in range(6)] == [["running"]] * 6


def test_nvs_that_cannot_be_written_stops_no_boot(micropython: MicroPython) -> None:
    found = starts(micropython)
    (micropython.folder / "nvs.json").mkdir()
    found = [micropython.run(START % (HARD, 61)) for _ in range(2)]
    assert [row[0] for row in found] == ["running"] * 2
    assert any("NVS cannot be written" in line for line in found[0][2])


def test_a_crash_is_told_with_its_traceback_and_the_third_in_a_row_ends_it(micropython: MicroPython) -> None:
    micropython.compile("bad", "async def main(E):\n    await E.sleep_ms(5)\n    {}['x']\n")
    found = micropython.act("""
        await install(runner, "bad")
        await until(lambda: events("app.crash"))
        first = row(runner, "bad")
        await until(lambda: len(events("app.crash")) == 3, 6000)
        await asyncio.sleep_ms(2500)
        return [first, events(), row(runner, "bad")]
    """)
    first, events, row = found
    assert first["state"] == "trapped"
    assert first["autostart"]
    assert [event["data"]["alive"] for event in events] == [True, True, False]
    assert all(event["name"] == "app.crash" and event["data"]["app"] == "bad" for event in events)
    assert 'File "bad.py", line 3, in main' in events[0]["data"]["reason"]
    assert "KeyError: x" in events[0]["data"]["reason"]
    assert (row["state"], row["autostart"]) == ("trapped", False)
    assert "KeyError" in row["error"]


@pytest.mark.parametrize(
    ("body", "kind"), [("return", "returned"), ("import sys; sys.exit()", "exited"), ("raise SystemExit", "exited")]
)
def test_an_end_is_told(micropython: MicroPython, body: str, kind: str) -> None:
    micropython.compile("short", f"async def main(E):\n    await E.sleep_ms(5)\n    {body}\n")
    found = micropython.act("""
        await install(runner, "short")
        await until(lambda: events())
        return [events(), row(runner, "short")["state"]]
    """)
    assert found == [[{"name": "app.exit", "data": {"app": "short", "kind": kind}}], kind]


def test_what_a_returned_program_switched_on_stays_on(micropython: MicroPython) -> None:
    micropython.compile(
        "lamp",
        """
        async def main(E):
            machine = E.module("machine")
            machine.Pin(2, machine.Pin.OUT).on()
            E.timer(machine.Timer(0), period=20, callback=lambda t: machine.Pin(4, machine.Pin.OUT).toggle())
        """,
    )
    found = micropython.act("""
        await install(runner, "lamp")
        await until(lambda: runner.edges(0)["cursor"] > 4)
        before = [row(runner, "lamp")["state"], machine.pins[2].state["level"], events()]
        await runner.stop("lamp")
        edges = runner.edges(0)["cursor"]
        await asyncio.sleep_ms(100)
        return before + [machine.pins[2].state["mode"], runner.edges(0)["cursor"] - edges]
    """)
    assert found == ["running", 1, [], 1, 0]


STUBBORN = {
    "finally": "try:\n        await E.sleep(100)\n    finally:\n        await E.sleep(100)",
    "bare except": "while True:\n        await E.y()\n        try:\n            await E.sleep(1)\n"
    "        except E.Cancelled: raise\n        except: pass",
    "never waits": "while True:\n        await E.y()",
    "guarded loop": "while True:\n        E.g()\n        if E is None: break\n        await E.y()",
    "tasks": "async def more():\n        while True:\n            await E.y()\n            await E.sleep(50)\n"
    "    while True:\n        await E.y()\n        try: E.spawn(more())\n        except RuntimeError: await E.sleep(5)",
    "finally spawns": "async def more():\n        await E.sleep(50)\n"
    "    try:\n        await E.sleep(100)\n    finally:\n        E.spawn(more())",
}


@pytest.mark.parametrize("body", STUBBORN.values(), ids=STUBBORN.keys())
def test_a_program_stops_within_a_second_and_a_half(micropython: MicroPython, body: str) -> None:
    micropython.compile("stubborn", f"async def main(E):\n    {body}\n")
    found = micropython.act("""
        await install(runner, "stubborn")
        await asyncio.sleep_ms(100)
        began = time.ticks_ms()
        await runner.stop("stubborn")
        await runner.close()
        return [time.ticks_diff(time.ticks_ms(), began), row(runner, "stubborn")["state"], events(), row(runner, "stubborn")["autostart"]]
    """)
    took_ms, state, events, autostart = found
    assert took_ms < 1500
    assert (state, events, autostart) == ("stopped", [], True)


def test_one_that_swallows_every_cancel_is_not_started_again_and_the_board_resets(micropython: MicroPython) -> None:
    micropython.compile(
        "swallows",
        """
        async def main(E):
            while True:
                try:
                    await E.sleep(1)
                except BaseException:
                    pass
        """,
    )
    found = micropython.act("""
        await install(runner, "swallows")
        await asyncio.sleep_ms(50)
        began = time.ticks_ms()
        try:
            await runner.stop("swallows")
        except SystemExit:
            return [time.ticks_diff(time.ticks_ms(), began), events(), len(machine.resets)]
    """)
    took_ms, events, resets = found
    assert 900 < took_ms < 1500
    assert resets == 1
    assert [event["data"]["alive"] for event in events] == [False]
    assert "does not stop" in events[0]["data"]["reason"]
    states = micropython.act("""
        await runner.boot()
        return [row(runner, "swallows")["state"], row(runner, "swallows")["autostart"]]
    """)
    assert states == ["stopped", False]


def test_fifty_starts_and_stops_take_no_memory(micropython: MicroPython) -> None:
    micropython.compile(
        "all",
        """
        async def main(E):
            global machine, pwm, kept, led, button
            machine = E.module("machine")
            kept = bytearray(2000)
            led = machine.Pin(2, machine.Pin.OUT)
            button = machine.Pin(4, machine.Pin.IN)
            E.irq(button, handler=lambda pin: None, trigger=machine.Pin.IRQ_FALLING)
            pwm = machine.PWM(machine.Pin(5), freq=1000)
            E.timer(machine.Timer(0), period=5, callback=lambda t: led.toggle())
            async def more():
                while True:
                    await E.sleep_ms(5)
            E.spawn(more())
            while True:
                await E.sleep_ms(5)
        """,
    )
    found = micropython.run("""
        import gc
        async def main():
            runner = new_runner()
            await install(runner, "all")
            sizes = [0] * 50
            for i in range(50):
                await asyncio.sleep_ms(12)
                await runner.stop("all")
                assert machine.pins[4].state["irq"] is None and not machine.inited
                assert not runner.board.owners
                gc.collect()
                sizes[i] = gc.mem_alloc()
                await runner.start("all")
            await asyncio.sleep_ms(12)
            return sizes
        run(main)
    """)
    # The least of ten: an old word on the stack may hold a block for a while. A table that grows does so once, a leak
    # in each ten.
    least = [min(found[at : at + 10]) for at in range(5, 45, 10)]
    assert not all(later - earlier >= 64 for earlier, later in pairwise(least)), found
