"""A host as a person runs it, a process of its own, and a scripted device that is paired with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.devices.link.scripted import ScriptedDevice
from tests.host_process import PATIENCE_S as PATIENCE_S
from tests.host_process import HostProcess
from tests.wire.link.ends import MemoryOutbox


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


class RealHost(HostProcess):
    """`microclaw up` in `home`, without virtual boards."""

    def start(self, *words: str, **environ: str) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        super().start("--port", "0", "--virtual", "0", *words, **environ)

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
    with RealHost(tmp_path / "home").running() as host:
        yield host
