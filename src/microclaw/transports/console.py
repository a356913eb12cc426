"""A firmware's serial console, read and never written to: what programs and the firmware itself print there.

The port is opened when somebody asks, and given back KEEP_S after the last question, so that a flashing tool or a
monitor gets it. Lines carry no program's name: they are the board's.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final, TypeVar, cast

from microclaw.devices.calls import Call, ConsoleLine, ConsolePage, ConsoleRead
from microclaw.devices.transport import Transport
from microclaw.errors import DeviceTimeout, DeviceUnreachable
from microclaw.events import EvidenceKind
from microclaw.fair_ring import FairRing
from microclaw.transports.serial_ports import BytePort, ListPorts, PortOpener, list_ports, parse_port_address
from microclaw.wire.console import ConsoleDecoder

R = TypeVar("R")

SCHEME: Final = "console:"
KEEP_S: Final = 30.0
MAX_LINES: Final = 1_000
MAX_PAGE: Final = 200
_QUIET_S: Final = 1.0
_AGAIN_S: Final = 1.0  # how often a port that went away is looked for, at most


class ConsoleTransport(Transport):
    """`console:/dev/ttyACM0`, `console:usb-VID:PID:SERIAL`, `console:tcp://HOST:PORT`."""

    capabilities: Final = frozenset({ConsoleRead.method})
    evidence: Final[EvidenceKind] = "reported"

    def __init__(
        self, address: str, *, lock_folder: Path, list_ports: ListPorts = list_ports, keep_s: float = KEEP_S
    ) -> None:
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
        self._asked_s = self._opened_s = self._tried_s = 0.0
        self._problem: str | None = None  # why a port that was open is not

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
        await self._let_go()  # a task that was cancelled before its first step did not

    async def _read(self, cursor: int) -> ConsolePage:
        now_s = asyncio.get_running_loop().time()
        if self._problem is not None and now_s - self._asked_s > self._keep_s:
            self._problem = None  # who asks now did not see it open: an error is the better answer
        self._asked_s = now_s
        if self._listening is not None and self._port is None:
            await asyncio.wait([self._listening])  # it is just giving the port back
        if self._listening is None or self._listening.done():
            await self._open(now_s)
        page = self._ring.since(cursor if cursor <= self._ring.added else 0, MAX_PAGE)
        if self._problem:
            opened_ms = 0
        else:
            opened_ms = round((asyncio.get_running_loop().time() - self._opened_s) * 1000)
        return ConsolePage(page.records, page.next, page.dropped, opened_ms, self._problem)

    async def _open(self, now_s: float) -> None:
        """Listen, from now on. Of a port that was open before and is gone, only the page tells."""
        if self._problem is not None and now_s - self._tried_s < _AGAIN_S:
            return
        self._tried_s = now_s
        try:
            self._port = port = await self._opener.open()
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
            while loop.time() - self._asked_s < self._keep_s:
                try:
                    async with asyncio.timeout(min(_QUIET_S, self._keep_s)):
                        data = await port.read()
                except TimeoutError:
                    self._add(decoder.quiet())
                    continue
                self._add(decoder.receive(data))
                await asyncio.sleep(0)  # a board that floods leaves others their turn
        except (OSError, EOFError) as exc:
            why = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            self._problem = f"{self._opener.where} went away: {why}"
            self._add([*decoder.quiet(), "(the port went away here)"])
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        port = self._port
        self._port = None
        if port is not None:
            await port.close()

    def _add(self, texts: list[str]) -> None:
        at_ms = round(time.time() * 1000)
        for text in texts:
            self._ring.append(ConsoleLine(self._ring.added, at_ms, text))
