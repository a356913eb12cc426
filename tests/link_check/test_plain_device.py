"""A device that was written from the page alone is let in and keeps the rules; one that breaks a rule is said to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from tests.link_check.plain_device import PlainDevice, running
from tests.link_server.conftest import Plane

from microclaw.auth.provisioning import Provision
from microclaw.events import DeviceConnected
from microclaw.link_check.as_host import CheckHost, check_device
from microclaw.link_check.report import Finding
from microclaw.link_check.run import Findings

FAULTS = [
    ("trusts-anyone", "L-04"),
    ("takes-text", "L-10"),
    ("takes-large", "L-12"),
    ("lenient", "L-20"),
    ("forgives", "L-20"),
    ("takes-any-version", "L-22"),
    ("no-pong", "L-50"),
    ("never-gives-up", "L-51"),
    ("never-acks", "L-60"),
    ("applies-twice", "L-61"),
    ("forgets-ids", "L-62"),
    ("forgets-unacked", "L-63"),
    ("takes-gaps", "L-64"),
    ("wrong-epoch", "L-65"),
    ("keeps-its-epoch", "L-66"),
    ("calls-again", "L-71"),
    ("calls-late", "L-73"),
    ("keeps-its-token", "L-92"),
    ("back-at-once", "L-93"),
]


async def checked(*faults: str, only: tuple[str, ...] = (), token: bool = True) -> dict[str, Finding]:
    findings = Findings("device", print, only=only)
    async with AsyncExitStack() as stack:

        def start(made: Provision) -> None:
            device = PlainDevice(made.host, made.port, made.ca_sha256, made.secret, *faults, token=token)
            task = asyncio.create_task(device.run(), name="plain device")
            stack.callback(task.cancel)

        told = CheckHost(start, address="127.0.0.1", with_secret=True, wait_s=30)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await check_device(told, listening, findings)
    return {finding.rule_id: finding for finding in findings.all}


async def test_a_device_written_from_the_page_keeps_every_rule() -> None:
    found = await checked()
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    assert untried == {"L-69", "L-91", "L-94", "L-99"}


@pytest.mark.parametrize(("fault", "rule_id"), FAULTS)
async def test_a_device_that_breaks_a_rule_is_said_to(fault: str, rule_id: str) -> None:
    found = await checked(fault, only=(rule_id,))
    assert found[rule_id].verdict == "broken", found
    assert found[rule_id].sent
    assert found[rule_id].came


@pytest.mark.parametrize("token", [True, False])
async def test_the_real_host_lets_a_device_in_that_was_written_from_the_page(plane: Plane, token: bool) -> None:
    made = await plane.plane.provision("plain", board="xiao-esp32s3", host="127.0.0.1")
    device = PlainDevice(made.host, made.port, made.ca_sha256, made.secret, token=token)
    async with running(device), asyncio.timeout(30):
        await plane.published.until(DeviceConnected)
        result = await plane.links.online[0].call("device.info", {}, idempotent=True, timeout_s=10)
        assert result.ok
        assert await plane.plane.notify("plain", "hello", speak=False, expires_s=None) == "delivered"
    assert plane.registry.get("plain").board.board_id == "xiao-esp32s3"
