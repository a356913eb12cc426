"""Programs that behave badly: they hurt themselves, never the board or each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.firmware.runner.conftest import MicroPython

CALM = """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    while True:
        await E.y()
        led.toggle()
        await E.sleep_ms(50)
"""
TIMER = "E.timer(E.module('machine').Timer(0), "
TROUBLE = [
    ("def f():\n        while True:\n            E.g()\n    f()", "the program ran for 1.5 s without a wait"),
    (
        f"def f(t):\n        while True:\n            E.g()\n    {TIMER}mode=0, period=10, callback=f)\n    await E.sleep(100)",
        "without a wait",
    ),
    (f"{TIMER}callback=None, freq=5000)", "ValueError: a timer's period is at least 1 ms"),
    ("def f(n): return f(n + 1)\n    f(0)", "maximum recursion depth exceeded"),
    ("async def f(): await f()\n    await f()", "maximum recursion depth exceeded"),
    ("E.module('machine').Pin(6, 3)", "ValueError: pin 6 is reserved for the flash"),
    ("E.module('machine').I2C(0, scl=6, sda=5)", "ValueError: pin 6 is reserved for the flash"),
    ("E.module('machine').PWM(2)", "OSError: pin 2 belongs to the program calm"),
    ("E.module('machine').deepsleep()", "machine.deepsleep is not for programs"),
    ("E.module('_thread')", "programs have tasks, no threads"),
    ("async def f(): await E.sleep(9)\n    while True:\n        E.spawn(f())", "a program may have 16 tasks"),
    ("while True:\n        E.timer(E.module('machine').Timer(-1), period=1000)", "a program may have 8 timers"),
    ("async def f(): 1 / 0\n    E.spawn(f())\n    await E.sleep(99)", "ZeroDivisionError"),
    (f"async def f(t): 1 / 0\n    {TIMER}period=50, callback=f)\n    await E.sleep(99)", "ZeroDivisionError"),
]


READING_IN = """
from time import ticks_add, ticks_diff, ticks_ms
until = ticks_add(ticks_ms(), 1_600)
while ticks_diff(until, ticks_ms()) > 0:
    pass
