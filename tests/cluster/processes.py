"""Host processes of one database that a test harms, and scripted devices that know all of them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from tests.cli.conftest import clean_environ
from tests.cluster.hosts import authority_of
from tests.forked import Child
from tests.link_server.scripted import ScriptedDevice

from microclaw.backoff import Backoff
from microclaw.operations.client import Client
from microclaw.wire.link.messages import Event, Notify, PairDone, PairRequest

START_S: Final = 60.0
WELCOME_S: Final = 15.0
OUTBOX_MESSAGES: Final = 200
MAX_WAIT_S: Final = 8.0
TICK_S: Final = (0.2, 1.2)


class Host:
    """`microclaw up --database ...` in `home`; after `kill` or `stop` it starts with what is on the disk, at another
    port. `source` is the folder of another microclaw that runs there.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.source: Path | None = None
        self.client = Client(home / "control.sock", timeout_s=60)
        self.address: str | None = None
        self._child: Child | None = None

    def start(self) -> None:
        """Ready when it returns; ConfigError where it could not start."""
        words = ["microclaw", "--json", "up", "--database", self.url, "--link", "127.0.0.1:0"]
        words += ["--port", "0", "--virtual", "0", "--die-with-parent"]
        environ = {**clean_environ(self.home), "MICROCLAW_CLUSTER__HOST": self.home.name}
        if self.source is not None:
            environ["PYTHONPATH"] = str(self.source)
        log = self.home.parent / f"{self.home.name}.stderr"
        self._child = Child(self.home.name, words, log=log, environ=environ)
        self.address = self._child.wait_ready(START_S)[0]["link"]

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.running:
            os.kill(self._child.pid, number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """In order, by SIGTERM; returns when it is gone."""
        self.address = None
        if self._child is not None:
            self._child.stop()


class FleetDevice(ScriptedDevice):
    """It tells numbered events now and then, takes notes, and goes to the next host when it is cut off."""

    def prepare(self, name: str, rng: random.Random) -> None:
        self.name, self.rng, self.sent = name, rng, 0
        self.notes: list[tuple[bytes, str]] = []
        self.closes: set[int | None] = set()

    @property
    def acked(self) -> int:
        return self.sent - len(self.outbox.rows)

    async def live(self, hosts: list[Host], quiet: asyncio.Event, over: asyncio.Event) -> None:
        """Until `over`: connected wherever it gets in; from `quiet` on it tells nothing new."""
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
                if self.closed is not None and not over.is_set():
                    self.closes.add(self.closed)
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
            await _within(over if quiet.is_set() else quiet, self.rng.uniform(*TICK_S))
            self.take_notes()


async def paired_devices(host: Host, rng: random.Random, count: int) -> list[FleetDevice]:
    devices = []
    for number in range(count):
        made: Any = await asyncio.to_thread(host.client.post, "/v1/devices/provision", {"name": f"lamp-{number}"})
        device = FleetDevice(str(host.address), authority_of(host.home))
        device.prepare(f"lamp-{number}", random.Random(rng.random()))
        async with device.connected(PairRequest(device.board, token_wanted=True, secret=str(made["secret"]))):
            device.token = (await device.next(PairDone)).token
        devices.append(device)
    return devices


async def _within(event: asyncio.Event, for_s: float) -> None:
    """Until the event, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await event.wait()
