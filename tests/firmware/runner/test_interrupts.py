"""Exits that are no Exception end a program, never the firmware; Ctrl-C on the cable ends both."""

from __future__ import annotations

import signal
import subprocess

import pytest
from tests.firmware.runner.conftest import MicroPython

RAISING = {
    "task": "E.spawn(a())\n    E.spawn(a())\n    await E.sleep(99)",
    "callback": "[E.timer(E.module('machine').Timer(n), period=5, callback=f) for n in (0, 1)]\n    await E.sleep(99)",
    "main": "E.spawn(a())\n    f(0)",
}
EXITS = [
    (what, where) for what in ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "BaseException") for where in RAISING
]


def test_what_is_no_exception_is_the_programs_end_and_not_the_firmwares(micropython: MicroPython) -> None:
    """Two at once, in two tasks: so a program that was sent ended the firmware, at each start."""
    for number, (what, where) in enumerate(EXITS):
        source = f"def f(_): raise {what}\nasync def a(): f(0)\nasync def main(E):\n    {RAISING[where]}\n"
        micropython.compile(f"bad{number}", source)
    found = micropython.with_room().act(f"""
        ends = []
        for number in range({len(EXITS)}):
            told.clear()
            await install(runner, "bad", "bad%d" % number, heap=20_480)
            await until(lambda: row(runner, "bad")["state"] != "running")
            ends.append([row(runner, "bad")["state"], events()[0]["name"], events()[0]["data"].get("reason", "")])
            await runner.remove("bad")
        return ends
    """)
    for (what, _), (state, name, reason) in zip(EXITS, found, strict=True):
        if what == "SystemExit":
            assert (state, name) == ("exited", "app.exit")
        else:
            assert (state, name) == ("trapped", "app.crash")
            assert what in reason


@pytest.mark.parametrize("what", ["SystemExit", "KeyboardInterrupt", "ValueError"])
def test_a_program_that_raises_as_it_is_read_in_is_refused(micropython: MicroPython, what: str) -> None:
    micropython.compile("bad", f"raise {what}\nasync def main(E): pass\n")
    found = micropython.act("""
        return [await refused_async(install(runner, "bad")), runner.list()]
    """)
    assert found == ["invalid_module", []]


def test_an_exception_that_cannot_be_told_is_a_crash_all_the_same(micropython: MicroPython) -> None:
    micropython.compile(
        "bad",
        "class Odd(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\n"
        "async def main(E):\n    raise Odd()\n",
    )
    found = micropython.act("""
        await install(runner, "bad")
        await until(lambda: events("app.crash"))
        return row(runner, "bad")["state"]
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
