"""Models through an HTTP CONNECT proxy: a real tunnel, TLS from end to end, and what a proxy can do wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest
from tests.egress.proxying import server_tls
from tests.models.asking import SECRET, request
from tests.models.event_streams import Events, anthropic_stream, openai_stream
from tests.models.model_server import server

from microclaw.config.settings import ModelChoice, ModelSettings
from microclaw.errors import ModelError
from microclaw.models.protocol import Model
from microclaw.models.router import choose_model
from microclaw.offline.model import OfflineModel

Through: TypeAlias = Callable[[str], Model]

HOST = "model.example"
LIMIT_S = 60.0


@dataclass
class Proxy:
    """A CONNECT proxy: every tunnel ends at `port`, whatever name was asked for; `seen` is what passed it."""

    port: int
    status: str = "200 Connection established"
    url: str = ""
    asked: list[str] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split("\r\n")[0])
            writer.write(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            await writer.drain()
            if not self.status.startswith("200"):
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, inner_writer), name="to the server")
                group.create_task(self._pump(inner_reader, writer), name="to the client")
        finally:
            await _closed(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.seen += data
                writer.write(data)
                await writer.drain()
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


@asynccontextmanager
async def proxy(port: int, status: str = "200 Connection established") -> AsyncIterator[Proxy]:
    state = Proxy(port, status)
    listening = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, asyncio.timeout(LIMIT_S):
        yield state
        await asyncio.gather(*state.serving)


def anthropic_through(proxy_url: str) -> Model:
    settings = ModelSettings(ModelChoice("anthropic", None, SECRET, f"https://{HOST}"), offline_first=False)
    return choose_model(settings, OfflineModel(), proxy=proxy_url)


def openai_through(proxy_url: str) -> Model:
    settings = ModelSettings(ModelChoice("openai", "test-model", SECRET, f"https://{HOST}/v1"), offline_first=False)
    return choose_model(settings, OfflineModel(), proxy=proxy_url)


@pytest.mark.parametrize(
    ("through", "events"), [(anthropic_through, anthropic_stream("o", "n")), (openai_through, openai_stream("o", "n"))]
)
async def test_a_model_answers_through_the_proxy_and_the_proxy_reads_nothing(
    through: Through, events: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = server_tls(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with server((200, Events(events)), tls=tls) as state, proxy(urlsplit(state.url).port or 0) as way:
        model = through(way.url)
        pieces: list[str] = []
        assert (await model.respond(request(), pieces.append)).text == "on"
        await model.aclose()
    assert pieces == ["o", "n"]
    assert way.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert SECRET in str(state.headers[0])
    assert SECRET.encode() not in way.seen
    assert b"you are microclaw" not in way.seen


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
@pytest.mark.parametrize("through", [anthropic_through, openai_through])
async def test_a_proxy_that_refuses_is_an_error_that_names_it(through: Through, status: str) -> None:
    async with proxy(1, status) as way:
        model = through(way.url)
        with pytest.raises(ModelError) as caught:
            await model.respond(request(), lambda _: None)
        await model.aclose()
    assert caught.value.fault == "unreachable"


async def test_a_model_on_this_machine_is_asked_directly() -> None:
    async with server((200, Events(openai_stream("on")))) as s, proxy(1) as way:
        settings = ModelSettings(ModelChoice("openai", "m", base_url=f"{s.url}/v1"), offline_first=False)
        model = choose_model(settings, OfflineModel(), proxy=way.url)
        assert (await model.respond(request(), lambda _: None)).text == "on"
        await model.aclose()
    assert way.asked == []
