"""Reads a firmware's serial console: the lines that programs and the firmware print. Never writes to it.

The port is opened at a call, and closed KEEP_S after the last one, so that a flashing tool or a monitor can open it.
Lines have no program's name: they belong to the board.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final, TypeVar, cast

from microclaw.devices.registry.calls import Call, ConsoleLine, ConsolePage, ConsoleRead
from microclaw.devices.registry.transport import Transport
from microclaw.devices.transports.serial_ports import BytePort, PortOpener, list_ports, parse_port_address
from microclaw.errors import DeviceTimeout, DeviceUnreachable
from microclaw.events import EvidenceKind
from microclaw.wire.console import ConsoleDecoder
from microclaw.wire.fair_ring import FairRing

R = TypeVar("R")

SCHEME: Final = "console:"
KEEP_S: Final = 30.0
MAX_LINES: Final = 1_000
MAX_PAGE: Final = 200
_QUIET_S: Final = 1.0
# The least time between two tries to open a port that disappeared.
_RETRY_S: Final = 1.0


class ConsoleTransport(Transport):
    """The transport of `console:/dev/ttyACM0`, `console:usb-VID:PID:SERIAL`, `console:tcp://HOST:PORT`."""

    capabilities: Final = frozenset({ConsoleRead.method})
    evidence: Final[EvidenceKind] = "reported"

    def __init__(self, address: str, *, lock_folder: Path, keep_s: float = KEEP_S) -> None:
        self._opener = PortOpener(
            parse_port_address(address.removeprefix(SCHEME)),
            lock_folder,
            scheme=SCHEME,
            list_ports=list_ports,
            tcp_step="is the board on, and is its console at that port?",
        )
        self.endpoint = self._opener.endpoint
        self._keep_s = keep_s
        self._queue = asyncio.Lock()
        self._ring: FairRing[ConsoleLine] = FairRing(MAX_LINES, lambda _: None)
        self._listening: asyncio.Task[None] | None = None
        self._port: BytePort | None = None
        # Times of the loop's clock: of the last call, of the last opening, and of the last try to open.
        self._called_s = 0.0
        self._opened_s = 0.0
        self._tried_s = 0.0
        # The reason why a port that was open is not open now.
        self._problem: str | None = None

    async def call(self, call: Call[R], timeout_s: float) -> R:
        if not isinstance(call, ConsoleRead):
            raise self.not_offered(call)
        try:
            async with asyncio.timeout(timeout_s), self._queue:
                return cast("R", await self._read(call.cursor))
        except TimeoutError as exc:
            text = f"{self._opener.where} did not open within {timeout_s:g} s"
            raise DeviceTimeout(text, next_step="try again, or unplug the board") from exc

    async def close(self) -> None:
        task = self._listening
        self._listening = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        # A task that was cancelled before its first step did not close the port.
        await self._close_port()

    async def _read(self, cursor: int) -> ConsolePage:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._problem is not None and now_s - self._called_s > self._keep_s:
            # This caller reads for the first time, or again after a pause: forget the old problem, so that opening the
            # port again raises its error to this caller.
            self._problem = None
        self._called_s = now_s
        if self._listening is not None and self._port is None:
            # The task is closing the port just now.
            await asyncio.wait([self._listening])
        if self._listening is None or self._listening.done():
            await self._open(now_s)
        # A cursor above all lines is of an earlier ring.
        start = cursor if cursor <= self._ring.added else 0
        page = self._ring.since(start, MAX_PAGE)
        opened_ms = 0
        if not self._problem:
            opened_ms = round((loop.time() - self._opened_s) * 1000)
        return ConsolePage(page.records, page.next, page.dropped, opened_ms, self._problem)

    async def _open(self, now_s: float) -> None:
        """Begin to listen. If a port that was open has disappeared, only the page says so.

        Raises DeviceUnreachable if it was not open before.
        """
        if self._problem is not None and now_s - self._tried_s < _RETRY_S:
            return
        self._tried_s = now_s
        try:
            port = await self._opener.open()
            self._port = port
        except DeviceUnreachable as exc:
            if self._problem is None:
                raise
            self._problem = exc.message
            return
        self._problem = None
        self._opened_s = asyncio.get_running_loop().time()
        self._listening = asyncio.create_task(self._listen(port), name=f"console {self.endpoint}")

    async def _listen(self, port: BytePort) -> None:
        loop = asyncio.get_running_loop()
        decoder = ConsoleDecoder()
        try:
            while loop.time() - self._called_s < self._keep_s:
                try:
                    async with asyncio.timeout(min(_QUIET_S, self._keep_s)):
                        data = await port.read()
                except TimeoutError:
                    self._add(decoder.quiet())
                    continue
                self._add(decoder.receive(data))
                # Other tasks have their turn, also if a board floods.
                await asyncio.sleep(0)
        except (OSError, EOFError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            self._problem = f"{self._opener.where} went away: {reason}"
            self._add([*decoder.quiet(), "(the port went away here)"])
        finally:
            await self._close_port()

    async def _close_port(self) -> None:
        port = self._port
        self._port = None
        if port is not None:
            await port.close()

    def _add(self, texts: list[str]) -> None:
        at_ms = round(time.time() * 1000)
        for text in texts:
            self._ring.append(ConsoleLine(self._ring.added, at_ms, text))
