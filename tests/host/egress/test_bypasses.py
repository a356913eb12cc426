"""Ways round the proxy that were tried: none reaches a server that is not allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.host.egress.proxying import HOST, WAIT_S, Names, allow, allowed, proxy, status

from microclaw.host.audit.event import AuditKind

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


async def test_another_spelling_reaches_nothing(tmp_path: Path) -> None:
    async with allowed(tmp_path) as task:
        for name in OTHER_NAMES:
            place = f"{name}:{task.web.port}".encode()
            for target, verb in ((b"http://" + place + b"/", b"GET"), (place, b"CONNECT")):
                answer = await task.send(verb + b" " + target + b" HTTP/1.1\r\nHost: " + place + b"\r\n\r\n")
                assert status(answer) in (400, 403), (name, answer)
        assert task.web.seen == []
        assert task.names.asked == []


SMUGGLED = [
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4, 4\r\nContent-Length: 4\r\n\r\nabcd",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: +4\r\n\r\nabcd",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n folded: yes\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-A: b\nX-C: d\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-A: b\rX-C: d\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\nX-A: b\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\nHost: {host}\n\nGET http://{host}/second HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-A: b\0c\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}@evil.example\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://user@{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}\\@evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}#@evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET ftp://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1 \r\nHost: {host}\r\n\r\n",
    "GET  http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "\r\nGET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/2.0\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n: empty\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nno colon\r\n\r\n",
    "GET http://{host}/\tx HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "CONNECT api.example.com:0 HTTP/1.1\r\nHost: api.example.com:0\r\n\r\n",
    "CONNECT api.example.com:65536 HTTP/1.1\r\nHost: api.example.com:65536\r\n\r\n",
    "CONNECT api.example.com:+443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "CONNECT api.example.com:04430 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "CONNECT http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT {host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\nHost : {host}\r\n\r\n",
    "GET http://{host}/ HTTP/1.1\r\n Host: {host}\r\n\r\n",
    "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5, 5\r\n\r\nhello",
    "GET http://{host}/ HTTP/0.9\r\nHost: {host}\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET //{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http:{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http:///{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
]


async def test_a_request_that_may_be_read_in_two_ways_reaches_no_server(tmp_path: Path) -> None:
    async with allowed(tmp_path) as task:
        for form in SMUGGLED:
            answer = await task.send(form.replace("{host}", task.place).encode("latin-1"))
            assert status(answer) in (400, 403, 501, 505), (form, answer)
        assert task.web.seen == []
        assert task.names.asked == []
        assert {event.kind for event in task.events} == {AuditKind.EGRESS_REFUSED}
        assert len(task.events) == len(SMUGGLED)


OVERSIZED = (
    (b"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET http://api.example.com/" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 414),
    (b"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
    (b"a" * 100_000, 431),
)


async def test_an_oversized_head_is_refused_and_one_that_comes_byte_by_byte_judged_whole(tmp_path: Path) -> None:
    async with proxy(tmp_path, allow("host: api.example.com, ports: [80]")) as task:
        for request_bytes, code in OVERSIZED:
            assert status(await task.send(request_bytes)) == code
        reader, writer = await task.connect()
        for byte in b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        async with asyncio.timeout(WAIT_S):
            assert status(await reader.read()) == 403
        writer.close()
        assert task.names.asked == []


async def test_what_would_change_the_connection_is_not_passed_on(tmp_path: Path) -> None:
    """Upgrade, early data, headers that the Connection header hides, and a second request behind the first."""
    async with allowed(tmp_path) as task:
        head = (
            f"GET http://{task.place}/ HTTP/1.1\r\nHost: {task.place}\r\n"
            "Connection: Upgrade, HTTP2-Settings, X-Mine, keep-alive\r\nUpgrade: h2c\r\n"
            "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
            "X-Mine: 1\r\nX-Kept: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
            f"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        )
        answer = await task.send(head.encode())
        assert status(answer) == 200
        assert answer.count(b"HTTP/1.1 ") == 1
        [seen] = task.web.heads
        assert set(seen) == {"host", "x-kept", "connection"}
        assert set(task.names.asked) == {HOST}
        inner = b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"
        await task.get("/", "Connection: Content-Length, Transfer-Encoding", method="POST", body=inner)
        assert task.web.heads[1]["content-length"] == str(len(inner)), "it hides no body's end"


async def test_an_answer_that_switches_the_protocol_is_refused(tmp_path: Path) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw"
    async with allowed(tmp_path, switch) as task:
        answer = await task.get("/", "Connection: Upgrade", "Upgrade: x")
        assert status(answer) == 502
        assert b"raw" not in answer


async def test_a_redirect_and_a_name_that_changes_its_address_lead_nowhere_else(tmp_path: Path) -> None:
    """DNS rebinding with a life of 0, and a redirect chain through it: each request is judged by what it gets."""
    names = Names(api_example_com=["127.0.0.1", "10.0.0.1", "127.0.0.1", "169.254.169.254"])
    hop = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
    async with allowed(tmp_path, hop, names=names) as task:
        answers = [await task.get(f"/{number}") for number in range(5)]
        assert [status(answer) for answer in answers] == [302, 403, 302, 403, 403]
        assert b"Location: http://169.254.169.254/latest/" in answers[0]
        assert status(await task.get("http://169.254.169.254/latest/")) == 403
        assert len(task.web.seen) == 2
        assert names.asked == [HOST] * 5


@pytest.mark.parametrize("tunnel", [False, True])
async def test_an_allowed_name_that_leads_inside_is_refused(tmp_path: Path, tunnel: bool) -> None:
    """Every other form of such an address: test_destinations.py."""
    names = Names(api_example_com=["::ffff:10.0.0.1"])
    async with allowed(tmp_path, names=names) as task:
        assert status(await (task.tunnel(task.place) if tunnel else task.get())) == 403
        assert names.asked == [HOST]
        assert task.events[0].kind is AuditKind.EGRESS_REFUSED
