"""What a cluster promised while it was maltreated, and whether it kept that: no event or note is lost, none
is done twice, and a device that was cut off is soon at another host."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.cluster.chaos import FleetDevice, Host

from microclaw.client.request import HostError
from microclaw.errors import NoHost, ProtocolError
from microclaw.wire.host_api import JsonObject
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event

SETTLED_S: Final = 120.0
AT_ONCE: Final = 8  # devices that are paired
BREACHES: Final = {4400, 4401, 4403, 4409}
# What a person sees of a host that was killed or has no database: no socket, half an answer, or a refusal.
Refused: Final = (NoHost, ProtocolError, HostError)


@dataclass
class Promises:
    """What a host answered to people."""

    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refusals: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    moved_s: list[float] = field(default_factory=list)  # from a host's death to each of its devices' greeting elsewhere


async def paired_devices(host: Host, rng: random.Random, count: int, kind: str = "lamp") -> list[FleetDevice]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def paired(name: str, seed: float) -> FleetDevice:
        async with gate:
            made = await asyncio.to_thread(provisioned, host, name)
            assert host.address is not None
            device = FleetDevice(host.address, "")
            device.prepare(name, random.Random(seed))
            await device.pair_with(str(made["secret"]))
            return device

    return list(await asyncio.gather(*(paired(f"{kind}-{number}", rng.random()) for number in range(count))))


def provisioned(host: Host, name: str) -> JsonObject:
    return host.client.post("/v1/devices/provision", {"name": name})


async def write_notes(
    hosts: list[Host],
    devices: list[FleetDevice],
    rng: random.Random,
    promises: Promises,
    quiet: asyncio.Event,
    who: str,
) -> None:
    number = 0
    while not quiet.is_set():
        host, device, number = rng.choice(hosts), rng.choice(devices), number + 1
        if host.address is None:
            await asyncio.sleep(0.1)
            continue
        text = f"{who} {number}"
        try:
            answer = await asyncio.to_thread(host.client.devices.notify, device.name, text)
        except Refused as exc:
            promises.refusals[getattr(exc, "message", str(exc))[:90]] += 1
            await asyncio.sleep(0.1)
        else:
            assert answer["state"] in ("delivered", "waiting")
            promises.notes[device.name].append(text)


async def settled(hosts: list[Host], devices: list[FleetDevice], promises: Promises) -> None:
    """All events acked, all notes there, and every device seen online by every host."""

    def owed() -> dict[str, list[str]]:
        lacking = {}
        for device in devices:
            device.take_notes()
            there = {text for _, text in device.notes}
            if missing := [text for text in promises.notes[device.name] if text not in there]:
                lacking[device.name] = missing
        return lacking

    def unacked() -> list[str]:
        return [f"{one.name}: {len(one.outbox.rows)}" for one in devices if one.outbox.rows]

    await until_nothing(unacked, "events that are not acked")
    await until_nothing(owed, "notes that did not come")
    await until_nothing(partial(unseen, hosts, devices), "devices that a host sees nowhere")


def unseen(hosts: list[Host], devices: list[FleetDevice]) -> set[str]:
    """Those that one of the hosts holds for connected nowhere."""
    online = [
        {row["name"] for row in host.client.devices.list() if row["link"] and row["link"]["online"]} for host in hosts
    ]
    return {device.name for device in devices if not all(device.name in seen for seen in online)}


async def until_nothing(look: Callable[[], object], what: str) -> None:
    """Until there is none of it."""
    deadline = asyncio.get_running_loop().time() + SETTLED_S
    while found := await asyncio.to_thread(look):
        assert asyncio.get_running_loop().time() < deadline, f"{what}: {found}"
        await asyncio.sleep(0.5)


def check_events(host: Host, devices: list[FleetDevice]) -> None:
    kept: dict[str, list[int]] = defaultdict(list)
    for (payload,) in host.rows("SELECT payload FROM link_events ORDER BY number"):
        body = decode(bytes(payload)).body
        assert isinstance(body, Event)
        kept[str(body.data["from"])].append(int(str(body.data["n"])))
    for device in devices:
        assert kept[device.name] == list(range(1, device.sent + 1)), device.name
        assert device.remembered.acked_numbers == kept[device.name]


def check_devices(devices: list[FleetDevice], promises: Promises) -> None:
    for device in devices:
        ids = Counter(message_id for message_id, _ in device.notes)
        assert not [text for message_id, text in device.notes if ids[message_id] > 1], f"{device.name}: twice"
        texts = Counter(text for _, text in device.notes)
        assert [texts[text] for text in promises.notes[device.name]] == [1] * len(promises.notes[device.name])
        assert not BREACHES & set(device.closes), f"{device.name}: {device.closes}"
