"""A door stays open to others while clients take their time."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from microclaw.errors import StoreUnreachable
from microclaw.host.auth.certificates import new_authority, server_certificate
from microclaw.interfaces.api.server import MAX_CONNECTIONS, AppListener, serving, tcp_listener

HEAD_TIMEOUT_S = 0.2
UNREAD_TIMEOUT_S = 0.3
LIMIT_S = 60.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def door(
    go: asyncio.Event | None = None,
    text: str = "here",
    head_timeout_s: float = HEAD_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
    asked: asyncio.Event | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """A door whose app answers when `go` is set; it sets `asked` at each request."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if asked is not None:
            asked.set()
        if go is not None:
            await go.wait()
        await PlainTextResponse(text)(scope, receive, send)

    with tcp_listener("127.0.0.1", 0) as listener:
        doors = [AppListener("people", answering, listener, tls=tls)]
        async with (
            asyncio.timeout(LIMIT_S),
            asyncio.TaskGroup() as group,
            serving(doors, group, head_timeout_s=head_timeout_s, unread_timeout_s=UNREAD_TIMEOUT_S),
        ):
            yield listener.getsockname()


async def test_a_head_that_does_not_end_closes_the_connection_also_a_second_one() -> None:
    async with door() as address:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-", REQUEST + REQUEST[:-2]):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(begun)
            assert (b"here" in await reader.read()) == begun.startswith(REQUEST)
            writer.close()


async def test_an_answer_may_take_longer_than_a_head() -> None:
    go = asyncio.Event()
    async with door(go) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        silent, other = await asyncio.open_connection(*address)
        assert await silent.read() == b""  # a head's time is over
        go.set()
        assert b"here" in await reader.readuntil(b"here")
        writer.close()
        other.close()


@pytest.mark.parametrize("others", ["127.0.0.1", "127.0.0.2"])
async def test_of_connections_that_say_nothing_the_oldest_of_the_greediest_address_gives_way(others: str) -> None:
    async with door(head_timeout_s=LIMIT_S) as address:  # so only the bound closes one before the test's time is over
        if others == "127.0.0.2":
            own = [await asyncio.open_connection(*address)]
        else:
            own = []
        local = (others, 0)
        many = [await asyncio.open_connection(*address, local_addr=local) for _ in range(2 * MAX_CONNECTIONS)]
        own = own or [await asyncio.open_connection(*address)]
        try:
            with suppress(ConnectionResetError):
                assert await many[0][0].read() == b""
            own[0][1].write(REQUEST)
            assert (await own[0][0].readuntil(b"here")).startswith(b"HTTP/1.1 200")
        finally:
            for _, each in own + many:
                each.transport.abort()


async def test_who_reads_nothing_of_an_answer_does_not_hold_the_door() -> None:
    async with door(text="x" * (16 << 20)) as address:
        readers = []
        for _ in range(MAX_CONNECTIONS):
            reader, writer = await asyncio.open_connection(*address, limit=1024)
            writer.write(REQUEST)
            readers.append((reader, writer))
        while True:  # until one comes in again, or the test's time is over
            reader, writer = await asyncio.open_connection(*address)
            writer.write(REQUEST)
            head = await reader.readline()
            writer.transport.abort()
            if b" 200 " in head:
                break
        for _, writer in readers:
            writer.transport.abort()


async def test_a_tls_handshake_that_does_not_end_closes_the_connection_and_answers_come_whole(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = new_authority(now := datetime.now(UTC))
    (tmp_path / "pair.pem").write_bytes(server_certificate(authority, ("localhost",), (), now).to_pem())
    context.load_cert_chain(tmp_path / "pair.pem")
    text = "x" * (1 << 20)
    async with door(tls=context) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"\x16\x03\x01")  # the beginning of a handshake, and no more
        assert await reader.read() == b""
        writer.close()
    async with door(text=text, tls=context, head_timeout_s=60) as address:
        client = ssl.create_default_context(cadata=authority.certificate.public_bytes(Encoding.PEM).decode())
        reader, writer = await asyncio.open_connection(*address, ssl=client, server_hostname="localhost")
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200" in head
        assert await reader.readexactly(len(text)) == text.encode()
        writer.close()


async def test_a_request_that_waits_at_the_end_is_answered_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = asyncio.Event()
    async with door(asyncio.Event(), head_timeout_s=LIMIT_S, asked=asked) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        await asked.wait()
    async with asyncio.timeout(LIMIT_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(StoreUnreachable("it is away"), (503, "store_unreachable")), (ValueError("a secret"), (500, "internal_error"))],
)
async def test_what_fails_before_the_routes_is_answered_in_the_form_of_all_errors(
    error: Exception, told: tuple[int, str]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        with tcp_listener("127.0.0.1", 0) as listener:
            async with serving([AppListener("test", app, listener)], group):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
    code = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["error"]["code"]
    assert ((int(head.split()[1]), code), b"a secret" in body) == (told, False)
