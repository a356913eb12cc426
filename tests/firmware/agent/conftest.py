"""A board with the agent, and the servers that it talks to: scripted, on loopback, with TLS of the test's authority."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.firmware.conftest import MICROPYTHON, PATIENCE_S, Firmware
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from microclaw.auth.certificates import KeyPair, new_authority, server_certificate

GATEWAY_TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "sk-ant-of-a-test-0123456789"
NOW = datetime.now(UTC)
AUTHORITY = new_authority(NOW, 1)


class Asked:
    """One request that came."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.verb, self.path = line.split(" ")[:2]
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Asked], Any]
"""What a request is answered with: JSON, (status, JSON), or bytes that are sent as they are."""


class Scripted:
    """An HTTP server that answers as its script says; one connection a request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.port = 0
        self.news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(head[0], headers, body)
            self.asked.append(asked)
            self.news.set()
            answer = self.script(asked)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if not isinstance(answer, bytes):
                status, said = answer if isinstance(answer, tuple) else (200, answer)
                data = json.dumps(said).encode()
                answer = f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the board went away, which a test may want
        finally:
            writer.close()

    async def until(self, number: int) -> Asked:
        """The request of this number, from 1."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.asked) < number:
                self.news.clear()
                await self.news.wait()
        return self.asked[number - 1]


@asynccontextmanager
async def scripted(
    folder: Path, script: Script, pair: KeyPair | None = None, *, plain: bool = False
) -> AsyncIterator[Scripted]:
    context = None
    if not plain:
        path = folder / "model.pem"
        path.write_bytes((pair or server_certificate(AUTHORITY, ["localhost"], [], NOW, 2)).to_pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    server = Scripted(script)
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0, ssl=context)
    async with listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class AgentBoard(Firmware):
    """`agent(...)` writes what the console commands would."""

    port = 0

    def agent(self, **options: Any) -> None:
        self.port = free_port()
        self.boot = "tests/firmware/simulated/boot_agent.py"
        (self.folder / "agent_data/ca").mkdir(parents=True, exist_ok=True)
        told = {"gateway_token": GATEWAY_TOKEN, "gateway_port": self.port, **options}
        self.write("agent_data/settings.json", json.dumps(told))
        der = AUTHORITY.certificate.public_bytes(Encoding.DER)
        (self.folder / "agent_data/ca/1.der").write_bytes(der)
        if not (self.folder / "settings.json").exists():
            self.write("settings.json", json.dumps({"board": {"name": "x", "chip": "ESP32S3", "memory_floor": 0}}))

    def session(self, name: str) -> list[tuple[str, str]]:
        lines = (self.folder / f"agent_data/sessions/{name}.jsonl").read_text().splitlines()
        return [(row["role"], row["content"]) for row in map(json.loads, lines)]

    @asynccontextmanager
    async def client(self, token: str = GATEWAY_TOKEN, **more: Any) -> AsyncIterator[ClientConnection]:
        """A client of the gateway, as soon as it is open."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    made = await connect(
                        f"ws://127.0.0.1:{self.port}/ws", proxy=None, additional_headers=headers, **more
                    )
                    break
                except InvalidStatus:
                    raise
                except OSError:
                    await asyncio.sleep(0.1)  # the board boots
        async with made:
            yield made


async def said(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        found: dict[str, Any] = json.loads(await client.recv())
        return found


async def until(check: Callable[[], Any]) -> Any:
    """What it gives once it is true: files of the board and of the host have no news."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := check():
                return found
            await asyncio.sleep(0.2)


async def ask(client: ClientConnection, text: str, chat_id: str = "ws_client1") -> str:
    """Say it; the content of the next answer."""
    await client.send(json.dumps({"type": "message", "content": text, "chat_id": chat_id}))
    found = await said(client)
    assert found["type"] == "response", found
    assert found["chat_id"] == chat_id
    return str(found["content"])


def anthropic(*blocks: Any) -> dict[str, Any]:
    """An answer of the Messages API: texts, or (name, input) of tools."""
    content = []
    for number, block in enumerate(blocks):
        if isinstance(block, str):
            content.append({"type": "text", "text": block})
        else:
            content.append({"type": "tool_use", "id": f"toolu_{number}", "name": block[0], "input": block[1]})
    stop = "end_turn" if all(isinstance(block, str) for block in blocks) else "tool_use"
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": stop}


@pytest.fixture
def board(tmp_path: Path) -> AgentBoard:
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    return AgentBoard(tmp_path / "board")
