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
ODD = "class Odd(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\n"
EXITS = [
    *(("KeyboardInterrupt", where) for where in RAISING),
    *(("SystemExit", where) for where in RAISING),
    ("GeneratorExit", "task"),
    ("Odd", "main"),  # one that cannot be told
]


def test_what_is_no_exception_is_the_programs_end_and_not_the_firmwares(micropython: MicroPython) -> None:
    """Two at once, in two tasks: so a program that was sent ended the firmware, at each start."""
    for number, (what, where) in enumerate(EXITS):
        source = f"{ODD}def f(_): raise {what}\nasync def a(): f(0)\nasync def main(E):\n    {RAISING[where]}\n"
        micropython.compile(f"bad{number}", source)
    for what in ("SystemExit", "KeyboardInterrupt", "ValueError"):
        micropython.compile(what, f"raise {what}\nasync def main(E): pass\n")
    found, refused = micropython.with_room().act(f"""
        ends = []
        for number in range({len(EXITS)}):
            told.clear()
            await install(runner, "bad", "bad%d" % number, heap=20_480)
            await until(lambda: row(runner, "bad")["state"] != "running")
            ends.append([row(runner, "bad")["state"], events()[0]["name"], events()[0]["data"].get("reason", "")])
            await runner.remove("bad")
        read_in = []
        for name in ("SystemExit", "KeyboardInterrupt", "ValueError"):
            read_in.append(await refused_async(install(runner, name)))
        return [ends, read_in + runner.list()]
    """)
    for (what, _), (state, name, reason) in zip(EXITS, found, strict=True):
        if what == "SystemExit":
            assert (state, name) == ("exited", "app.exit")
        else:
            assert (state, name) == ("trapped", "app.crash")
            assert what in reason or what == "Odd"
    assert refused == ["invalid_module"] * 3, "a program that raises as it is read in"


def test_ctrl_c_gets_through_whatever_a_program_does(micropython: MicroPython) -> None:
    """SIGINT is the unix port's Ctrl-C."""
    greedy = "async def main(E):\n    async def more():\n        while True: await E.y()\n    E.spawn(more())\n    await more()\n"
    micropython.compile("greedy", greedy)
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
        for _ in range(12):  # four are enough; a process that stands still takes several as one
            board.send_signal(signal.SIGINT)
            try:
                _, errors = board.communicate(timeout=2.0)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            board.kill()
            pytest.fail("Ctrl-C twelve times did not end it")
    assert errors.rstrip().endswith("KeyboardInterrupt:")
