"""Exchanges with the proxy that begin late and end early: 100-continue, slow readers, tasks and peers that go away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.egress.proxying import HOST, OK, WAIT_S, allow, client_tls, proxy, server, server_tls, status

from microclaw.audit.event import AuditKind
from microclaw.egress.proxy import ProxyTimes


async def test_a_client_that_waits_for_100_continue_gets_it_and_the_server_never_sees_it(tmp_path: Path) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        assert await reader.readexactly(5) == b"hello"
        writer.write(OK)

    async with server(take) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        reader, writer = await task.connect()
        writer.write(
            f"POST http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        async with asyncio.timeout(WAIT_S):
            assert status(await reader.readuntil(b"\r\n\r\n")) == 100
            writer.write(b"hello")
            assert status(await reader.read()) == 200
        writer.close()
        assert b"expect" not in web.seen[0].lower()


async def test_a_slow_reader_gets_the_whole_answer(tmp_path: Path) -> None:
    body = b"x" * 400_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + body
    async with server(answer) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        reader, writer = await task.connect()
        writer.write(f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_S):
            await reader.readuntil(b"\r\n\r\n")
            got = 0
            while piece := await reader.read(4096):
                got += len(piece)
        writer.close()
        assert got == len(body)


async def test_both_directions_of_a_tunnel_end_for_themselves(tmp_path: Path) -> None:
    """A task that has sent all closes its half; what the server still says arrives."""

    async def after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        rest = await reader.read()
        writer.write(b"got " + rest)

    async with server(after_the_end) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        reader, writer = await task.connect()
        writer.write(f"CONNECT {HOST}:{web.port} HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_S):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"head\r\n\r\nall of it")
            writer.write_eof()
            assert await reader.read() == b"got all of it"
        writer.close()


async def test_the_end_of_a_task_ends_its_connections_and_its_socket_at_once(tmp_path: Path) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        asked.set()
        await reader.read()
        gone.set()

    async with server(stall) as web:
        async with proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
            reader, writer = await task.connect()
            writer.write(f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
            async with asyncio.timeout(WAIT_S):
                await asked.wait()
        async with asyncio.timeout(WAIT_S):
            await gone.wait()
            assert await reader.read() == b""
        writer.close()
        assert not task.path.exists()
        assert task.events[-1].kind is AuditKind.EGRESS_ALLOWED


async def test_a_task_that_goes_away_in_the_middle_of_its_body_ends_the_request(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await reader.read()
        gone.set()

    async with server(wait) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        _, writer = await task.connect()
        head = f"POST http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\nContent-Length: 50\r\n\r\n"
        writer.write(head.encode() + b"hal")
        async with asyncio.timeout(WAIT_S):
            await web.news.wait()
            writer.close()
            await gone.wait()
            await task.noted.wait()


async def test_a_long_path_of_the_socket_is_no_hindrance(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 12) / ("path" * 12)
    home.mkdir(parents=True, mode=0o700)
    async with proxy(home, allow(f"host: {HOST}")) as task:
        assert task.path.is_socket()


async def test_a_broken_allowlist_gives_no_socket(tmp_path: Path) -> None:
    async with proxy(tmp_path, "allow: []") as task:
        task.file.write_text("allow: nonsense")
        async with task.made.serving(tmp_path / "other", "second") as path:
            assert path is None
            assert not (tmp_path / "other").exists()
        assert "mistakes" in task.events[-1].text


async def test_a_request_has_an_end_in_all(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0)

    times = ProxyTimes(head_s=WAIT_S, stall_s=WAIT_S, total_s=0.5)
    async with (
        server(drip) as web,
        proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]"), times=times) as task,
    ):
        answer = await task.get(f"http://{HOST}:{web.port}/")
        assert answer.count(b"x") < 1_000_000_000
        assert task.events


@pytest.mark.parametrize("secret", [False, True])
async def test_where_the_settings_have_a_proxy_it_is_given_the_checked_address(tmp_path: Path, secret: bool) -> None:
    asked: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        port = int(asked[-1].split(b" ")[1].rpartition(b":")[2])
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, outer), pump(inner, writer), return_exceptions=True)

    way = await asyncio.start_server(relay, "127.0.0.1", 0)
    address = f"http://me:p%40ss@127.0.0.1:{way.sockets[0].getsockname()[1]}"
    async with server(tls=server_tls(tmp_path) if secret else None) as web:
        entry = f"host: {HOST}, ports: [{web.port}]" + (", secret: key, header: X-Key" if secret else "")
        values = {"key": "value-of-the-key"} if secret else {}
        async with proxy(tmp_path, allow(entry), way=address, tls=client_tls, secrets=values) as task:
            assert status(await task.get(f"http://{HOST}:{web.port}/")) == 200
            assert asked[0].startswith(f"CONNECT 127.0.0.1:{web.port} HTTP/1.1\r\n".encode())
            assert b"Basic bWU6cEBzcw==\r\n" in asked[0]
            assert (b"X-Key: value-of-the-key" in web.seen[0]) is secret
    way.close()


async def test_a_proxy_of_the_settings_that_refuses_is_told(tmp_path: Path) -> None:
    async with server(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as way:
        entries = allow(f"host: {HOST}, ports: [80]")
        async with proxy(tmp_path, entries, way=f"http://127.0.0.1:{way.port}") as task:
            answer = await task.get(f"http://{HOST}/")
            assert status(answer) == 502
            assert b"407" in answer
