"""Five acts by the command line on a host with a virtual board: the code each runs there, its durable writes, its CPU.

The host is a process of its own with a profile hook (`python -m bench.turn_cost ADDRESS up ...`). What it does from a
command's start until SETTLE_S after its end is counted in this way:

- functions: the different code objects of microclaw that the main thread entered, comprehensions and lambdas too. Only
  those of every counted round: so most work of the background drops out. files, rooms: what they are in (budgets.toml).
- durable writes: transactions that changed a database, and `os.fsync` of files and folders, by all threads; the least
  of the rounds.
- CPU: of all the host's threads, in rounds after those, once the hook has removed itself. Compilers and boards are
  processes of their own and do not count.

Every round does all five, in the same order. The first warms up: it compiles what the others take from the cache.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Client, Listener
from pathlib import Path
from types import FrameType
from typing import Any, Final

import microclaw
from bench.processes import Running, private_home, running
from bench.report import Metric, median

ACTS: Final = {
    'chat "set pin 5 on"': ("chat", "set pin 5 on"),
    'chat "blink the LED on pin 2 every half second"': ("chat", "blink the LED on pin 2 every half second"),
    'chat "what is the temperature"': ("chat", "what is the temperature"),
    "app undo": ("app", "undo"),  # of the blink
    "exec gpio.set": ("exec", "virtual-1", "gpio.set", "pin=5", "level=1"),
}
ROUNDS: Final = 3
CPU_ROUNDS: Final = 3
SETTLE_S: Final = 0.5  # what is written behind the answer belongs to the act, too
SOURCE: Final = f"{microclaw.__path__[0]}/"

Function = tuple[str, int, str]
Work = tuple[set[Function], int]  # with the durable writes


def measure(rounds: int = ROUNDS, cpu_rounds: int = CPU_ROUNDS) -> list[Metric]:
    with private_home() as environ:
        address = f"{environ['MICROCLAW_HOME']}/bench.socket"
        words = ("bench.turn_cost", address, "up", "--json", "--port", "0", "--virtual", "1")
        with running(*words, environ=environ) as host, Client(address) as counter:
            counted: dict[str, list[Work]] = {act: [] for act in ACTS}
            cpu_ms: dict[str, list[float]] = {act: [] for act in ACTS}
            for number in range(1 + rounds):
                for act, command in ACTS.items():
                    counter.send("begin")
                    counter.recv()
                    _run(command, environ)
                    counter.send("end")
                    work: Work = counter.recv()
                    if number:
                        counted[act].append(work)
            counter.send("no more")
            counter.recv()
            for _ in range(cpu_rounds):
                for act, command in ACTS.items():
                    cpu_ms[act].append(_cpu_ms(host, command, environ))
    return [metric for act in ACTS for metric in _metrics(act, counted[act], median(cpu_ms[act]))]


def _metrics(act: str, counted: list[Work], cpu_ms: float) -> list[Metric]:
    functions = set.intersection(*(called for called, _ in counted))
    files = {Path(file).relative_to(SOURCE) for file, _, _ in functions}
    return [
        Metric(f"{act}: functions", len(functions), ""),
        Metric(f"{act}: files", len(files), ""),
        Metric(f"{act}: rooms", len({file.parts[:-1][:2] for file in files}), ""),
        Metric(f"{act}: durable writes", min(writes for _, writes in counted), ""),
        Metric(f"{act}: CPU of the host", cpu_ms, "ms"),
    ]


def _cpu_ms(host: Running, command: tuple[str, ...], environ: Mapping[str, str]) -> float:
    before_s = host.cpu_s()
    _run(command, environ)
    return (host.cpu_s() - before_s) * 1000


def _run(command: tuple[str, ...], environ: Mapping[str, str]) -> None:
    words = (sys.executable, "-m", "microclaw", "--yes", "--json", *command)
    done = subprocess.run(words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert '"evidence": {"kind"' in done.stdout or '"evidence": [{"kind"' in done.stdout, done.stdout
    time.sleep(SETTLE_S)


class Counter:
    """In the host: a hook that sees what runs, and a thread that begins and ends on request."""

    def __init__(self) -> None:
        self._functions: set[Function] = set()
        self._writes = 0
        self._is_on = self._is_over = False

    def install(self, address: str) -> None:
        """For this thread, which is the main one, and for those that start from now on."""
        listener = Listener(address)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        connect = sqlite3.connect

        def traced(*words: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*words, **options)
            self._trace(connection)
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]
        threading.setprofile(self._sees_syncs)
        sys.setprofile(self._sees_all)

    def _serve(self, listener: Listener) -> None:
        with listener.accept() as asked:
            while True:
                match asked.recv():
                    case "begin":
                        self._functions = set()
                        self._writes = 0
                        self._is_on = True
                        asked.send(None)
                    case "end":
                        self._is_on = False
                        asked.send((self._functions, self._writes))
                    case _:
                        self._is_over = True
                        asked.send(None)

    def _sees_all(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if self._is_on and event == "call" and code.co_filename.startswith(SOURCE):
            self._functions.add((code.co_filename, code.co_firstlineno, code.co_name))
        self._sees_syncs(frame, event, arg)

    def _sees_syncs(self, _frame: FrameType, event: str, arg: Any) -> None:
        if self._is_on and event == "c_call" and (arg is os.fsync or arg is os.fdatasync):
            self._writes += 1
        if self._is_over:
            sys.setprofile(None)

    def _trace(self, connection: sqlite3.Connection) -> None:
        changes = 0

        def statement(sql: str) -> None:
            nonlocal changes
            if sql == "COMMIT" and connection.total_changes != changes:
                changes = connection.total_changes
                self._writes += self._is_on

        connection.set_trace_callback(statement)


if __name__ == "__main__":
    from microclaw.__main__ import main

    Counter().install(sys.argv.pop(1))
    sys.exit(main())
