"""A serial console is read over real ptys: what programs print, a pulled cable, a port that is taken, rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.devices.transports.conftest import StartPeer

from microclaw.devices.registry.calls import AppList, ConsolePage, ConsoleRead
from microclaw.devices.registry.device import Device
from microclaw.devices.transports.console import ConsoleTransport
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.errors import DeviceUnreachable
from microclaw.hardware.boards import load_board
from microclaw.host.store.devices import DeviceRow

LIMIT_S = 60.0
POLL_S = 0.05


class Cable:
    """A pty behind a name that stays, as a USB port's: `pull` takes it away, `plug` brings another one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ttyUSB0"
        self.plug()

    def plug(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.symlink_to(os.ttyname(self._slave))

    def pull(self) -> None:
        self.path.unlink(missing_ok=True)
        for fd in (self._slave, self._master):
            with contextlib.suppress(OSError):
                os.close(fd)

    def say(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def try_to_hold(self) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Cable]:
    cable = Cable(tmp_path)
    yield cable
    cable.pull()


@pytest.fixture
async def console(cable: Cable, tmp_path: Path) -> AsyncIterator[ConsoleTransport]:
    console = ConsoleTransport(f"console:{cable.path}", lock_folder=tmp_path / "locks")
    yield console
    await console.close()


async def _read_until(console: ConsoleTransport, is_enough: Callable[[list[str], ConsolePage], bool]) -> list[str]:
    """The texts from the first number on."""
    texts: list[str] = []
    cursor = 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            page = await console.call(ConsoleRead(cursor), LIMIT_S)
            cursor = page.cursor
            texts = [*texts, *(line.text for line in page.lines)]
            if is_enough(texts, page):
                return texts
            await asyncio.sleep(POLL_S)


async def test_pulled_cable_is_told_and_lines_go_on_when_it_is_back(cable: Cable, console: ConsoleTransport) -> None:
    await console.call(ConsoleRead(), LIMIT_S)
    cable.say(b"before\r\nhalf a li")
    await _read_until(console, lambda texts, _: "before" in texts)
    cable.pull()
    await _read_until(console, lambda _, page: page.problem is not None)
    cable.plug()
    await _read_until(console, lambda _, page: page.problem is None and page.open_ms > 0)
    cable.say(b"after\r\n")
    texts = await _read_until(console, lambda texts, _: "after" in texts)
    assert texts == ["before", "half a li", "(the port went away here)", "after"]


async def test_a_taken_port_is_told_and_ours_is_given_back_when_nobody_reads(cable: Cable, tmp_path: Path) -> None:
    console = ConsoleTransport(f"console:{cable.path}", lock_folder=tmp_path / "locks", keep_s=2.0)
    fd = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(DeviceUnreachable):  # another program has it open
        await console.call(ConsoleRead(), LIMIT_S)
    os.close(fd)
    await console.call(ConsoleRead(), LIMIT_S)
    assert not cable.try_to_hold()
    async with asyncio.timeout(LIMIT_S):
        while not cable.try_to_hold():  # noqa: ASYNC110  a lock of the system tells nobody when it is free
            await asyncio.sleep(POLL_S)
    await console.call(ConsoleRead(), LIMIT_S)
    assert not cable.try_to_hold()
    await console.close()
    assert cable.try_to_hold()


async def test_console_is_read_while_the_board_does_not_answer(
    cable: Cable, console: ConsoleTransport, tmp_path: Path, start_peer: StartPeer
) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    address = f"127.0.0.1:{await start_peer(silent)}"
    stock = WasmachineTransport(address, load_board("virtual"), lock_folder=tmp_path)
    device = Device(DeviceRow("d1", "d", "virtual"), load_board("virtual"), (stock, console))
    listing = asyncio.create_task(device.call(AppList()))
    page = await device.call(ConsoleRead())
    assert page.problem is None
    assert not listing.done()
    assert device.reachable is None
    assert device.evidence_of("console.read") == "reported"
    listing.cancel()
    await asyncio.wait([listing])
    await device.close()
