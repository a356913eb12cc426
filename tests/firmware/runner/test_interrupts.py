"""Exits that are no Exception end a program, never the firmware; Ctrl-C on the cable ends both."""

from __future__ import annotations

import signal
import subprocess

import pytest
from tests.firmware.runner.conftest import MicroPython


@pytest.mark.parametrize("where", ["task", "callback", "main"])
@pytest.mark.parametrize("what", ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "BaseException"])
def test_what_is_no_exception_is_the_programs_end_and_not_the_firmwares(
    micropython: MicroPython, where: str, what: str
) -> None:
    """Two at once, in two tasks: so a program that was sent ended the firmware, at each start."""
    raising = {
        "task": "E.spawn(a())\n    E.spawn(a())\n    await E.sleep(99)",
        "callback": "[E.timer(E.module('machine').Timer(n), period=5, callback=f) for n in (0, 1)]\n    await E.sleep(99)",
        "main": "E.spawn(a())\n    f(0)",
    }[where]
    source = f"def f(_): raise {what}\nasync def a(): f(0)\nasync def main(E):\n    {raising}\n"
    micropython.compile("bad", source)
    found = micropython.run("""
        async def main():
            runner = new_runner()
            await install(runner, "bad")
            await until(lambda: row(runner, "bad")["state"] != "running")
            return [row(runner, "bad")["state"], events()[0]["name"], events()[0]["data"].get("reason", "")]
        run(main)
    """)
    if what == "SystemExit":
        assert found[:2] == ["exited", "app.exit"]
    else:
        assert found[:2] == ["trapped", "app.crash"]
        assert what in found[2]


@pytest.mark.parametrize("what", ["SystemExit", "KeyboardInterrupt", "ValueError"])
def test_a_program_that_raises_as_it_is_read_in_is_refused(micropython: MicroPython, what: str) -> None:
    micropython.compile("bad", f"raise {what}\nasync def main(E): pass\n")
    found = micropython.run("""
        async def main():
            runner = new_runner()
            return [await refused_async(install(runner, "bad")), runner.list()]
        run(main)
    """)
    assert found == ["invalid_module", []]


def test_an_exception_that_cannot_be_told_is_a_crash_all_the_same(micropython: MicroPython) -> None:
    micropython.compile(
        "bad",
        "class Odd(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\n"
        "async def main(E):\n    raise Odd()\n",
    )
    found = micropython.run("""
        async def main():
            runner = new_runner()
            await install(runner, "bad")
            await until(lambda: events("app.crash"))
            return row(runner, "bad")["state"]
        run(main)
    """)
    assert found == "trapped"


def test_ctrl_c_gets_through_whatever_a_program_does(micropython: MicroPython) -> None:
    """SIGINT is the unix port's Ctrl-C."""
    micropython.compile(
        "greedy",
        "async def main(E):\n    async def more():\n        while True: await E.y()\n    E.spawn(more())\n    await more()\n",
    )
    script = micropython.script("""
        async def main():
            runner = new_runner()
            await install(runner, "greedy")
            print("busy")
            while True:
                await asyncio.sleep_ms(50)
        run(main)
    """)
    with subprocess.Popen(
        script, env=micropython.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as board:
        assert board.stdout is not None
        assert board.stdout.readline() == "busy\n"
        for _ in range(4):  # one a program, and one for the firmware; a flasher sends them twice a second
            board.send_signal(signal.SIGINT)
            try:
                _, errors = board.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            board.kill()
            pytest.fail("Ctrl-C four times did not end it")
    assert errors.rstrip().endswith("KeyboardInterrupt:")
