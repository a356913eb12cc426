"""Host processes of one database that a test kills, scripted devices that know all of them, and what was promised:
no event or note is lost, none is done twice, and a device that was cut off is soon at another host."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString

import aiohttp
import psycopg
from tests.cli.conftest import clean_environ
from tests.link_server.scripted import MemoryOutbox, ScriptedDevice

from microclaw.apps.device_operations import list_devices
from microclaw.backoff import Backoff
from microclaw.cli.child import Child
from microclaw.errors import NoHost, ProtocolError
from microclaw.link_server.operations import notify
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event, Notify, PairDone, PairRequest

PATIENCE_S: Final = 60.0
START_S: Final = 60.0
WELCOME_S: Final = 15.0
SETTLED_S: Final = 120.0
OUTBOX_MESSAGES: Final = 200
MAX_WAIT_S: Final = 8.0
TICK_S: Final = (0.2, 1.2)
BREACHES: Final = {4400, 4401, 4403, 4409}
# What a person sees of a host that was killed or has no database: no socket, half an answer, or a refusal.
Refused: Final = (NoHost, ProtocolError, HostError)


class Host:
    """`microclaw up --database ...` in `home`; `start` again after `kill` with what is on the disk, at another port.

    `source` is the folder of another microclaw that runs there.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.source: Path | None = None
        self.client = Client(home / "control.sock", timeout_s=PATIENCE_S)
        self.address: str | None = None
        self.url = url
        self._child: Child | None = None

    def start(self) -> None:
        """Ready when it returns; ConfigError where it could not start."""
        words = ["microclaw", "--json", "up", "--database", self.url, "--link", "127.0.0.1:0", "--link-plain"]
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

    def stop(self) -> None:
        """In order, by SIGTERM; returns when it is gone."""
        assert self._child is not None
        self.address = None
        self._child.stop()


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
            await _within(over if quiet.is_set() else quiet, self.rng.uniform(*TICK_S))
            self.take_notes()


@dataclass
class Promises:
    """What a host answered to people."""

    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    chats: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    moved_s: list[float] = field(default_factory=list)  # from a host's death to each of its devices' greeting elsewhere


async def paired_devices(host: Host, rng: random.Random, count: int) -> list[FleetDevice]:
    devices = []
    for number in range(count):
        made = await asyncio.to_thread(host.client.post, "/v1/devices/provision", {"name": f"lamp-{number}"})
        assert host.address is not None
        device = FleetDevice(host.address, "")
        device.prepare(f"lamp-{number}", random.Random(rng.random()))
        async with device.connected(PairRequest(device.board, token_wanted=True, secret=str(made["secret"]))):
            device.token = (await device.next(PairDone)).token
        devices.append(device)
    return devices


async def ask(
    hosts: list[Host],
    devices: list[FleetDevice],
    rng: random.Random,
    promises: Promises,
    quiet: asyncio.Event,
    who: str,
) -> None:
    """Notes to devices, and messages to the agent, at whichever host."""
    number = 0
    while not quiet.is_set():
        host, device, number = rng.choice(hosts), rng.choice(devices), number + 1
        text = f"{who} {number}"
        try:
            if host.address is None:
                await asyncio.sleep(0.1)
            elif number % 4 == 0:
                chat_id = f"c{rng.randrange(3)}"
                await asyncio.to_thread(host.client.watching(within_s=60).say, "what time is it?", chat_id=chat_id)
                promises.chats += 1
            else:
                answer = await asyncio.to_thread(host.client.call, notify, device=device.name, text=text)
                assert answer.state in ("delivered", "waiting")
                promises.notes[device.name].append(text)
        except Refused:
            await asyncio.sleep(0.1)


async def settled(hosts: list[Host], devices: list[FleetDevice], promises: Promises) -> None:
    """All events acked, all notes there, all messages answered, and every device seen online by every host."""

    def owed() -> list[object]:
        for device in devices:
            device.take_notes()
        seen = [
            {one.name for one in host.client.call(list_devices).devices if one.link and one.link.online}
            for host in hosts
        ]
        return [
            *(f"{one.name}: {len(one.outbox.rows)} events are not acked" for one in devices if one.outbox.rows),
            *(set(promises.notes[one.name]) - {text for _, text in one.notes} for one in devices),
            *rows(hosts[0].url, "SELECT * FROM inbox WHERE state = 'waiting'"),
            *(f"{one.name} is nowhere for a host" for one in devices if not all(one.name in names for names in seen)),
        ]

    deadline = asyncio.get_running_loop().time() + SETTLED_S
    while found := list(filter(None, await asyncio.to_thread(owed))):
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.5)


def rows(url: str, query: LiteralString) -> list[tuple[Any, ...]]:
    """Of the database."""
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def check(url: str, devices: list[FleetDevice], promises: Promises) -> None:
    """Each event is kept once, in its order, each note came once, and each message has one answer."""
    kept: dict[str, list[int]] = defaultdict(list)
    for (payload,) in rows(url, "SELECT payload FROM link_events ORDER BY number"):
        body = decode(bytes(payload)).body
        assert isinstance(body, Event)
        kept[str(body.data["from"])].append(int(str(body.data["n"])))
    answered = "SELECT i.message_id, count(o.message_id) FROM inbox i LEFT JOIN outbox o USING (message_id) "
    found = rows(url, f"{answered} WHERE i.joined IS NULL GROUP BY 1")
    assert len(found) >= promises.chats
    assert not [number for number, count in found if count != 1], "messages without one answer"
    for device in devices:
        name, events = device.name, kept[device.name]
        assert events == list(range(1, device.sent + 1)), name
        assert device.remembered.acked_numbers == events, name
        ids = Counter(message_id for message_id, _ in device.notes)
        assert not [text for message_id, text in device.notes if ids[message_id] > 1], f"{name}: twice"
        texts = [text for _, text in device.notes if text in promises.notes[name]]
        assert sorted(texts) == sorted(promises.notes[name]), name
        assert not BREACHES & set(device.closes), f"{name}: {device.closes}"


async def _within(event: asyncio.Event, for_s: float) -> None:
    """Until the event, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await event.wait()
