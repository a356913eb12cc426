"""The firmware's trust: the TLS matrix, and a clock of 2000."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, linked, provisioned
from tests.peers import listening

from microclaw.events import DeviceConnected
from microclaw.host.auth.certificates import CONSTANT_NAME, KeyPair, new_authority, server_certificate
from microclaw.host.auth.provisioning import Provision

NOW = datetime.now(UTC)
TOKEN = "mc1_lamp_" + "A" * 43
OF_2000_S = 946_684_800


def paired(board: Firmware, authority: KeyPair, port: int, **more: Any) -> None:
    """As after pairing: it has the authority and a token."""
    board.told(Provision("127.0.0.1", port, "00" * 32, None), **more)
    board.write("credential.json", json.dumps({"token": TOKEN}))
    (board.folder / "ca.der").write_bytes(authority.certificate.public_bytes(Encoding.DER))


AUTHORITY = new_authority(NOW)
OTHER = new_authority(NOW)
BAD = {  # signer, name, when it was made
    "wrong authority": (OTHER, CONSTANT_NAME, NOW),
    "wrong name": (AUTHORITY, "kitchen.local", NOW),
    "expired": (AUTHORITY, CONSTANT_NAME, NOW - timedelta(days=120)),
    "not yet valid": (AUTHORITY, CONSTANT_NAME, NOW + timedelta(days=30)),
}


class TimeServer(asyncio.DatagramProtocol):
    """NTP (RFC 4330): the time of this machine."""

    def __init__(self) -> None:
        self.asked = set[tuple[str, int]]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is none of asyncio's classes

    @property
    def settings(self) -> dict[str, Any]:
        """Of a board that asks it."""
        return {"ntp": "127.0.0.1", "ntp_port": self.transport.get_extra_info("sockname")[1]}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.add(addr)  # a question sent again comes from the same port
        seconds = struct.pack(">I", (int(time.time()) + 2_208_988_800) & 0xFFFFFFFF)
        self.transport.sendto(b"\x1c" + bytes(39) + seconds + bytes(4), addr)


@pytest.fixture
async def ntp() -> AsyncIterator[TimeServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(TimeServer, local_addr=("127.0.0.1", 0))
    with closing(transport):
        yield server


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves a process' clock by the seconds in the file MICROCLAW_CLOCK."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).parent / "simulated/clock.c"
    flags = ["-shared", "-fPIC", "-O1", "-nostdlib"]  # what it calls is MicroPython's
    subprocess.run(["clang", *flags, "-o", str(library), str(source)], check=True)
    return library


def set_to_2000(board: Firmware, clock: Path) -> Path:
    path = board.folder / "clock"
    path.write_text(str(OF_2000_S - int(time.time())))
    board.environ = {"LD_PRELOAD": str(clock), "MICROCLAW_CLOCK": str(path)}
    return path


async def test_a_clock_that_is_wrong_is_set_by_ntp(plane: Plane, board: Firmware, clock: Path, ntp: TimeServer) -> None:
    """A clock of 2000 before TLS; another, as after years with a bad battery, when a certificate seems not valid."""
    await provisioned(plane, board, **ntp.settings)
    moved = set_to_2000(board, clock)
    async with linked(plane, board):
        pass
    assert (len(ntp.asked), abs(int(moved.read_text())) <= 60) == (1, True)
    moved.write_text(str(-200 * 86400))
    async with board.running(), asyncio.timeout(PATIENCE_S):
        assert "validity" in await board.until("no link")
        await plane.published.until(DeviceConnected)
    assert (len(ntp.asked), abs(int(moved.read_text())) <= 60) == (2, True)


async def test_a_bad_certificate_is_refused_and_told_nothing_and_one_that_is_over_costs_one_question_to_ntp(
    board: Firmware, tmp_path: Path, ntp: TimeServer
) -> None:
    bad = [server_certificate(signer, [name], [], made) for signer, name, made in BAD.values()]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = tmp_path / "server.pem"
    heard = bytearray()

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4096))

    async with listening(take, tls=context) as port:
        paired(board, AUTHORITY, port, **ntp.settings)
        async with board.running():
            for certificate in (*bad, bad[0]):
                path.write_bytes(certificate.to_pem())
                context.load_cert_chain(path)
                await board.until("no link")  # and again: it does not come to believe it
    assert heard == b""
    assert len(ntp.asked) == 1


async def test_without_ntp_the_date_of_the_host_is_taken(plane: Plane, board: Firmware, clock: Path) -> None:
    await provisioned(plane, board)
    moved = set_to_2000(board, clock)
    async with linked(plane, board):
        assert abs(int(moved.read_text())) <= 2
    moved.write_text(str(OF_2000_S - int(time.time())))  # a power cut: the clock is of 2000 again
    async with linked(plane, board):
        pass
