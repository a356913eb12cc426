"""Three NATS servers and three hosts, each a machine of its own (network.py), and ways between them that are cut.

Devices reach every host all the time. After each cut all is healed, and then what was promised must be there.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pytest
from tests.cluster.chaos import FleetDevice, Host, copy_identity
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer, running_together, urls_of
from tests.cluster.network import Network, network, possible
from tests.cluster.promises import (
    Promises,
    Refused,
    check_devices,
    check_duties,
    check_hosts,
    paired_devices,
    settled,
    unseen,
    until_nothing,
    write_notes,
)

from microclaw.client.request import HostError
from microclaw.wire.link.messages import Event

SERVERS: Final = ("n1", "n2", "n3")
HOSTS: Final = ("h1", "h2", "h3")
DEVICES: Final = 9
PORT: Final = 4222
LINK_PORT: Final = 8443
LOST: Final = "could not renew its lease"
BACK: Final = "this host is one of the cluster again"
CALL_S: Final = 5
PATIENCE_S: Final = 180  # servers that were cut off and come back need a minute to choose leaders
# A call's end by its deadline, in words; never one by the client's own patience.
ENDS: Final = {"device_timeout", "device_unreachable", "device_moved", "outcome_unknown", "store_unreachable"}

pytestmark = pytest.mark.skipif(not possible(), reason="this process may not make network namespaces")


@dataclass
class Stage:
    net: Network
    servers: list[NatsServer]
    hosts: list[Host]

    def count(self, host: Host, words: str) -> int:
        return (host.home / "microclaw.log").read_text().count(words)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """This process is the machine `devices`."""
    folder = tmp_path_factory.mktemp("partitions")
    with network(*SERVERS, *HOSTS, "devices") as net, net.inside("devices"), ExitStack() as stack:
        servers = [
            NatsServer(
                folder / name,
                name=name,
                address=net.address(name),
                inside=partial(net.inside, name),
                port=PORT,
                route_port=PORT + 1,
            )
            for name in SERVERS
        ]
        stack.enter_context(running_together(servers))
        hosts: list[Host] = []
        for name in HOSTS:
            link = f"{net.address(name)}:{LINK_PORT}"
            host = Host(folder / name, urls_of(servers), link=link, inside=partial(net.inside, name))
            if hosts:
                copy_identity(hosts[0].home, host.home)
            else:
                host.home.mkdir(mode=0o700)
            stack.callback(host.kill)
            host.start()
            hosts.append(host)
        yield Stage(net, servers, hosts)


@dataclass
class Trial:
    """Devices that work, and people who write to them, while ways are cut."""

    stage: Stage
    devices: list[FleetDevice]
    promises: Promises
    refused: Counter[str] = field(default_factory=Counter)

    async def written(self, hosts: list[Host], count: int = 6) -> None:
        """So many more notes were taken by these hosts for their devices, or others'."""
        for number in range(count):
            device = self.devices[number % len(self.devices)]
            host = hosts[number % len(hosts)]
            deadline = asyncio.get_running_loop().time() + PATIENCE_S
            while (refusal := await self._notify(host, device)) is not None:
                assert asyncio.get_running_loop().time() < deadline, f"{host.home.name}: {refusal!r}"
                await asyncio.sleep(0.1)

    async def _notify(self, host: Host, device: FleetDevice) -> Exception | None:
        """A text of its own each time: of a refused one nobody may know whether it was written."""
        text = f"carol {random.random()}"
        try:
            await asyncio.to_thread(host.client.devices.notify, device.name, text)
        except Refused as exc:
            return exc
        self.promises.notes[device.name].append(text)
        return None

    async def calls_end(self) -> None:
        """Every host calls every device: an answer, or a refusal in words, by the deadline."""

        async def call(host: Host, device: FleetDevice) -> None:
            body = {"method": "gpio.get", "arguments": {"pin": 4}, "timeout_s": CALL_S}
            try:
                await asyncio.to_thread(host.client.post, f"/v1/devices/{device.name}/call", body)
            except HostError as exc:
                self.refused[exc.code] += 1

        for device in self.devices[:3]:
            await asyncio.gather(*(call(host, device) for host in self.stage.hosts))
        assert self.refused.keys() <= ENDS

    async def left_out(self, host: Host, cut: Callable[[], None]) -> None:
        """`cut` makes the others hold the host for dead, which knows it."""
        before = self.stage.count(host, LOST)
        cut()
        await until(lambda: self.stage.count(host, LOST) > before, f"{host.home.name} does not see that it is cut off")

    async def back(self, host: Host) -> None:
        await until(
            lambda: self.stage.count(host, BACK) + host.ends >= self.stage.count(host, LOST),
            f"{host.home.name} does not come back",
        )


