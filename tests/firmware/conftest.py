"""The firmware's own files on MicroPython's unix port, a process each; what it keeps is in a folder of the test."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.devices.link.conftest import Plane as Plane
from tests.devices.link.conftest import limits as limits
from tests.devices.link.conftest import plane as plane
from tests.devices.link.conftest import running_plane as running_plane
from tests.link.conftest import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories

from microclaw.devices.flash.board_files import our_files
from microclaw.devices.link.device_link import DeviceLink
from microclaw.events import DeviceConnected
from microclaw.host.auth.provisioning import Provision

ROOT = Path(__file__).parents[2]
MICROPYTHON = ROOT / ".micropython/bin/micropython"
SMALL = ROOT / ".micropython/bin/micropython-i386"
BOOT = "tests/firmware/simulated/boot.py"
RESTARTS = 3  # the exit status of machine.reset()
PATIENCE_S = 240.0
SOURCES = "firmware/fw"


@dataclass
class Firmware:
    """One board. `async with board.running()`: it boots again after each reset that it asks for."""

    folder: Path
    words: tuple[str, ...] = (str(MICROPYTHON),)
    flashed: str = SOURCES
    boot: str = BOOT  # with another one the sources run: it knows their names, or needs those for boards with PSRAM
    environ: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    boots: int = 0
    process: asyncio.subprocess.Process | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, made: Provision, **more: Any) -> None:
        """As `microclaw flash` leaves it."""
        facts = {"name": "esp32-devkitc-v4", "chip": "ESP32", "memory_floor": 0}
        settings = {"board": facts, "host": made.host, "port": made.port, "ca_sha256": made.ca_sha256, "ntp": ""}
        if made.secret:
            settings["secret"] = made.secret
        self.write("settings.json", json.dumps({**settings, **more}))

    def write(self, name: str, text: str) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / name).read_text())
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Firmware]:
        task = asyncio.create_task(self._run(), name="firmware")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    async def until(self, text: str) -> str:
        """A line that it prints with this text, taken out with those before it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at, line in enumerate(self.lines):
                    if text in line:
                        del self.lines[: at + 1]
                        return line
                self._news.clear()
                await self._news.wait()

    async def _run(self) -> None:
        while True:
            self.boots += 1
            self.process = process = await asyncio.create_subprocess_exec(
                *self.words,
                self.boot,
                f"{self.folder}/",
                self.flashed if self.boot == BOOT else SOURCES,
                cwd=ROOT,
                env={"TZ": "UTC", **self.environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                assert process.stdout is not None
                while line := await process.stdout.readline():
                    self.lines.append(line.decode(errors="replace").rstrip())
                    print("board:", self.lines[-1])
                    self._news.set()
                if await process.wait() != RESTARTS:
                    return
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def micropython(script: str, *words: str, program: Path = MICROPYTHON, options: tuple[str, ...] = ()) -> str:
    """The output of a script of the firmware's modules."""
    if not program.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    places = [str(ROOT / "firmware/fw"), str(ROOT / "tests/firmware/simulated")]
    head = f"import sys\nsys.path[:0] = {places!r}\nWORDS = {[*words]!r}\n"
    command = [str(program), *options, "-c", head + script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr or done.stdout
    return str(done.stdout)


@pytest.fixture(scope="session")
def as_flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_as_flashed(tmp_path_factory.mktemp("fw"))


def put_as_flashed(folder: Path) -> Path:
    """The modules as `microclaw flash` puts them on a board without PSRAM: compiled, with short names."""
    for file in asyncio.run(our_files(ROOT / "firmware", with_psram=False)):
        if file.path != "/main.py":
            (folder / Path(file.path).name).write_bytes(file.data)
    return folder


@pytest.fixture
def board(tmp_path: Path, as_flashed: Path) -> Firmware:
    """Not told of a host, not running."""
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    return Firmware(tmp_path / "board", flashed=str(as_flashed))


async def provisioned(plane: Plane, board: Firmware, **more: Any) -> Provision:
    """The board is told of this host, with a secret."""
    made = await plane.plane.provision("lamp", board="esp32-devkitc-v4", host="127.0.0.1")
    board.told(made, **more)
    return made


@asynccontextmanager
async def linked(plane: Plane, board: Firmware) -> AsyncIterator[DeviceLink]:
    """It runs, and came to this host."""
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        yield plane.links.online[0]
