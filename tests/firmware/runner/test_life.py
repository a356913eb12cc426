"""Programs start, return, crash, start again, and stop for sure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.firmware import programs
from tests.firmware.runner.conftest import MicroPython

BLINK = programs.BLINK.replace("500", "20")


def test_a_program_runs_is_stopped_and_starts_at_boot_unless_a_person_holds_the_button(
    micropython: MicroPython,
) -> None:
    micropython.compile("blink", BLINK)
    running, page, stopped = micropython.act("""
        await install(runner, "blink")
        await until(lambda: runner.edges(0)["cursor"] >= 6)
        running, page = row(runner, "blink"), runner.edges(1)
        await runner.stop("blink")
        edges = runner.edges(0)["cursor"]
        await asyncio.sleep_ms(100)
        silent = runner.edges(0)["cursor"] == edges
        stopped = [row(runner, "blink")["state"], silent, machine.pins[2].state["mode"], runner.board.owners]
        await install(runner, "by hand", "blink", autostart=False)
        return [running, page, stopped]
    """)
    assert [running[key] for key in ("state", "pins", "kind", "autostart")] == ["running", [2], "py", True]
    assert [edge[1:] for edge in page["edges"][:4]] == [[2, 0], [2, 1], [2, 0], [2, 1]]
    assert all(15 <= after[0] - before[0] < 1000 for before, after in pairwise(page["edges"]))
    assert page["evidence"] == {"2": "written"}
    assert stopped == ["stopped", True, 1, {}], "its pin is an input again"
    for level, state in ((1, "running"), (0, "stopped")):
        rows, lines = micropython.act(f"""
            machine.Pin(0).state["level"] = {level}
            await runner.boot()
            return [[[r["name"], r["state"]] for r in runner.list()], lines()]
        """)
        assert rows == [["blink", state], ["by hand", "stopped"]]
        assert lines == ([] if level else ["BOOT is held: no program is started"])


# causes of a reset
POWER = 1
HARD = 2
WATCHDOG = 3
SOFT = 5
RUNS = "running"
STANDS = "stopped"
STARTS = {
    "three resets": [
        *((POWER, 1, RUNS), (HARD, 1, RUNS), (HARD, 30, RUNS), (HARD, 1, STANDS), (HARD, 1, STANDS)),
        *((POWER, 1, RUNS), (WATCHDOG, 1, RUNS), (WATCHDOG, 1, RUNS), (WATCHDOG, 1, STANDS)),
    ],
    "a minute of health or a person at the cable ends the count": [
        *((POWER, 1, RUNS), (HARD, 1, RUNS), (HARD, 61, RUNS), (HARD, 1, RUNS), (HARD, 1, RUNS)),
        *((SOFT, 1, RUNS), (HARD, 1, RUNS), (HARD, 1, RUNS), (HARD, 1, STANDS)),
    ],
    "pulling the plug costs nothing, brown-outs end": [
        *[(POWER, 25, RUNS)] * 14, *[(POWER, 1, RUNS)] * 11, (POWER, 1, STANDS), *[(POWER, 1, RUNS)] * 2,
    ],
}  # fmt: skip


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS.keys())
def test_after_three_starts_that_ended_early_no_program_starts_and_the_list_says_why(
    micropython: MicroPython, starts: list[tuple[int, int, str]]
) -> None:
    """Each start has its cause and the seconds that it lasts."""
    micropython.compile("blink", BLINK)
    found = micropython.with_room().run(f"""
        import esp32
        async def main():
            runner = new_runner()
            await install(runner, "blink")
            found = []
            for machine.cause, ran_s, _ in {starts}:
                await runner.close()
                told.clear()
                esp32._handles = 0
                runner = new_runner()
                now_ms = runner.board.now_ms
                await runner.boot()
                runner.board.now_ms = lambda: now_ms() + 1000 * ran_s
                await until(lambda: len(runner._marks) == (2 if ran_s < 20 else 1 if ran_s < 60 else 0))
                found.append([row(runner, "blink")["state"], row(runner, "blink").get("error", ""), lines()])
            return found
        run(main)
    """)
    assert [state for state, _, _ in found] == [state for _, _, state in starts]
    for (cause, _, _), (state, error, lines) in zip(starts, found, strict=True):
        by = {HARD: "restart", WATCHDOG: "watchdog"}.get(cause, "power_on")
        why = f"the last starts ended within a minute, this one by {by}"
        told = [f"it was not started: {why}", [f"{why}: no program is started"]]
        assert [error, lines] == (told if state == STANDS else ["", []])


def test_a_restart_that_was_asked_for_does_not_count_and_nvs_that_cannot_be_written_stops_no_boot(
    micropython: MicroPython,
) -> None:
    micropython.compile("blink", BLINK)
    micropython.act("await install(runner, 'blink')")
    asked = """
        machine.cause = 2
        await runner.boot()
        states = [r["state"] for r in runner.list()]
        try:
            runner.board.restart()
        except SystemExit:
            return [states, lines()]
    """
    assert [micropython.act(asked) for _ in range(4)] == [[["running"], []]] * 4
    (micropython.folder / "nvs.json").unlink()
    (micropython.folder / "nvs.json").mkdir()
    states, lines = micropython.act("""
        machine.cause = 2
        await runner.boot()
        return [[r["state"] for r in runner.list()], lines()]
    """)
    assert states == ["running"]
    assert "NVS cannot be written" in lines[0]


def test_a_crash_is_told_with_its_traceback_and_the_third_in_a_row_ends_it(micropython: MicroPython) -> None:
    micropython.compile("bad", "async def main(E):\n    await E.sleep_ms(5)\n    {}['x']\n")
    found = micropython.act("""
        await install(runner, "bad")
        await until(lambda: events("app.crash"))
        first = row(runner, "bad")
        await until(lambda: len(events("app.crash")) == 3)
        await asyncio.sleep_ms(2500)
        return [first, events(), row(runner, "bad")]
    """)
    first, events, row = found
    assert (first["state"], first["autostart"]) == ("trapped", True)
    assert [event["data"]["alive"] for event in events] == [True, True, False]
    assert 'File "bad.py", line 3, in main' in events[0]["data"]["reason"]
    assert "KeyError: x" in events[0]["data"]["reason"]
    assert (row["state"], row["autostart"]) == ("trapped", False)
    assert "KeyError" in row["error"]


def test_what_a_returned_program_switched_on_stays_on_and_its_timers_run_until_it_is_stopped(
    micropython: MicroPython,
) -> None:
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
        found = [row(runner, "lamp")["state"], machine.pins[2].state["level"], events()]
        await runner.stop("lamp")
        edges = runner.edges(0)["cursor"]
        await asyncio.sleep_ms(100)
        return found + [machine.pins[2].state["mode"], runner.edges(0)["cursor"] - edges]
    """)
    assert found == ["running", 1, [], 1, 0]


