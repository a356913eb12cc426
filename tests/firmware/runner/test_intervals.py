"""Programs that run at an interval, and for a time: the board does it, by its own time, also after a power cut."""

from __future__ import annotations

from typing import Any

from tests.firmware.runner.conftest import MicroPython

PULSE = """
count = 0

async def main(E):
    global count
    count += 1
    await E.sleep_ms(20)
    E.print("run", count)
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
async def install_timed(name, every_ms=0, stop_after_ms=0):
    data = image(name)
    runner.begin(name, "py", len(data), hashlib.sha256(data).digest(), 4096, True, every_ms, stop_after_ms)
    at = 0
    while at < len(data):
        at = runner.write(at, data[at : at + 512])
    await runner.commit()


def is_at(name, state, key, value):
    return row(runner, name)["state"] == state and row(runner, name)[key] == value


async def passes(seconds):
    ahead[0] += 1000 * seconds
    await asyncio.sleep_ms(250)


real, ahead = runner.board.now_ms, [0]
runner.board.now_ms = lambda: real() + ahead[0]
"""


def run(micropython: MicroPython, body: str) -> Any:
    """Return what the lines of a coroutine return; `ahead` moves the clock of `runner`."""
    return micropython.act(f"{LATER}{body.strip()}\n")


def test_one_that_returns_or_fails_starts_anew_at_each_interval_with_fresh_globals(micropython: MicroPython) -> None:
    micropython.compile("pulse", PULSE)
    micropython.compile("broken", BROKEN)
    first, pulse, broken, lines, told = run(
        micropython,
        """
await install_timed("pulse", every_ms=600000)
await install_timed("broken", every_ms=600000)
await until(lambda: is_at("pulse", "waiting", "runs", 1) and is_at("broken", "waiting", "runs", 1))
first = row(runner, "pulse")
for number in range(2, 5):
    ahead[0] += 600000
    await until(lambda: is_at("pulse", "waiting", "runs", number) and is_at("broken", "waiting", "runs", number))
return [first, row(runner, "pulse"), row(runner, "broken"), lines(), events()]
""",
    )
    assert (first["every_ms"], first["stop_after_ms"], first["runs"], first["missed"]) == (600_000, 0, 1, 0)
    assert 590_000 < first["next_in_ms"] <= 600_000
    assert first["last"]["how"] == "returned"
    assert 20 <= first["last"]["took_ms"] < 60_000
    assert (pulse["runs"], lines) == (4, ["run 1"] * 4)
    assert (broken["last"]["how"], broken["autostart"]) == ("trapped", True)
    assert "no sensor" in broken["error"]
    assert [(event["name"], event["data"]["app"]) for event in told] == [("app.crash", "broken")], (
        "a durable event for each run would fill the outbox while the host is away"
    )
    after_a_power_cut = run(micropython, "await runner.boot()\nreturn [row['every_ms'] for row in runner.list()]")
    assert after_a_power_cut == [600_000, 600_000]


def test_a_run_is_stopped_after_its_time_counts_what_it_missed_and_its_pins_stay_its_own(
    micropython: MicroPython,
) -> None:
    micropython.compile("fan", FAN)
    before, last, mode, owners, runs, stopped, released, missed, once, told = run(
        micropython,
        """
await install_timed("fan", 600000, 30000)
await until(lambda: row(runner, "fan")["pins"] == [4])
await passes(15)
found = [row(runner, "fan")["state"]]
ahead[0] += 16000
await until(lambda: row(runner, "fan")["state"] == "waiting")
found += [row(runner, "fan")["last"], machine.pins[4].state["mode"], dict(runner.board.owners)]
ahead[0] += 570000
await until(lambda: row(runner, "fan")["runs"] == 2)
found.append(row(runner, "fan")["state"])
await runner.stop("fan")
found += [row(runner, "fan"), runner.board.owners]
await install_timed("fan", every_ms=60000)
for ahead_ms, missed in ((60000, 1), (60000, 2), (600000, 12)):
    ahead[0] += ahead_ms
    await until(lambda: row(runner, "fan")["missed"] == missed)
found.append([row(runner, "fan")[key] for key in ("state", "runs")])
told.clear()
await install_timed("fan", stop_after_ms=30000)
ahead[0] += 31000
await until(lambda: row(runner, "fan")["state"] == "stopped")
await passes(31)
return found + [row(runner, "fan")["state"], events()]
""",
    )
    assert before == "running"
    assert last["how"] == "stopped"
    assert 30_000 <= last["took_ms"] < 90_000
    assert (mode, owners, runs) == (1, {"4": "fan"}, "running"), "the pin is an input between runs"
    assert (stopped["state"], "next_in_ms" in stopped, released) == ("stopped", False, {})
    assert missed == ["running", 1], "one that still runs at its next time is not started twice"
    assert (once, told) == ("stopped", [{"name": "app.exit", "data": {"app": "fan", "kind": "stopped"}}])
