"""Hosts and PostgreSQL are killed, paused, cut off and upgraded under load: nothing acknowledged is lost or done twice.

MICROCLAW_CHAOS_S says for how long at least hosts and database are killed (make kills: ten minutes),
MICROCLAW_CHAOS_SEED at which moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

import aiohttp
import psycopg
import pytest
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import Way, authority_of, copy_identity
from tests.host.store.two_hosts import until
from tests.host_process import HostProcess
from tests.postgres import PostgresServer, running_server

import microclaw
from microclaw.backoff import Backoff
from microclaw.devices.link.operations import notify
from microclaw.errors import NoHost, ProtocolError
from microclaw.host.operations.connection import HostError
from microclaw.host.store.schema import VERSION
from microclaw.programs.changes.device_operations import list_devices
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event, Notify, PairDone, PairRequest

WELCOME_S: Final = 15.0
OUTBOX_MESSAGES: Final = 200
MAX_WAIT_S: Final = 8.0
TICK_S: Final = (0.2, 1.2)


class Host(HostProcess):
    """`microclaw up --database ...`, at another port after each start; `source` is the folder of another microclaw."""

    def __init__(self, home: Path, url: str) -> None:
        super().__init__(home)
        self.url = url
        self.source: Path | None = None
        self.address: str | None = None

    def start(self, *words: str, **environ: str) -> None:
        words = ("--database", self.url, "--link", "127.0.0.1:0", "--port", "0", "--virtual", "0", *words)
        environ = {"MICROCLAW_CLUSTER__HOST": self.home.name, **environ}
        if self.source is not None:
            environ["PYTHONPATH"] = str(self.source)
        super().start(*words, **environ)
        self.address = self.facts["link"]

    def stop(self) -> None:
        self.address = None
        super().stop()


class FleetDevice(ScriptedDevice):
    """It tells numbered events now and then, takes notes, and goes to the next host when it is cut off."""

    def prepare(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng
        self.sent = 0
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
            address = hosts[at].address
            if address is not None:
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


CHAOS_S = float(os.environ.get("MICROCLAW_CHAOS_S", "0"))
SEED = int(os.environ.get("MICROCLAW_CHAOS_SEED", "7"))
DEVICES = 20
HOST_KILLS = 4
DATABASE_KILLS = 2
MOVED_S = 5.0
SETTLED_S = 120.0
BREACHES: Final = {4400, 4401, 4403}
# What a person sees of a host that was killed or has no database: no socket, half an answer, or a refusal.
REFUSED: Final = (NoHost, ProtocolError, HostError)
SOURCE: Final = Path(microclaw.__file__).parent
STEP: Final = ("ALTER TABLE devices ADD COLUMN colour TEXT", "CREATE TABLE newer (a TEXT) STRICT")


@dataclass
class Fleet:
    """Three hosts; `notes` and `chats` are what they promised to people."""

    server: PostgresServer
    url: str
    hosts: list[Host]
    way: Way  # of the middle one
    folder: Path
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    devices: list[FleetDevice] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    chats: int = 0
    moved_s: list[float] = field(default_factory=list)  # from a host's death to its last device's greeting elsewhere

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Over a database whose acknowledged writes survive its death."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="microclaw-postgres-"))
        server = stack.enter_context(running_server(Path(folder), durable=True))
        url = server.new_database(empty=True)
        way = Way(url)
        hosts = [Host(tmp_path / f"host-{number}", url) for number in (1, 2, 3)]
        hosts[1].url = way.url
        for host in hosts:
            host.home.mkdir(mode=0o700) if host is hosts[0] else copy_identity(hosts[0].home, host.home)
            stack.callback(host.kill)
            await asyncio.to_thread(host.start)
        yield Fleet(server, url, hosts, way, tmp_path)


async def test_nothing_acknowledged_is_lost_or_done_twice_whatever_ends_hosts_and_database(fleet: Fleet) -> None:
    """Devices tell events, two people send notes and chat; after all the harm everything is looked at."""
    fleet.devices = devices = await paired_devices(fleet.hosts[0], fleet.rng, DEVICES)
    quiet = asyncio.Event()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(device.live(fleet.hosts, quiet, over), name=device.name)
        people = [tasks.create_task(ask(fleet, quiet, who)) for who in ("ann", "bob")]
        await kill_at_random(fleet)
        await pause_one_and_cut_off_another(fleet)
        await kill_all_at_once(fleet)
        await upgrade_one_after_another(fleet)
        quiet.set()
        await asyncio.wait(people)
        await settled(fleet)
        over.set()
    check(fleet)
    assert median(fleet.moved_s) <= MOVED_S, "until the last of a killed host's devices is elsewhere"
    assert max(fleet.moved_s) < SETTLED_S


async def kill_at_random(fleet: Fleet) -> None:
    loop = asyncio.get_running_loop()
    kills = Counter[str]()
    end = loop.time() + CHAOS_S
    while loop.time() < end or kills["host"] < HOST_KILLS or kills["database"] < DATABASE_KILLS:
        await asyncio.sleep(fleet.rng.uniform(0.3, 2.0))
        if fleet.rng.random() < DATABASE_KILLS / (HOST_KILLS + DATABASE_KILLS):
            kills["database"] += 1
            await asyncio.to_thread(fleet.server.kill)
            await asyncio.sleep(fleet.rng.uniform(0.0, 5.0))
            await asyncio.to_thread(fleet.server.start)
        else:
            kills["host"] += 1
            await _kill_one(fleet)


async def _kill_one(fleet: Fleet) -> None:
    loop = asyncio.get_running_loop()
    connected = [one for one in fleet.devices if one.ready.is_set()]
    used = [host for host in fleet.hosts if host.address in {one.address for one in connected}]
    victim = fleet.rng.choice(used or fleet.hosts)
    its = [device for device in connected if device.address == victim.address]
    await asyncio.to_thread(victim.kill)
    killed_at = loop.time()
    for device in its:
        device.ready.clear()
    while loop.time() - killed_at < SETTLED_S and not all(device.ready.is_set() for device in its):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    fleet.moved_s += [loop.time() - killed_at] * bool(its)
    await asyncio.to_thread(victim.start)


async def pause_one_and_cut_off_another(fleet: Fleet) -> None:
    """The others say that it is gone, and it comes back by itself."""
    first, second, third = fleet.hosts
    first.signal(signal.SIGSTOP)
    await _sees(third, second)
    first.signal(signal.SIGCONT)
    await _sees(third, first, second)
    fleet.way.cut()
    await _sees(third, first)
    fleet.way.mend()
    await _sees(third, first, second)
    await _told_more(fleet)


async def _sees(host: Host, *others: Host) -> None:
    def seen() -> set[str]:
        return {one["facts"]["name"] for one in host.client.get("/v1/cluster")["cluster"]["hosts"]}

    async with asyncio.timeout(SETTLED_S):
        while await asyncio.to_thread(seen) != {one.home.name for one in (host, *others)}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def kill_all_at_once(fleet: Fleet) -> None:
    await asyncio.gather(*(asyncio.to_thread(host.kill) for host in fleet.hosts))
    await asyncio.gather(*(asyncio.to_thread(host.start) for host in fleet.hosts))
    await _told_more(fleet)


async def upgrade_one_after_another(fleet: Fleet) -> None:
    source = fleet.folder / "newer" / "src"
    await asyncio.to_thread(_newer_microclaw, source)
    for host in fleet.hosts:
        await asyncio.to_thread(host.stop)
        host.source = source
        await asyncio.to_thread(host.start)
        await _told_more(fleet)
        status: Any = (await asyncio.to_thread(host.client.get, "/v1/cluster"))["cluster"]
        told = " ".join(problem["text"] for problem in status["problems"])
        assert (str(VERSION + 1) in told) == (host is not fleet.hosts[-1])
    assert fleet.rows("SELECT version FROM store_version") == [(VERSION + 1,)]


def _newer_microclaw(source: Path) -> None:
    """A copy of this microclaw whose store has another version, beside what it reads outside its package."""
    shutil.copytree(SOURCE, source / "microclaw", ignore=shutil.ignore_patterns("__pycache__"))
    (source.parent / "firmware").symlink_to(SOURCE.parents[1] / "firmware")
    schema = source / "microclaw" / "host" / "store" / "schema.py"
    before, version, after = schema.read_text().partition("VERSION: Final = ")
    schema.write_text(f"{before}STEPS = (*STEPS, {STEP})\n{version}{after}")


async def _told_more(fleet: Fleet) -> None:
    """Each device has two more messages acked."""
    wanted = [(device, device.acked + 2) for device in fleet.devices]
    await until(lambda: all(device.acked >= count for device, count in wanted))


async def ask(fleet: Fleet, quiet: asyncio.Event, who: str) -> None:
    """Notes to devices, and messages to the agent, at whichever host."""
    number = 0
    rng = fleet.rng
    while not quiet.is_set():
        host = rng.choice(fleet.hosts)
        device = rng.choice(fleet.devices)
        number = number + 1
        text = f"{who} {number}"
        try:
            if host.address is None:
                await asyncio.sleep(0.1)
            elif number % 4 == 0:
                chat_id = f"c{rng.randrange(3)}"
                await asyncio.to_thread(host.client.watching(within_s=60).say, "what time is it?", chat_id=chat_id)
                fleet.chats += 1
            else:
                answer = await asyncio.to_thread(host.client.call, notify, device=device.name, text=text)
                assert answer.state in ("delivered", "waiting")
                fleet.notes[device.name].append(text)
        except REFUSED:
            await asyncio.sleep(0.1)


async def settled(fleet: Fleet) -> None:
    """All events acked, all notes there, all messages answered, and every device seen online by every host."""

    def owed() -> list[object]:
        for device in fleet.devices:
            device.take_notes()
        found = [host.client.call(list_devices).devices for host in fleet.hosts]
        online = [{one.name for one in devices if one.link and one.link.online} for devices in found]
        return [
            *(f"{one.name}: {len(one.outbox.rows)} events are not acked" for one in fleet.devices if one.outbox.rows),
            *(set(fleet.notes[one.name]) - {text for _, text in one.notes} for one in fleet.devices),
            *fleet.rows("SELECT * FROM inbox WHERE state = 'waiting'"),
            *({one.name for one in fleet.devices} - names for names in online),
        ]

    async with asyncio.timeout(SETTLED_S):
        while any(await asyncio.to_thread(owed)):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def check(fleet: Fleet) -> None:
    """Each event is kept once, in its order, each note came once, and each message has one answer."""
    kept: dict[str, list[int]] = defaultdict(list)
    for (payload,) in fleet.rows("SELECT payload FROM link_events ORDER BY number"):
        body = decode(bytes(payload)).body
        assert isinstance(body, Event)
        kept[str(body.data["from"])].append(int(str(body.data["n"])))
    answers = fleet.rows(
        "SELECT count(o.message_id) FROM inbox i LEFT JOIN outbox o USING (message_id) "
        "WHERE i.joined IS NULL GROUP BY i.message_id"
    )
    assert set(answers) == {(1,)}
    assert len(answers) >= fleet.chats > 0
    for device in fleet.devices:
        assert kept[device.name] == list(range(1, device.sent + 1)), device.name
        ids = Counter(message_id for message_id, _ in device.notes)
        assert not [text for message_id, text in device.notes if ids[message_id] > 1], f"{device.name}: twice"
        promised = fleet.notes[device.name]
        assert sorted(text for _, text in device.notes if text in promised) == sorted(promised), device.name
        assert not BREACHES & device.closes, f"{device.name}: {device.closes}"
