"""Probing a subnet: what may be named, and that only application managers are found."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.transports.address import HostPort
from microclaw.transports.subnet_probe import parse_subnet, probe_subnet
from microclaw.virtual_boards.process import VirtualBoardProcess

WAIT_S = 30.0


def test_subnet_that_may_not_be_probed_is_refused() -> None:
    for text in ("192.168.0.0/16", "10.0.0.0/21", "8.8.8.0/24", "fe80::/120", "kitchen", "192.168.1.0/33"):
        with pytest.raises(ConfigError) as caught:
            parse_subnet(text)
        assert caught.value.next_step is not None


async def test_application_manager_is_found_and_others_are_not(tmp_path: Path) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    network = parse_subnet("127.0.0.1/32")
    async with VirtualBoardProcess(name="virtual-1", board="virtual") as process:
        address = next(transport for transport in process.ready.transports if transport.startswith("wasmachine://"))
        stranger = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with stranger:
            board_port = int(address.rpartition(":")[2])
            web_port = stranger.sockets[0].getsockname()[1]
            async with asyncio.timeout(WAIT_S):
                probe = await probe_subnet(network, lock_folder=tmp_path, ports=(web_port, board_port))
                also = (HostPort("127.0.0.1", board_port), HostPort("192.0.2.1", board_port))
                elsewhere = await probe_subnet(network, lock_folder=tmp_path, ports=(web_port,), also=also)
    for each in (probe, elsewhere):
        assert [(found.kind, found.address, found.port, dict(found.facts)) for found in each] == [
            ("wasmachine", "127.0.0.1", board_port, {"programs": "none"})
        ]
