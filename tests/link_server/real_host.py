"""A host as a person runs it, a process of its own, and a scripted device that is paired with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cli.conftest import clean_environ
from tests.forked import Child
from tests.link_server.scripted import ScriptedDevice
from tests.wire.link.ends import MemoryOutbox

from microclaw.operations.client import Client

PATIENCE_S = 60.0


class WatchedOutbox(MemoryOutbox):
    """It tells when what it holds is acked."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    def ack(self, seq: int) -> None:
        super().ack(seq)
        self.news.set()


async def until_acked(device: ScriptedDevice) -> None:
    """The host has every message that the device kept."""
    assert isinstance(device.outbox, WatchedOutbox)
    async with asyncio.timeout(PATIENCE_S):
        while device.outbox.rows:
            device.outbox.news.clear()
            await device.outbox.news.wait()


class RealHost:
    """`microclaw up` in `home`; `start` again after `kill` with what is on the disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700, exist_ok=True)
        self.client = Client(home / "control.sock", timeout_s=PATIENCE_S)
        self.facts: dict[str, Any] = {}
        self._child: Child | None = None

    def start(self, *more: str) -> None:
        words = ["microclaw", "--json", "up", "--port", "0", "--virtual", "0", "--die-with-parent", *more]
        self._child = Child("host", words, log=self.home / "stderr", environ=clean_environ(self.home))
        self.facts = self._child.wait_ready()[0]

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    @property
    def address(self) -> str:
        return str(self.facts["link"])

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2].partition("/")[0])

    def peak_rss_mb(self) -> float:
        """The most memory that it ever held, in MB (10^6 bytes); Linux only."""
        status = Path(f"/proc/{self.facts['pid']}/status").read_text()
        return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM:")) * 1024 / 1e6

    async def refused(self) -> dict[str, int]:
        """The host's own count of connections it refused or broke off, by reason."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.facts['http']}/metrics") as answer:
            page = await answer.text()
        rows = [row for row in page.splitlines() if row.startswith("microclaw_link_refused_total{")]
        return {row.split('"')[1]: int(float(row.rpartition(" ")[2])) for row in rows}

    async def device(self, name: str) -> ScriptedDevice:
        """A device that is paired by its code, and not connected."""
        address = self.address.replace("wss", "https").replace("/link", "/ca.pem")
        async with aiohttp.ClientSession() as http, http.get(address, ssl=False) as answer:
            ca = await answer.text()
        device = ScriptedDevice(self.address, ca, outbox=WatchedOutbox())
        await device.pair(
            lambda code: asyncio.to_thread(self.client.post, "/v1/devices/pair", {"code": code, "name": name})
        )
        return device


@pytest.fixture
def real_host(tmp_path: Path) -> Iterator[RealHost]:
    """It runs."""
    host = RealHost(tmp_path / "home")
    with ExitStack() as stack:
        stack.callback(host.stop)
        host.start()
        yield host
