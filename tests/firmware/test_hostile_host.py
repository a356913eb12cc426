"""A host with the right certificate that stops reading, sends control characters, or has more than one address."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.firmware.test_trust import paired

from microclaw.auth.certificates import CONSTANT_NAME, new_authority, server_certificate
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import AnyMessage, Envelope, ErrorMessage, Limits, Notify, Software, Welcome

NOW = datetime.now(UTC)
AUTHORITY = new_authority(NOW)
BINARY, PING = 2, 9
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def frame(data: bytes, opcode: int = BINARY) -> bytes:
    size = bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + data


def message(body: AnyMessage, seq: int | None = None) -> bytes:
    return frame(b"\x01" + encode(Envelope(os.urandom(16), body, int(time.time() * 1000), seq)))


def welcome() -> bytes:
    limits = Limits(16384, 2048)
    return message(Welcome(bytes(16), Software("host", "1"), int(time.time() * 1000), 15, bytes(8), 0, limits))


@asynccontextmanager
async def hosting(board: Firmware, folder: Path, talk: Talk) -> AsyncIterator[None]:
    """A link's server that the board trusts; `talk` has each connection after the board's `hello`, by its number."""
    pair = server_certificate(AUTHORITY, [CONSTANT_NAME], [], NOW)
    (folder / "server.pem").write_bytes(pair.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    number = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Protocol: microclaw.v1\r\n\r\n")
            await reader.read(65536)
            await talk(reader, writer, number)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the board left, which a test may want
        finally:
            writer.close()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read fills it soon
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(take, sock=listening, ssl=context, limit=1024)
    async with server:
        paired(board, AUTHORITY, listening.getsockname()[1])
        async with board.running(), asyncio.timeout(PATIENCE_S):
            yield


async def test_a_host_that_stops_reading_is_left_and_dialled_anew(board: Firmware, tmp_path: Path) -> None:
    board.boot = "tests/firmware/simulated/boot_hasty.py"
    came_back = asyncio.Event()
    never = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(welcome())
        if number > 1:
            came_back.set()
            await never.wait()
        while not came_back.is_set():  # each ping wants a pong, which nobody reads: until nothing fits between the two
            writer.write(frame(b"x" * 125, PING) * 200)
            await writer.drain()

    async with hosting(board, tmp_path, talk):
        await board.until("no link: the host took nothing for 2 s")
        await came_back.wait()


async def test_what_a_host_says_steers_no_terminal_and_forges_no_line(board: Firmware, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(welcome())
        evil = '\x1b[2J\x9b31m\x7f\r\n{"status":"ok"}\u202eé'
        writer.write(message(Notify(f"tea {evil}", False), 1))
        writer.write(message(ErrorMessage("odd\x1b]0;x\x07", f"why {evil}", False)))
        await reader.read()

    async with hosting(board, tmp_path, talk):
        assert await board.until("notify: ") == 'notify: tea ?[2J??31m?  {"status":"ok"}???é'
        assert await board.until("the host says") == ('the host says odd?]0;x?: why ?[2J??31m?  {"status":"ok"}???é')