"""


def test_the_time_of_reading_in_is_not_the_programs(micropython: MicroPython, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/part_slow.py").write_text(READING_IN)
    micropython.compile("reading", "async def main(E):\n    E.ours('part_slow')\n    E.g()\n    E.print('read in')\n")
    lines, crashes = replace(micropython, parts=tmp_path / "parts").act("""
        await install(runner, "reading")
        await until(lambda: lines() or events("app.crash"))
        return [lines(), events("app.crash")]
    """)
    assert (lines, crashes) == (["read in"], [])


def test_trouble_is_told_and_others_go_on(micropython: MicroPython) -> None:
    micropython.compile("calm", CALM)
    for number, (body, _) in enumerate(TROUBLE):
        micropython.compile(f"bad{number}", f"async def main(E):\n    {body}\n")
    found = micropython.with_room().act(f"""
        await install(runner, "calm")
        found = []
        for number in range({len(TROUBLE)}):
            told.clear()
            await install(runner, "bad", "bad%d" % number, heap=40_960)
            await until(lambda: events("app.crash"))
            found.append([events("app.crash")[0]["data"][key] for key in ("app", "reason")])
            await runner.remove("bad")
            end = runner.edges(1 << 30)["cursor"]
            await until(lambda: runner.edges(end)["edges"])
        return [found, row(runner, "calm")["state"]]
    """)
    for (body, reason), (app, told) in zip(TROUBLE, found[0], strict=True):
        assert app == "bad"
        assert reason in told, body
    assert found[1] == "running"


def test_a_long_wait_before_a_long_loop_is_no_reason_to_end_it(micropython: MicroPython) -> None:
    micropython.compile(
        "good",
        """
        async def main(E):
            asyncio = E.module("asyncio")
            event = asyncio.Event()
            async def later():
                await E.sleep(2)
                event.set()
            E.spawn(later())
            await event.wait()
            for i in range(100):
                E.g()
            E.print("done")
        """,
    )
    found = micropython.act("""
        await install(runner, "good")
        await until(lambda: events())
        return [lines(), events()]
    """)
    assert found == [["done"], [{"name": "app.exit", "data": {"app": "good", "kind": "returned"}}]]


def test_events_are_bounded_by_the_hour_as_each_is_written_to_the_flash(micropython: MicroPython) -> None:
    micropython.compile(
        "teller",
        """
        async def main(E):
            mqtt = E.module("microclaw").mqtt
            E.print([mqtt.publish("t", n) for n in range(6)])
            await E.sleep_ms(2000)
            E.print([mqtt.publish("t", n) for n in range(40)].count(True))
        """,
    )
    (first, later), count = micropython.act("""
        import runner as runners
        runner.events = 4
        await install(runner, "teller")
        await until(lines)
        runners.COLLECT_MS = 500
        await until(lambda: len(lines()) == 2)
        return [lines(), len(events("mqtt.publish")) - 4]
    """)
    assert first == str([True] * 4 + [False] * 2)
    assert int(later) == count
    assert 2 <= count < 40


def test_a_program_that_eats_the_boards_memory_is_ended_and_gives_it_back(micropython: MicroPython) -> None:
    micropython.compile("bad", "async def main(E):\n    kept = bytearray(3_000_000)\n")
    micropython.compile("calm", CALM)
    events, row, calm, spare = micropython.run("""
        import gc
        async def main():
            gc.collect()
            runner = new_runner(memory_floor=gc.mem_free() - 40_000)
            await install(runner, "calm")
            await install(runner, "bad")
            await until(lambda: events("app.crash"))
            gc.collect()
            return [events(), row(runner, "bad"), row(runner, "calm")["state"], gc.mem_free() - runner.board.memory_floor]
        run(main)
    """)
    assert [event["data"]["app"] for event in events] == ["bad"]
    assert "memory" in row["error"]
    assert (row["state"], calm) == ("trapped", "running")
    assert spare > 10_000


def test_prints_and_events_without_end_are_limited_and_the_lost_lines_counted(micropython: MicroPython) -> None:
    loop = "async def main(E):\n    n = 0\n    while True:\n        await E.y()\n        {}\n        n += 1\n"
    micropython.compile("chatty", loop.format("E.print('line', n, 'x' * 1000)"))
    micropython.compile("ticking", loop.format("E.event('tick', {})"))
    seconds, found, ticks, later = micropython.act("""
        began = time.ticks_ms() // 1000
        await install(runner, "chatty")
        await until(lambda: [line for line in lines()[:-1] if "were left out" in line])
        await runner.stop("chatty")
        found = [time.ticks_ms() // 1000 - began, [[len(line), line[:60]] for line in lines()]]
        began = time.ticks_ms() // 1000
        await install(runner, "ticking")
        await asyncio.sleep_ms(1500)
        await runner.close()
        return found + [len(events("tick")), time.ticks_ms() // 1000 - began]
    """)
    assert 20 <= len(found) <= 100 + 20 * (seconds + 1) + 2  # a burst, then 20 a second; what is left of the last line
    assert all(size <= 240 for size, _ in found)
    lines = [line for _, line in found]
    first = next(i for i, line in enumerate(lines) if "were left out" in line)
    left_out = int(lines[first].split(" ")[0][1:])
    assert f"line {int(lines[first - 1].split(' ')[1]) + left_out + 1} " in lines[first + 1]
    assert 20 <= ticks <= 30 + 20 * (later + 1)


def test_a_program_that_fills_the_flash_crashes_and_can_be_removed(micropython: MicroPython) -> None:
    micropython.compile(
        "greedy",
        """
        async def main(E):
            with open("/ram/big", "wb") as file:
                while True:
                    await E.y()
                    file.write(bytes(256))
                    file.flush()
        """,
    )
    micropython.compile("calm", CALM)
    reason, rows, after_boot = micropython.run("""
        import runner as runners
        import records
        from slots import Slots
        class Ram:
            def __init__(self): self.data = bytearray(48 * 512)
            def readblocks(self, n, buf, off=0): buf[:] = self.data[n * 512 + off : n * 512 + off + len(buf)]
            def writeblocks(self, n, buf, off=0): self.data[n * 512 + off : n * 512 + off + len(buf)] = buf
            def ioctl(self, op, arg): return 48 if op == 4 else 512 if op == 5 else 0
        async def main():
            ram = Ram()
            os.VfsLfs2.mkfs(ram)
            os.mount(os.VfsLfs2(ram), "/ram")
            records.RESERVE = 2048
            runners.Runner.NOT_KEPT = ()  # it must not be read in again, with its own figure
            runner = Runner(Board(FACTS), "/ram/apps", emit)
            await install(runner, "calm")
            await install(runner, "greedy")
            await until(lambda: len(events("app.crash")) == 3)
            await asyncio.sleep_ms(50)
            await runner.remove("greedy")
            rows = [[r["name"], r["state"]] for r in runner.list()]
            return [events("app.crash")[0]["data"]["reason"], rows, Slots("/ram/apps").names()]
        run(main)
    """)
    assert "OSError: 28" in reason or "ENOSPC" in reason
    assert rows == [["calm", "running"]]
    assert after_boot == ["calm"]
