"""A fleet for tests that kill what they can: host processes, and scripted devices that know all hosts."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import psycopg
from tests.cli.conftest import clean_environ
from tests.link_server.scripted import MemoryOutbox, ScriptedDevice

from microclaw.backoff import Backoff
from microclaw.cli.child import Child
from microclaw.client import Client
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event, Hello, Notify, PairDone, PairRequest

PATIENCE_S: Final = 60.0
START_S: Final = 60.0
WELCOME_S: Final = 15.0
OUTBOX_MESSAGES: Final = 200
MAX_WAIT_S: Final = 8.0
TICK_S: Final = (0.2, 1.2)
TICKS_OF: Final = 120  # more devices than these tell so much less each, and as much together


class Host:
    """`microclaw up --database ...` in `home`; `start` again after `kill` with what is on the disk, at another port.

    `source` is the folder of another microclaw that runs there.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.source: Path | None = None
        self.client = Client(home / "control.sock", timeout_s=PATIENCE_S)
        self.address: str | None = None
        self._url = url
        self._child: Child | None = None

    def start(self) -> None:
        """Ready when it returns; ConfigError where it could not start."""
        words = ["microclaw", "--json", "up", "--database", self._url, "--link", "127.0.0.1:0", "--link-plain"]
        words += ["--port", "0", "--virtual", "0", "--die-with-parent"]
        environ = {**clean_environ(self.home), "MICROCLAW_CLUSTER__HOST": self.home.name}
        if self.source is not None:
            environ["PYTHONPATH"] = str(self.source)
        log = self.home.parent / f"{self.home.name}.stderr"
        self._child = Child(self.home.name, words, log=log, environ=environ)
        self.address = self._child.wait_ready(START_S)[0]["link"]

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        assert self._child is not None
        self.address = None
        if self._child.running:
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()

    @property
    def pid(self) -> int:
        assert self._child is not None, "the host does not run"
        return self._child.pid

    def stop(self) -> None:
        """In order, by SIGTERM; returns when it is gone."""
        assert self._child is not None
        self.address = None
        self._child.stop()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Of the database."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]


def copy_identity(first: Path, home: Path) -> None:
    """One authority for all."""
    home.mkdir(mode=0o700)
    shutil.copytree(first / "identity", home / "identity")


class RememberingOutbox(MemoryOutbox):
    """A device's flash, which also remembers the numbers of the events that were acked."""

    def __init__(self) -> None:
        super().__init__()
        self.acked_numbers: list[int] = []

    def ack(self, seq: int) -> None:
        for number in sorted(self.rows):
            if number <= seq:
                body = decode(self.rows[number][1]).body
                assert isinstance(body, Event)
                self.acked_numbers.append(int(str(body.data["n"])))
        super().ack(seq)


class FleetDevice(ScriptedDevice):
    """It tells an event with the next number now and then, takes notes, and goes to the next host when it
    is cut off."""

    name: str
    remembered: RememberingOutbox

    def prepare(self, name: str, rng: random.Random) -> None:
        self.name, self.rng = name, rng
        self.outbox = self.remembered = RememberingOutbox()
        self.sent = 0
        self.notes: list[tuple[bytes, str]] = []
        self.closes: Counter[int | None] = Counter()
        self._less = 1.0

    @asynccontextmanager
    async def connected(self, opening: Hello | PairRequest | None = None) -> AsyncIterator[ScriptedDevice]:
        """Afterwards nothing waits for a goodbye of TLS: the host may be cut off."""
        transport: asyncio.Transport | None = None
        try:
            async with super().connected(opening) as device:
                transport = self._socket._conn and self._socket._conn.transport
                yield device
        finally:
            if transport is not None:
                transport.abort()

    async def pair_with(self, secret: str) -> None:
        async with self.connected(PairRequest(self.board, token_wanted=True, secret=secret)):
            self.token = (await self.next(PairDone)).token

    async def live(
        self, hosts: list[Host], quiet: asyncio.Event, over: asyncio.Event, *, devices: int = TICKS_OF
    ) -> None:
        """Until `over`: connected wherever it gets in; from `quiet` on it tells nothing new. It is one of `devices`."""
        self._less = max(1.0, devices / TICKS_OF)
        backoff = Backoff(self.rng.random, max_s=MAX_WAIT_S)
        at = self.rng.randrange(len(hosts))
        while not over.is_set():
            at = (at + 1) % len(hosts)
            if (address := hosts[at].address) is not None:
                self.address = address
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with self.connected():
                        if await self._greeted():
                            backoff.succeeded()
                            await self._tell(quiet, over)
                self.take_notes()
                if not over.is_set():
                    self.closes[self.closed[0] if self.closed else None] += 1
            await _within(over, backoff.next_wait_s())

    def take_notes(self) -> None:
        while not self.got.empty():
            envelope = self.got.get_nowait()
            if isinstance(envelope.body, Notify):
                self.notes.append((envelope.id, envelope.body.text))

    async def _greeted(self) -> bool:
        waits = [asyncio.create_task(self.ready.wait()), asyncio.create_task(self.until_closed())]
        await asyncio.wait(waits, timeout=WELCOME_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return self.ready.is_set()

    async def _tell(self, quiet: asyncio.Event, over: asyncio.Event) -> None:
        while not over.is_set() and self.closed is None:
            if not quiet.is_set() and len(self.outbox.rows) < OUTBOX_MESSAGES:
                self.sent += 1
                await self.send(Event("tick", {"n": self.sent, "from": self.name}))
            await _within(over if quiet.is_set() else quiet, self.rng.uniform(*TICK_S) * self._less)
            self.take_notes()


async def _within(event: asyncio.Event, for_s: float) -> None:
    """Until the event, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await event.wait()
