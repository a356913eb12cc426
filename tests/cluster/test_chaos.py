"""kill -9 of hosts and NATS servers under load: nothing acknowledged is lost or done twice, all agree.

MICROCLAW_CHAOS_S says for how long, MICROCLAW_CHAOS_SEED at which moments, MICROCLAW_CHAOS_DEVICES with how many.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.chaos import FleetDevice, Host, copy_identity
from tests.cluster.nats_servers import NatsServer, three_servers, urls_of
from tests.cluster.promises import (
    Promises,
    check_devices,
    check_hosts,
    install,
    paired_devices,
    settled,
    write_notes,
)

from microclaw.errors import ConfigError

CHAOS_S = float(os.environ.get("MICROCLAW_CHAOS_S", "30"))
SEED = int(os.environ.get("MICROCLAW_CHAOS_SEED", "7"))
DEVICES = int(os.environ.get("MICROCLAW_CHAOS_DEVICES", "60"))


async def test_nothing_acknowledged_is_lost_or_done_twice_while_hosts_and_servers_are_killed(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    promises = Promises()
    let_open(DEVICES * 2 + 500)
    with three_servers(tmp_path / "nats") as servers, running_hosts(tmp_path, servers) as hosts:
        devices = await paired_devices(hosts[0], rng, DEVICES)
        quiet, over = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for device in devices:
                tasks.create_task(device.live(hosts, quiet, over, devices=DEVICES), name=device.name)
            people = [
                tasks.create_task(write_notes(hosts, devices, rng, promises, quiet, who)) for who in ("ann", "bob")
            ]
            people.append(tasks.create_task(install(hosts, devices, rng, promises, quiet)))
            await kill_at_random(hosts, servers, rng, promises)
            quiet.set()
            await asyncio.wait(people)
            await settled(hosts, devices, promises)
            report(devices, promises)
            over.set()
        check_hosts(hosts, devices)
        check_devices(devices, promises)
        assert promises.kills["Host"]
        assert promises.kills["NatsServer"]
        assert promises.installs
        assert any(promises.notes.values())
        assert sum(device.sent for device in devices) > DEVICES


def let_open(files: int) -> None:
    """Hosts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def report(devices: list[FleetDevice], promises: Promises) -> None:
    """For who runs it by hand: `pytest -s`."""
    notes, events = sum(map(len, promises.notes.values())), sum(device.sent for device in devices)
    print(f"{len(devices)} devices, {events} events, {notes} notes, {len(promises.installs)} programs installed")
    print(f"kills: {dict(promises.kills)}; refused: {dict(promises.refusals)}")
    closes = sum((device.closes for device in devices), Counter[int | None]())
    print(f"connections that ended, by their code: {dict(closes)}")


@contextmanager
def running_hosts(folder: Path, servers: list[NatsServer]) -> Iterator[list[Host]]:
    urls = urls_of(servers)
    hosts = [Host(folder / f"host-{number}", urls) for number in (1, 2, 3)]
    with ExitStack() as stack:
        for host in hosts:
            if host is hosts[0]:
                host.home.mkdir(mode=0o700)
            else:
                copy_identity(hosts[0].home, host.home)
            stack.callback(host.kill)
            host.start()
        yield hosts


async def kill_at_random(hosts: list[Host], servers: list[NatsServer], rng: random.Random, promises: Promises) -> None:
    """For CHAOS_S; afterwards all run."""
    end = asyncio.get_running_loop().time() + CHAOS_S
    down: set[int] = set()
    victims: list[Host | NatsServer] = [*hosts, *hosts, *servers]  # a host is away for longer

    first: list[Host | NatsServer] = [hosts[1], servers[0]]  # one of each kind whatever the chance

    async def kill(victim: Host | NatsServer, away_s: float) -> None:
        await asyncio.to_thread(victim.kill)
        promises.kills[type(victim).__name__] += 1
        await asyncio.sleep(away_s)
        while True:
            try:
                await asyncio.to_thread(victim.start)
            except (
                ConfigError
            ) as exc:  # too few NATS servers at that moment: whoever keeps a host running starts it again
                promises.kills[exc.message] += 1
            else:
                break
        down.discard(id(victim))

    async with asyncio.TaskGroup() as tasks:
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(rng.uniform(0.3, 3.0))
            running = [host for host in hosts if id(host) not in down]
            standing = [each for each in victims if id(each) not in down and running != [each]]  # one host remains
            if not standing:
                continue
            victim = next((each for each in first if each in standing), rng.choice(standing))
            first = [each for each in first if each is not victim]
            down.add(id(victim))
            tasks.create_task(kill(victim, rng.uniform(1.0, 2.0)))
