"""Ways round the proxy that were tried: none reaches a server that is not allowed. Others: test_proxy.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.egress.proxying import HOST, WAIT_S, Names, allow, proxy, server, status

from microclaw.audit.event import AuditKind

LONG = ".".join(["a" * 63] * 4)
OTHER_NAMES = [
    "127.1", "0", "0.0.0.0", "2130706433", "017700000001", "0x7f.0.0.1", "0x7f000001", "127.0.0.1.", "0177.0.0.1",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]",
    "localhost", "localhost.", "api.example.com.evil.example", "evil.example#api.example.com",
    "api.example.com@127.0.0.1", "api.example.com%00.evil.example", "api.example.com%2eevil.example",
    "аpi.example.com", "api。example。com", "api.example.com\\@127.0.0.1", "xn--pi-6kc.example.com",
    "１２７.0.0.1", "①27.0.0.1", f"{LONG}.example", "-api.example.com", "api..example.com", ".api.example.com",
    "*.example.com", "api.example.com,127.0.0.1", "api.example.com;127.0.0.1", "[v1.127]", "127.0.0.1:80:443",
]  # fmt: skip


@pytest.mark.parametrize("name", OTHER_NAMES)
async def test_another_spelling_reaches_nothing(name: str, tmp_path: Path) -> None:
    async with server() as inside, proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]")) as out:
        text = name.encode()
        place = text + f":{inside.port}".encode()
        for target, verb in ((b"http://" + place + b"/", b"GET"), (place, b"CONNECT")):
            answer = await out.send(verb + b" " + target + b" HTTP/1.1\r\nHost: " + place + b"\r\n\r\n")
            assert status(answer) in (400, 403), answer
        assert inside.seen == []
        assert out.names.asked == []


HEADS = [
    "CONNECT {host}:0 HTTP/1.1\r\nHost: {host}:0\r\n\r\n",
    "CONNECT {host}:65536 HTTP/1.1\r\nHost: {host}:65536\r\n\r\n",
    "CONNECT {host}:99999 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT {host}:+{port} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT {host}:0{port}0 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
    "CONNECT {host}:{port}/x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
    "GET http://{host}:{port}/ HTTP/1.1\r\nHost : {host}:{port}\r\n\r\n",
    "GET http://{host}:{port}/ HTTP/1.1\r\n Host: {host}:{port}\r\n\r\n",
    "POST http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: +5\r\n\r\nhello",
    "POST http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 5, 5\r\n\r\nhello",
    "GET http://{host}:{port}/ HTTP/0.9\r\nHost: {host}:{port}\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
    "GET //{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
    "GET http:{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
    "GET http:///{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS)
async def test_an_odd_head_reaches_nothing(head: str, tmp_path: Path) -> None:
    async with server() as inside, proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]")) as out:
        answer = await out.send(head.format(host=HOST, port=inside.port).encode())
        assert status(answer) in (0, 400, 403, 404, 501, 505), answer
        assert inside.seen == []
        assert all(event.kind is AuditKind.EGRESS_REFUSED for event in out.events)


async def test_what_would_change_the_connection_is_not_passed_on(tmp_path: Path) -> None:
    """Upgrade, early data, and headers that the Connection header hides: HTTP/1.0, too."""
    async with server() as inside, proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]")) as out:
        for version in ("1.1", "1.0"):
            answer = await out.send(
                f"GET http://{HOST}:{inside.port}/ HTTP/{version}\r\nHost: {HOST}:{inside.port}\r\n"
                "Connection: Upgrade, HTTP2-Settings, X-Mine\r\nUpgrade: h2c\r\n"
                "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
                "X-Mine: 1\r\nX-Kept: 1\r\nProxy-Connection: keep-alive\r\n\r\n"
                f"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode()
            )
            assert status(answer) == 200
            assert answer.count(b"HTTP/1.1 ") == 1
        assert len(inside.seen) == 2
        for head in inside.seen:
            assert b"x-kept" in head.lower()
            assert not any(word in head.lower() for word in (b"upgrade", b"http2-settings", b"x-mine", b"evil"))
        assert set(out.names.asked) == {HOST}


async def test_an_answer_that_switches_the_protocol_is_refused(tmp_path: Path) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw"
    async with server(switch) as inside, proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]")) as out:
        answer = await out.get(f"http://{HOST}:{inside.port}/", "Connection: Upgrade", "Upgrade: x")
        assert status(answer) == 502
        assert b"raw" not in answer


async def test_a_name_that_changes_its_address_each_time_leads_nowhere_else(tmp_path: Path) -> None:
    """DNS rebinding with a life of 0, and a redirect chain through it: each request is judged by what it gets."""
    names = Names(api_example_com=["127.0.0.1", "10.0.0.1", "127.0.0.1", "169.254.169.254"])
    hop = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
    async with (
        server(hop) as inside,
        proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]"), names=names) as out,
    ):
        found = [status(await out.get(f"http://{HOST}:{inside.port}/{number}")) for number in range(5)]
        assert found == [302, 403, 302, 403, 403]
        assert len(inside.seen) == 2
        assert out.names.asked == [HOST] * 5


async def test_a_head_that_comes_byte_by_byte_is_judged_whole(tmp_path: Path) -> None:
    async with server() as inside, proxy(tmp_path, allow(f"host: {HOST}, ports: [{inside.port}]")) as out:
        reader, writer = await out.connect()
        for (
            byte
        ) in f"GET http://evil.example:{inside.port}/ HTTP/1.1\r\nHost: evil.example:{inside.port}\r\n\r\n".encode():
            writer.write(bytes([byte]))
            await writer.drain()
        async with asyncio.timeout(WAIT_S):
            assert status(await reader.read()) == 403
        writer.close()
        assert inside.seen == []
