"""`microclaw link check --as-host` against the firmware: no broken rule."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

from tests.firmware.conftest import Firmware

from microclaw.auth.provisioning import Provision
from microclaw.link_check.as_host import CheckHost, check_device
from microclaw.link_check.report import Finding
from microclaw.link_check.run import Findings


async def checked(board: Firmware, *, only: tuple[str, ...] = (), with_secret: bool = True) -> dict[str, Finding]:
    findings = Findings("device", print, only=only)
    starting = asyncio.Event()
    given: list[Provision] = []

    def start(made: Provision) -> None:
        given.append(made)
        starting.set()

    async def run() -> None:
        await starting.wait()
        board.told(given[0])
        async with board.running():
            await asyncio.Event().wait()

    told = CheckHost(start, address="127.0.0.1", with_secret=with_secret, wait_s=30)
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(run(), name="board")
        stack.push_async_callback(_ended, task)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await check_device(told, listening, findings)
    return {finding.rule_id: finding for finding in findings.all}


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_the_firmware_keeps_every_rule(board: Firmware) -> None:
    found = await checked(board)
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    assert untried == {"L-69", "L-91", "L-94", "L-99"}


async def test_without_a_secret_it_shows_a_code(board: Firmware) -> None:
    found = await checked(board, with_secret=False, only=("L-05", "L-37", "L-38"))
    assert {f.verdict for f in found.values()} == {"kept"}
    await board.until("pairing code")
