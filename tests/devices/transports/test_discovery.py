"""Announcing and finding on loopback: by real mDNS packets that stay there, and by probing a subnet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.peers import listening
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from microclaw.devices.transports import subnet_probe
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.discovery import (
    MAX_FACTS,
    MAX_TEXT,
    SERVICE,
    Announcement,
    DiscoveredService,
    announce,
    announcement_of,
    browse,
    link_facts,
)
from microclaw.devices.transports.subnet_probe import parse_subnet, probe_subnet
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import ConfigError
from microclaw.host.auth.certificates import host_names

LOOPBACK = ["127.0.0.1"]
WAIT_S = 60.0  # a busy machine; every test ends as soon as it has its answer
FINGERPRINT = "ab" * 32
LINK = link_facts(FINGERPRINT, "1.2.3")


@pytest.fixture
def name() -> str:
    """Tests of other processes announce themselves on the same loopback."""
    return f"t-{secrets.token_hex(4)}"


async def _find(name: str, wait_s: float = WAIT_S) -> list[DiscoveredService]:
    found = await browse(wait_s, interfaces=LOOPBACK, until=lambda each: each.name == name)
    return [each for each in found if each.name == name]


@asynccontextmanager
async def _somebody(*services: str, name: str, facts: Mapping[str, str | bytes]) -> AsyncIterator[None]:
    """One machine that announces all of these services."""
    zeroconf = AsyncZeroconf(interfaces=LOOPBACK)
    try:
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(_announce(zeroconf, service, name, facts))
        yield
    finally:
        await zeroconf.async_close()


async def _announce(zeroconf: AsyncZeroconf, service: str, name: str, facts: Mapping[str, str | bytes]) -> None:
    info = AsyncServiceInfo(
        service,
        f"{name}.{service}",
        port=6053,
        parsed_addresses=LOOPBACK,
        server=f"{name}.local.",
        properties=dict(facts),
    )
    await (await zeroconf.async_register_service(info))


@pytest.mark.parametrize(
    ("listening", "shown"),
    [
        ("::1", None),
        ("0.0.0.0", ("192.168.1.5", "fd00::5")),
        ("::", ("192.168.1.5", "fd00::5")),
        ("192.168.1.5", ("192.168.1.5",)),
    ],
)
def test_only_what_listens_off_loopback_is_announced_at_the_addresses_it_has(
    listening: str, shown: tuple[str, ...] | None
) -> None:
    names = host_names("workshop.lan", ("192.168.1.5", "fd00::5"))
    announcement = announcement_of(SERVICE, listening, 8443, names, LINK)
    if shown is None:
        assert announcement is None
    else:
        assert announcement == Announcement(SERVICE, "workshop", 8443, LINK, shown)


async def test_announced_host_is_found_with_its_fingerprint_port_and_version(name: str) -> None:
    announcement = Announcement(SERVICE, name, 8443, LINK, ("127.0.0.1",))
    async with asyncio.TaskGroup() as group:
        async with announce(announcement, group, interfaces=LOOPBACK):
            found = await _find(name)
        assert await _find(name, wait_s=0.5) == [], "it left"
    assert [(each.kind, each.address, each.port) for each in found] == [("host", "127.0.0.1", 8443)]
    assert dict(found[0].facts) == {"role": "host", "link": "1", "path": "/link", "ca": FINGERPRINT, "version": "1.2.3"}


async def test_what_a_stranger_says_is_bounded(name: str) -> None:
    # more of the long ones do not fit into one packet
    long = b"\xff" + b"x" * 240
    short = b"\xff" + b"x" * 20
    hostile = {f"key{n}": long if n < 3 else short for n in range(MAX_FACTS + 4)}
    async with _somebody("_mcp._tcp.local.", name=name, facts=hostile):
        (found,) = await _find(name)
    assert len(found.facts) == MAX_FACTS
    assert all(len(text) <= MAX_TEXT and text.startswith("\ufffd") for text in found.facts.values())


def test_subnet_that_may_not_be_probed_is_refused() -> None:
    for text in ("192.168.0.0/16", "10.0.0.0/21", "8.8.8.0/24", "fe80::/120", "kitchen", "192.168.1.0/33"):
        with pytest.raises(ConfigError) as caught:
            parse_subnet(text)
        assert caught.value.next_step is not None


async def test_application_manager_is_found_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit_s in (("CONNECT_S", 20.0), ("ANSWER_S", 25.0), ("_FIRST_S", 20.0)):
        monkeypatch.setattr(subnet_probe, name, limit_s)

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    network = parse_subnet("127.0.0.1/32")
    async with VirtualBoardProcess(name="virtual-1", board="virtual") as process:
        address = next(transport for transport in process.ready.transports if transport.startswith("wasmachine://"))
        async with listening(talk) as web_port:
            board_port = int(address.rpartition(":")[2])
            async with asyncio.timeout(WAIT_S):
                probe = await probe_subnet(network, lock_folder=tmp_path, ports=(web_port, board_port))
                also = (HostPort("127.0.0.1", board_port), HostPort("192.0.2.1", board_port))
                elsewhere = await probe_subnet(network, lock_folder=tmp_path, ports=(web_port,), also=also)
    for each in (probe, elsewhere):
        assert [(found.kind, found.address, found.port, dict(found.facts)) for found in each] == [
            ("wasmachine", "127.0.0.1", board_port, {"programs": "none"})
        ]
