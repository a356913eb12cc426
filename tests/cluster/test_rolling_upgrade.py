"""Hosts that are upgraded one after another while devices are connected: the newer one's schema has one more step."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from pathlib import Path
from typing import Any, Final

from tests.cluster.chaos import FleetDevice, Host, copy_identity
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.promises import OF_ONE_HOST

import microclaw
from microclaw.store.schema import VERSION

DEVICES: Final = 4
SOURCE: Final = Path(microclaw.__file__).parent
STEP: Final = ("ALTER TABLE devices ADD COLUMN colour TEXT", "CREATE TABLE newer (a TEXT) STRICT")


def newer_microclaw(folder: Path) -> Path:
    """A copy of this microclaw whose store has another version, beside what it reads outside its package."""
    shutil.copytree(SOURCE, folder / "src" / "microclaw", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "firmware").symlink_to(SOURCE.parents[1] / "firmware")
    schema = folder / "src" / "microclaw" / "store" / "schema.py"
    schema.write_text(schema.read_text().replace("] = ()", f"] = ({STEP},)"))
    return folder / "src"


async def status(host: Host) -> Any:
    return (await asyncio.to_thread(host.client.get, "/v1/cluster"))["cluster"]


async def problems(host: Host) -> str:
    return " ".join(problem["text"] for problem in (await status(host))["problems"])


async def paired(host: Host, number: int) -> FleetDevice:
    name = f"lamp-{number}"
    made = await asyncio.to_thread(host.client.post, "/v1/devices/provision", {"name": name})
    assert host.address is not None
    device = FleetDevice(host.address, "")
    device.prepare(name, random.Random(number))
    await device.pair_with(str(made["secret"]))
    return device


async def upgraded(host: Host, source: Path) -> None:
    await asyncio.to_thread(host.stop)
    host.source = source
    await asyncio.to_thread(host.start)


async def test_nothing_acknowledged_is_lost_when_hosts_are_upgraded_one_after_another(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    first, second = hosts = [Host(tmp_path / name, nats_server.url) for name in ("first", "second")]
    newer = await asyncio.to_thread(newer_microclaw, tmp_path / "newer")
    first.home.mkdir(mode=0o700)
    try:
        await asyncio.to_thread(first.start)
        copy_identity(first.home, second.home)
        await asyncio.to_thread(second.start)
        devices = [await paired(first, number) for number in range(DEVICES)]
        quiet, over = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for device in devices:
                tasks.create_task(device.live(hosts, quiet, over), name=device.name)
            await told_more(devices)
            await upgraded(second, newer)
            await told_more(devices)  # by the newer host, whatever the older one turns away
            assert f"knows the store's version {VERSION}, which is {VERSION + 1} now" in (await problems(second))
            await upgraded(first, newer)
            await told_more(devices)
            quiet.set()
            await until(lambda: not any(device.outbox.rows for device in devices), "devices keep what they told")
            assert await problems(first) == ""
            over.set()
        for device in devices:
            assert sorted(set(device.remembered.acked_numbers)) == list(range(1, device.sent + 1))
        for host in hosts:
            assert host.rows("PRAGMA user_version") == [(VERSION + 1,)]
        await until(lambda: first.tables(OF_ONE_HOST) == second.tables(OF_ONE_HOST), "the copies are not alike")
        assert "Traceback" not in "".join((host.home / "microclaw.log").read_text() for host in hosts)
    finally:
        for host in hosts:
            host.kill()


async def told_more(devices: list[FleetDevice]) -> None:
    """Each device has five more messages acked."""
    wanted = [len(device.remembered.acked_numbers) + 5 for device in devices]
    await until(
        lambda: all(
            len(device.remembered.acked_numbers) >= count for device, count in zip(devices, wanted, strict=True)
        ),
        json.dumps([(device.name, device.sent, dict(device.closes.items())) for device in devices], default=str),
    )