@asynccontextmanager
async def trial(stage: Stage, kind: str, *, seed: int = 7) -> AsyncIterator[Trial]:
    """Afterwards all is healed, and checked."""
    rng, promises = random.Random(seed), Promises()
    devices = await paired_devices(stage.hosts[0], rng, DEVICES, kind)
    quiet, over = asyncio.Event(), asyncio.Event()
    made = Trial(stage, devices, promises)
    try:
        async with asyncio.TaskGroup() as tasks:
            for device in devices:
                tasks.create_task(device.live(stage.hosts, quiet, over), name=device.name)
            for host in stage.hosts:
                tasks.create_task(host.keep_running(over))
            await until_nothing(partial(unseen, stage.hosts, devices), "devices that a host does not see")
            people = [tasks.create_task(write_notes(stage.hosts, devices, rng, promises, quiet, "ann"))]
            yield made
            stage.net.heal()
            for host in stage.hosts:
                await made.back(host)
            quiet.set()
            await asyncio.wait(people)
            await settled(stage.hosts, devices, promises)
            over.set()
    finally:
        stage.net.heal()
    check_hosts(stage.hosts, devices)
    check_devices(devices, promises)
    check_duties(stage.hosts)


async def test_a_host_that_is_cut_off_from_nats(stage: Stage) -> None:
    first, *others = stage.hosts
    async with trial(stage, "alone") as made:
        await made.left_out(first, lambda: stage.net.part(("h1",), SERVERS))
        await made.written(others)
        await made.calls_end()


async def test_a_host_and_a_server_that_are_cut_off_together(stage: Stage) -> None:
    first, *others = stage.hosts
    async with trial(stage, "minority") as made:
        await made.left_out(first, lambda: stage.net.part(("h1", "n1"), ("h2", "h3", "n2", "n3")))
        await made.written(others)
        await made.calls_end()


@pytest.mark.parametrize("way", ["to", "from"])
async def test_a_host_whose_packets_go_one_way_alone(stage: Stage, way: str) -> None:
    first, *others = stage.hosts

    def cut() -> None:
        if way == "to":
            stage.net.cut("h1", off=SERVERS)
        else:
            stage.net.cut(*SERVERS, off=("h1",))

    async with trial(stage, f"one-way-{way}") as made:
        await made.left_out(first, cut)
        await made.written(others)
        await made.calls_end()


async def test_a_server_that_does_not_reach_another_in_one_direction(stage: Stage) -> None:
    async with trial(stage, "half") as made:
        for sender, receiver in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
            stage.net.cut(sender, off=(receiver,))
            await made.written(stage.hosts)
            await made.calls_end()
            stage.net.heal()
            await made.written(stage.hosts)


async def test_a_device_at_both_sides_of_a_partition(stage: Stage) -> None:
    """The newer connection wins, and the older one, which could write nothing meanwhile, is closed.

    By 4409, or by 1013 where its host learns first that NATS took none of what it was told.
    """
    first, second, third = stage.hosts
    async with trial(stage, "both") as made:
        (older,) = await paired_devices(first, random.Random(1), 1, "twofold")
        newer = FleetDevice("", "", token=older.token, boot_id=older.boot_id)
        newer.prepare(older.name, random.Random(2))
        newer.outbox = newer.remembered = older.remembered  # one flash
        assert first.address is not None
        assert second.address is not None
        older.address, newer.address = first.address, second.address
        async with older.connected():
            await older.until_ready()
            await older.send(Event("tick", {"n": 1, "from": older.name}))
            await until(lambda: not older.outbox.rows, "the first event is not acked")
            await made.left_out(first, lambda: stage.net.part(("h1", "n1"), ("h2", "h3", "n2", "n3")))
            await older.send(Event("tick", {"n": 2, "from": older.name}))
            await made.written([second, third])  # its side works
            async with newer.connected():
                await newer.until_ready()
                await until(lambda: not newer.outbox.rows, "the newer connection's events are not acked")
                assert older.closed is None
                stage.net.heal()
                assert await older.until_closed() in (1013, 4409)
                await newer.send(Event("tick", {"n": 3, "from": older.name}))
                await until(lambda: not newer.outbox.rows, "the last event is not acked")
                assert newer.closed is None
        older.sent = 3
        await until_same(stage.hosts)
        check_hosts(stage.hosts, [older])


async def until_same(hosts: list[Host]) -> None:
    def positions() -> set[int]:
        return {row[0] for host in hosts for row in host.rows("SELECT count(*) FROM link_events")}

    await until(lambda: len(positions()) == 1, "the copies are not alike")
