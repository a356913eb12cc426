"""NATS is away for longer than a lease: hosts keep their devices, say what they cannot do, and go on afterwards."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.chaos import FleetDevice, Host, copy_identity
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import one_server

from microclaw.client.request import HostError


async def call(host: Host, device: str, method: str = "gpio.get", **arguments: int) -> Any:
    body = {"method": method, "arguments": {"pin": 4, **arguments}, "timeout_s": 5}
    return await asyncio.to_thread(host.client.post, f"/v1/devices/{device}/call", body)


async def answers(host: Host, device: str) -> bool:
    try:
        await call(host, device)
    except HostError:
        return False
    return True


async def test_hosts_keep_their_devices_while_nats_is_away_and_all_goes_on_afterwards(tmp_path: Path) -> None:
    with one_server(tmp_path / "nats") as server, ExitStack() as stack:
        hosts = [Host(tmp_path / name, server.url) for name in ("east", "west")]
        hosts[0].home.mkdir(mode=0o700)
        devices = []
        for number, host in enumerate(hosts):
            if number:
                copy_identity(hosts[0].home, host.home)
            stack.callback(host.kill)
            await asyncio.to_thread(host.start)
            assert host.address is not None
            device = FleetDevice(host.address, "")
            device.prepare(f"lamp-{number}", random.Random(number))
            made = await asyncio.to_thread(host.client.post, "/v1/devices/provision", {"name": device.name})
            await device.pair_with(str(made["secret"]))
            devices.append(device)
        quiet, over = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for device, host in zip(devices, hosts, strict=True):
                tasks.create_task(device.live([host], quiet, over), name=device.name)
            for host in hosts:
                for device in devices:
                    await _until_answers(host, device.name)
            server.kill()
            logs = [host.home / "microclaw.log" for host in hosts]
            await until(lambda: all("could not renew its lease" in log.read_text() for log in logs), "a lease goes on")
            for host, own, other in zip(hosts, devices, reversed(devices), strict=True):
                await call(host, own.name)
                with pytest.raises(HostError) as refused:
                    await call(host, other.name)
                assert refused.value.code in ("device_unreachable", "outcome_unknown", "device_timeout")
                with pytest.raises(HostError):
                    await call(host, own.name, "gpio.set", level=1)
                with pytest.raises(HostError):
                    await asyncio.to_thread(host.client.devices.notify, own.name, "tea is ready")
            server.start()
            for host in hosts:
                for device in devices:
                    await _until_answers(host, device.name)
            quiet.set()
            await until(lambda: not any(device.outbox.rows for device in devices), "events are not acked")
            over.set()
        for device in devices:
            assert not device.closes
            assert device.remembered.acked_numbers == list(range(1, device.sent + 1))


async def _until_answers(host: Host, device: str) -> None:
    async with asyncio.timeout(60):
        while not await answers(host, device):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.2)
