"""kill -9 of the host at any moment under load: nothing acknowledged is lost, order is kept, no effect is repeated.

MICROCLAW_KILLS says how often (`make kills`: 200), MICROCLAW_KILL_SEED at which moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field

import aiohttp
from tests.devices.link.real_host import PATIENCE_S, RealHost, until_acked
from tests.devices.link.scripted import ScriptedDevice

from microclaw.errors import NoHost, ProtocolError
from microclaw.host.operations.connection import HostError
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Call, Envelope, Event, Notify, Result

KILLS = int(os.environ.get("MICROCLAW_KILLS", "4"))
SEED = int(os.environ.get("MICROCLAW_KILL_SEED", "4"))
MAX_LOAD_S = 0.4
EVENTS_A_LIFE = 200  # the host keeps 1000 of a device
OUTBOX_MESSAGES = 256  # protocols/link.md: a device that has so many takes no more
WRITERS = 3
# A host that was killed: no socket, a connection cut, or half an answer.
Cut = (NoHost, ProtocolError, HostError)


@dataclass
class Ledger:
    """The promises of each writer: its numbers grow, so each list shows order, loss and repetition."""

    told: dict[int, list[int]] = field(default_factory=lambda: {writer: [] for writer in range(WRITERS)})
    noted: dict[int, list[int]] = field(default_factory=lambda: {writer: [] for writer in range(WRITERS)})
    effects: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    sent: int = 0
    kept: list[int] = field(default_factory=list)
    _row: int = 0
    _number: int = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def answer(self, call: Call) -> Result:
        """The device's end of a call that must not be repeated."""
        self.effects[str(call.params["name"])] += 1
        return Result(ok=True, value={})

    def read_store(self, host: RealHost) -> None:
        """The events that the host has kept since it was last asked."""
        with closing(sqlite3.connect(host.home / "microclaw.db", timeout=PATIENCE_S)) as store:
            rows = store.execute(
                "SELECT number, payload FROM link_events WHERE number > ? ORDER BY number", (self._row,)
            ).fetchall()
        for self._row, payload in rows:
            body = decode(payload).body
            assert isinstance(body, Event)
            self.kept.append(int(str(body.data["n"])))

    def take_notes(self, device: ScriptedDevice) -> None:
        while not device.got.empty():
            self._take_note(device.got.get_nowait())

    async def take_notes_up_to(self, device: ScriptedDevice, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while number not in self.noted[0]:
                self._take_note(await device.got.get())

    def _take_note(self, envelope: Envelope) -> None:
        if isinstance(envelope.body, Notify):
            writer, number = map(int, envelope.body.text.split())
            self.noted[writer].append(number)


async def test_a_host_killed_at_any_moment_loses_nothing_it_acknowledged(real_host: RealHost) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    device = await real_host.device("lamp")
    device.capabilities = (*device.capabilities, "apps.start")
    device.answer = ledger.answer
    async with device.online():  # so the host knows what it offers
        pass
    for number in range(KILLS):
        await _one_life(real_host, device, ledger, rng.uniform(0, MAX_LOAD_S), greeting=number % 4 != 3)
        acked = device.outbox.last - len(device.outbox.rows)
        await asyncio.to_thread(real_host.start)
        device.address = real_host.address
        ledger.read_store(real_host)
        assert len(ledger.kept) >= acked, f"after kill {number + 1} the host has lost events that it acked"
    async with device.online():
        await until_acked(device)
        last = ledger.next_number()  # the last of all
        real_host.client.post("/v1/devices/lamp/notify", {"text": f"0 {last}"})
        await ledger.take_notes_up_to(device, last)
    ledger.read_store(real_host)
    _check(ledger)


def _check(ledger: Ledger) -> None:
    assert ledger.kept == list(range(1, ledger.sent + 1)), "events: each once, in order"
    for writer, told in ledger.told.items():
        noted = ledger.noted[writer]
        assert noted == sorted(set(noted)), "notes came twice or out of order"
        assert set(told) <= set(noted), "a note that the host took never came"
    assert ledger.sent > KILLS / 2
    assert sum(map(len, ledger.told.values())) > KILLS / 2
    for name in ledger.answered:
        assert ledger.effects[name] == 1, f"{name} was answered and had its effect {ledger.effects[name]} times"
    for name in ledger.unknown:
        assert ledger.effects[name] <= 1, f"{name} was repeated silently"
    assert set(ledger.effects) <= ledger.answered | ledger.unknown


async def _one_life(host: RealHost, device: ScriptedDevice, ledger: Ledger, for_s: float, *, greeting: bool) -> None:
    """Load from all sides until the host is killed: `for_s` after it bears on the host, or whether it does or not."""
    over = asyncio.Event()
    device.ready.clear()
    told = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        here = tasks.create_task(_be_there(device, ledger, over), name="device")
        for writer in range(WRITERS):
            tasks.create_task(_notify(host, ledger, writer, told, over), name=f"writer {writer}")
        tasks.create_task(_call(host, ledger, over), name="caller")
        if greeting:
            await device.until_ready()
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
        await asyncio.sleep(for_s)
        await asyncio.to_thread(host.kill)
        over.set()
        await here
    ledger.take_notes(device)


async def _be_there(device: ScriptedDevice, ledger: Ledger, over: asyncio.Event) -> None:
    with suppress(aiohttp.ClientError, OSError):  # the host is killed
        async with device.online():
            for _ in range(EVENTS_A_LIFE):
                if over.is_set() or device.closed is not None or len(device.outbox.rows) >= OUTBOX_MESSAGES:
                    break
                ledger.sent += 1
                await device.send(Event("tick", {"n": ledger.sent}))
                await asyncio.sleep(0.002)
            await over.wait()


async def _notify(host: RealHost, ledger: Ledger, writer: int, told: asyncio.Event, over: asyncio.Event) -> None:
    while not over.is_set():
        number = ledger.next_number()
        with suppress(*Cut):
            await asyncio.to_thread(host.client.post, "/v1/devices/lamp/notify", {"text": f"{writer} {number}"})
            ledger.told[writer].append(number)
            told.set()


async def _call(host: RealHost, ledger: Ledger, over: asyncio.Event) -> None:
    """Calls that must not be done twice; what has no answer is unknown."""
    while not over.is_set():
        name = f"app-{ledger.next_number()}"
        body = {"method": "apps.start", "arguments": {"name": name}, "timeout_s": PATIENCE_S}
        try:
            await asyncio.to_thread(host.client.post, "/v1/devices/lamp/call", body)
        except Cut:
            ledger.unknown.add(name)
        else:
            ledger.answered.add(name)
