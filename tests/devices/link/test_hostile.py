"""Five hundred hostile connections: a good device goes on working, memory stays bounded, each is counted by reason."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

from tests.devices.link.attacks import GONE, Attack, Target, attacks, commit
from tests.devices.link.conftest import DAY_MS
from tests.devices.link.real_host import PATIENCE_S, RealHost, until_acked
from tests.devices.link.scripted import ScriptedDevice

from microclaw.host.auth.credentials import mint_token, token_device
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Event, Notify, Token

CONNECTIONS = 500
AT_ONCE = 24  # that are quick; those that only wait do so all together
MAX_PEAK_GROWTH_MB = 40.0


@dataclass
class Work:
    """The good device's work meanwhile."""

    calls: int = 0
    events: int = 0
    notes: list[str] = field(default_factory=list)


async def test_a_good_device_works_on_beside_five_hundred_hostile_ones(real_host: RealHost) -> None:
    good = await real_host.device("good")
    victim = await real_host.device("victim")
    async with good.online():
        copied = await _rotated_away(real_host, victim)
        plans = _plans(good, copied)
        refused_before = Counter(await real_host.refused())
        peak_before_mb = real_host.peak_rss_mb()
        async with _working(real_host, good) as work:
            ends = await _commit_all(plans, Target(real_host.port, good.context()))
        refused = Counter(await real_host.refused())
        refused.subtract(refused_before)
        growth_mb = real_host.peak_rss_mb() - peak_before_mb

        wrong = {f"{attack.name}: {code}" for attack, code in ends if code not in (attack.code, GONE)}
        assert not wrong
        assert len(ends) == CONNECTIONS
        expected = Counter(attack.reason for attack, _ in ends)
        assert +refused == expected
        assert growth_mb < MAX_PEAK_GROWTH_MB

        assert good.closed is None, "the good device lost its connection"
        assert work.calls > 3
        assert work.events > 3
        for text in work.notes:
            assert (await good.next(Notify)).text == text
        await until_acked(good)
    assert real_host.client.get("/v1/devices/good")["link"]["address"] == "127.0.0.1"


def _plans(good: ScriptedDevice, copied: str) -> list[Attack]:
    hello = encode_frame(FrameType.CONTROL, encode(Envelope(secrets.token_bytes(16), good.hello())))
    assert good.token is not None
    owner = token_device(good.token)
    assert owner is not None
    kinds = attacks(hello, copied, mint_token(owner, secrets.token_bytes(32)))
    return [kinds[number % len(kinds)] for number in range(CONNECTIONS)]


async def _commit_all(plans: list[Attack], target: Target) -> list[tuple[Attack, int]]:
    """Each kind comes from an address of its own: what the host grants one of them is not what this is about."""
    gate = asyncio.Semaphore(AT_ONCE)
    kinds = list(dict.fromkeys(plans))

    async def one(number: int, attack: Attack) -> tuple[Attack, int]:
        source = f"127.0.1.{1 + kinds.index(attack)}"
        if attack.slow:
            return attack, await commit(attack, number, target, source)
        async with gate:
            return attack, await commit(attack, number, target, source)

    return list(await asyncio.gather(*(one(number, attack) for number, attack in enumerate(plans))))


@asynccontextmanager
async def _working(host: RealHost, device: ScriptedDevice) -> AsyncIterator[Work]:
    """Calls, notes and events, one after the other, for as long as the block runs; each must succeed."""
    work = Work()
    over = asyncio.Event()

    async def carry_on() -> None:
        while not over.is_set():
            arguments = {"pin": 4, "level": work.calls % 2}
            body = {"method": "gpio.set", "arguments": arguments}
            answer = await asyncio.to_thread(host.client.post, "/v1/devices/good/call", body)
            assert answer["result"] == arguments
            work.calls += 1
            text = f"note {work.calls}"
            await asyncio.to_thread(host.client.post, "/v1/devices/good/notify", {"text": text})
            work.notes.append(text)  # its ack may come after the answer: each is looked for at the end
            work.events += 1
            await device.send(Event("button", {"n": work.events}))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(carry_on(), name="the good device's work")
        yield work
        over.set()


async def _rotated_away(host: RealHost, device: ScriptedDevice) -> str:
    """The device's old token, after it has used the newer one that it was sent."""
    assert device.token is not None
    old = device.token
    with closing(sqlite3.connect(host.home / "microclaw.db", timeout=PATIENCE_S)) as store, store:
        owner = token_device(old)
        aged = store.execute("UPDATE tokens SET made_ms = made_ms - ? WHERE device_id = ?", (2 * DAY_MS, owner))
        assert aged.rowcount == 1
    async with device.connected():
        device.token = (await device.next(Token)).token
    assert device.token != old
    async with device.online():
        pass
    return old
