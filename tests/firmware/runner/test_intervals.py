"""Programs that run at an interval, and for a time: the board does it, by its own time, also after a power cut."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from tests.firmware.runner.conftest import MicroPython

PULSE = """
count = 0

async def main(E):
    global count
    count += 1
    machine = E.module("machine")
    fan = machine.Pin(4, machine.Pin.OUT)
    fan.value(1)
    await E.sleep_ms(20)
    E.print("run", count)
    fan.value(0)
"""
FAN = """
async def main(E):
    machine = E.module("machine")
    fan = machine.Pin(4, machine.Pin.OUT)
    fan.value(1)
    while True:
        await E.sleep_ms(20)
"""
BROKEN = """
async def main(E):
    raise ValueError("no sensor")
"""
LATER = """
def timed_runner():
    runner = new_runner()
    real, ahead = runner.board.now_ms, [0]
    runner.board.now_ms = lambda: real() + ahead[0]
    return runner, ahead


async def install_timed(runner, name, every_ms=0, stop_after_ms=0):
    data = image(name)
    runner.begin(name, "py", len(data), hashlib.sha256(data).digest(), 4096, True, every_ms, stop_after_ms)
    at = 0
    while at < len(data):
        at = runner.write(at, data[at : at + 512])
    await runner.commit()


async def tick():
    await asyncio.sleep_ms(250)

"""


def run(micropython: MicroPython, body: str) -> Any:
    """Return what the lines of a coroutine return; `runner` is on a clock that `ahead` moves."""
    return micropython.run(
        f"{LATER}async def main():\n    runner, ahead = timed_runner()\n{indent(body.strip(), '    ')}\nrun(main)\n"
    )


def test_a_program_that_returns_is_started_anew_at_each_interval_with_fresh_globals(micropython: MicroPython) -> None:
    micropython.compile("pulse", PULSE)
    found = run(
        micropython,
        """
await install_timed(runner, "pulse", every_ms=600000)
await until(lambda: row(runner, "pulse")["state"] == "waiting")
first = row(runner, "pulse")
for number in range(2, 4):
    ahead[0] += 600000
    await until(lambda: row(runner, "pulse")["runs"] == number and row(runner, "pulse")["state"] == "waiting")
return [first, row(runner, "pulse"), lines(), [e["kind"] for e in events("app.exit")]]
""",
    )
    first, last, lines, exits = found
    assert (first["every_ms"], first["stop_after_ms"], first["runs"], first["missed"]) == (600_000, 0, 1, 0)
    assert 590_000 < first["next_in_ms"] <= 600_000
    assert first["last"]["how"] == "returned"
    assert 20 <= first["last"]["took_ms"] < 60_000
    assert last["runs"] == 3
    assert lines == ["run 1", "run 1", "run 1"]
    assert exits == [], "a durable event for each run would fill the outbox while the host is away"


def test_a_run_is_stopped_after_its_time_and_its_pins_stay_its_own_as_inputs(micropython: MicroPython) -> None:
    micropython.compile("fan", FAN)
    found = run(
        micropython,
        """
await install_timed(runner, "fan", 600000, 30000)
await until(lambda: row(runner, "fan")["pins"] == [4])
ahead[0] += 29000
await tick()
before = row(runner, "fan")["state"]
ahead[0] += 1500
await until(lambda: row(runner, "fan")["state"] == "waiting")
seen = [before, row(runner, "fan")["last"], machine.pins[4].state["mode"], dict(runner.board.owners)]
ahead[0] += 570000
await until(lambda: row(runner, "fan")["runs"] == 2)
again = [row(runner, "fan")["state"]]
await runner.stop("fan")
return [seen, again, row(runner, "fan"), runner.board.owners]
""",
    )
    (before, last, mode, owners), again, stopped, released = found
    assert before == "running"
    assert last["how"] == "stopped"
    assert 30_000 <= last["took_ms"] < 90_000
    assert mode == 1, "the pin is an input between runs"
    assert owners == {"4": "fan"}
    assert again[0] == "running"
    assert stopped["state"] == "stopped"
    assert "next_in_ms" not in stopped
    assert released == {}


def test_one_that_still_runs_at_its_next_time_is_not_started_twice_and_is_counted(micropython: MicroPython) -> None:
    micropython.compile("fan", FAN)
    found = run(
        micropython,
        """
await install_timed(runner, "fan", every_ms=60000)
for missed in range(1, 6):
    ahead[0] += 60000
    await until(lambda: row(runner, "fan")["missed"] == missed)
ahead[0] += 600000
await until(lambda: row(runner, "fan")["missed"] == 15)
return row(runner, "fan")
""",
    )
    assert (found["state"], found["runs"], found["missed"]) == ("running", 1, 15)


def test_a_program_for_a_time_alone_ends_once_and_tells_it(micropython: MicroPython) -> None:
    micropython.compile("fan", FAN)
    found = run(
        micropython,
        """
await install_timed(runner, "fan", stop_after_ms=30000)
ahead[0] += 31000
await until(lambda: row(runner, "fan")["state"] == "stopped")
ahead[0] += 31000
await tick()
return [row(runner, "fan"), events("app.exit"), runner.board.owners]
""",
    )
    row, exits, owners = found
    assert (row["state"], row["stop_after_ms"]) == ("stopped", 30_000)
    assert exits == [{"name": "app.exit", "data": {"app": "fan", "kind": "stopped"}}]
    assert owners == {}


def test_a_run_that_fails_is_told_once_and_the_next_one_comes_at_its_time(micropython: MicroPython) -> None:
    micropython.compile("broken", BROKEN)
    found = run(
        micropython,
        """
await install_timed(runner, "broken", every_ms=60000)
await until(lambda: row(runner, "broken")["state"] == "waiting")
for number in range(2, 6):
    ahead[0] += 60000
    await until(lambda: row(runner, "broken")["runs"] == number and row(runner, "broken")["state"] == "waiting")
return [row(runner, "broken"), [e["data"]["alive"] for e in events("app.crash")]]
""",
    )
    row, crashes = found
    assert row["last"]["how"] == "trapped"
    assert "no sensor" in row["error"]
    assert (row["autostart"], crashes) == (True, [True])


def test_the_times_survive_a_power_cut_an_upgrade_takes_new_ones_and_undo_brings_them_back(
    micropython: MicroPython,
) -> None:
    micropython.compile("fan", FAN)
    run(
        micropython,
        """
await install_timed(runner, "fan", 600000, 30000)
""",
    )
    found = run(
        micropython,
        """
await runner.boot()
booted = row(runner, "fan")
ahead[0] += 30500
await until(lambda: row(runner, "fan")["state"] == "waiting")
await install_timed(runner, "fan", 7200000, 0)
upgraded = row(runner, "fan")
await runner.undo("fan")
undone = row(runner, "fan")
await install_timed(runner, "fan")
return [[r.get("every_ms"), r.get("stop_after_ms"), r["state"]]
    for r in (booted, upgraded, undone, row(runner, "fan"))]
""",
    )
    assert found == [
        [600_000, 30_000, "running"],
        [7_200_000, 0, "running"],
        [600_000, 30_000, "running"],
        [None, None, "running"],
    ]


WRONG = [(-1, 0), (999, 0), (0, 5), (4_233_600_001, 0), (60_000, 60_001)]


def test_times_that_cannot_be_are_refused(micropython: MicroPython) -> None:
    found = micropython.act(
        f"return [refused(lambda: runner.begin('x', 'py', 8, bytes(32), 0, True, *times)) for times in {WRONG}]"
    )
    assert found == ["bad_params"] * len(WRONG)