STUBBORN = (
    "try:\n        await E.sleep(100)\n    finally:\n        await E.sleep(100)",
    "while True:\n        await E.y()\n        try:\n            await E.sleep(1)\n"
    "        except E.Cancelled: raise\n        except: pass",
    "while True:\n        await E.y()",
    "while True:\n        E.g()\n        if E is None: break\n        await E.y()",
    "async def more():\n        while True:\n            await E.y()\n            await E.sleep(50)\n"
    "    while True:\n        await E.y()\n        try: E.spawn(more())\n        except RuntimeError: await E.sleep(5)",
    "async def more():\n        await E.sleep(50)\n"
    "    try:\n        await E.sleep(100)\n    finally:\n        E.spawn(more())",
)


def test_a_program_stops_within_a_second_and_a_half_whatever_it_does(micropython: MicroPython) -> None:
    for number, body in enumerate(STUBBORN):
        micropython.compile(f"stubborn{number}", f"async def main(E):\n    {body}\n")
    found = micropython.with_room().act(f"""
        found = []
        for number in range({len(STUBBORN)}):
            await install(runner, "p", "stubborn%d" % number)
            await asyncio.sleep_ms(100)
            await runner.stop("p")
            found.append([row(runner, "p")["state"], events(), row(runner, "p")["autostart"]])
        return found
    """)
    assert found == [["stopped", [], True]] * len(STUBBORN)


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
    told, resets = micropython.act("""
        await install(runner, "swallows")
        await asyncio.sleep_ms(50)
        try:
            await runner.stop("swallows")
        except SystemExit:
            return [[e["data"] for e in events()], len(machine.resets)]
    """)
    assert resets == 1
    assert [event["alive"] for event in told] == [False]
    assert "does not stop" in told[0]["reason"]
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
            await more()
        """,
    )
    found = micropython.act("""
        import gc
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
    """)
    # The least of ten: an old word on the stack may hold a block for a while. A table that grows does so once, a leak
    # in each ten.
    least = [min(found[at : at + 10]) for at in range(5, 45, 10)]
    assert not all(later - earlier >= 64 for earlier, later in pairwise(least)), found


RESTARTING = """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    led.value(1)
    async def later():
        await E.sleep_ms(20)
        try:
            machine.reset()
        except Exception:
            E.print("never")
    E.spawn(later())
    await E.sleep(100)
"""


def test_a_program_that_resets_its_chip_starts_again_alone_and_counts_no_crash(micropython: MicroPython) -> None:
    micropython.compile("p", RESTARTING)
    micropython.compile("soft", "async def main(E):\n    E.module('machine').soft_reset()\n")
    kinds, resets, rows, pins = micropython.act("""
        await install(runner, "p")
        await install(runner, "soft")
        await until(lambda: len(events()) >= 5)
        rows = [row(runner, name).get("error") for name in ("p", "soft")]
        await runner.stop("soft")
        await until(lambda: row(runner, "p")["state"] == "running" and row(runner, "p")["pins"])
        pins = row(runner, "p")["pins"]
        return [events(), len(machine.resets), rows, pins]
    """)
    assert {event["name"] for event in kinds} == {"app.exit"}
    assert {event["data"]["kind"] for event in kinds} == {"restarted"}
    assert {event["data"]["app"] for event in kinds} == {"p", "soft"}
    assert (resets, rows, pins) == (0, [None, None], [2])
