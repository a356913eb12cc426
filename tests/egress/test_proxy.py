"""The proxy of a task: what is allowed passes, everything else is refused; real sockets on both sides."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.egress.proxying import HOST, OK, WAIT_S, Names, allow, client_tls, proxy, server, server_tls, status

from microclaw.audit.event import AuditKind
from microclaw.egress.policy import Meter
from microclaw.egress.proxy import ProxyTimes


async def test_an_allowed_request_passes_and_is_logged_without_its_path(tmp_path: Path) -> None:
    async with server() as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}], methods: [GET]")) as task:
        assert stat.S_IMODE(task.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(task.path.parent.stat().st_mode) == 0o700
        answer = await task.get(f"http://{HOST}:{web.port}/private/path?key=1", "X-Mine: yes")
        assert status(answer) == 200
        assert answer.endswith(b"ok")
        [head] = web.seen
        assert head.startswith(b"GET /private/path?key=1 HTTP/1.1\r\nHost: api.example.com:")
        assert b"X-Mine: yes\r\n" in head
        [event] = task.events
        assert event.kind is AuditKind.EGRESS_ALLOWED
        assert event.about == "plot"
        assert event.text.startswith(f"GET {HOST}:{web.port}, ")
        assert "private" not in event.text


async def test_connect_is_a_tunnel_to_an_allowed_port(tmp_path: Path) -> None:
    async with (
        server(tls=server_tls(tmp_path)) as web,
        proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task,
    ):
        async with asyncio.timeout(WAIT_S):
            reader, writer = await task.connect()
            writer.write(f"CONNECT {HOST}:{web.port} HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
            await writer.start_tls(client_tls(), server_hostname=HOST)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.read() == OK
            writer.close()


async def test_without_an_allowlist_nothing_is_allowed(tmp_path: Path) -> None:
    async with server() as web, proxy(tmp_path, "allow: []") as task:
        task.file.unlink()
        assert status(await task.get(f"http://{HOST}:{web.port}/")) == 403
        assert web.seen == []
        assert task.names.asked == []


@pytest.mark.parametrize(
    ("entry", "url", "method"),
    [
        ("host: api.example.com", "http://other.example.com/", "GET"),
        ("host: api.example.com", "http://api.example.com/", "GET"),
        ("host: api.example.com, ports: [80]", "http://api.example.com:8080/", "GET"),
        ("host: api.example.com, ports: [80], methods: [GET]", "http://api.example.com/", "POST"),
        ("host: api.example.com, ports: [80], tasks: [other]", "http://api.example.com/", "GET"),
        ("host: '*.example.com', ports: [80]", "http://example.com/", "GET"),
        ("host: '*.example.com', ports: [80]", "http://badexample.com/", "GET"),
        ("host: '*.example.com', ports: [80]", "http://a.example.com.evil.example/", "GET"),
        ("host: api.example.com, ports: [80, 443]", "https://api.example.com/", "GET"),
        ("host: api.example.com, ports: [80]", "http://api.example.com.evil.example/", "GET"),
    ],
)
async def test_what_no_entry_allows_is_refused_before_its_name_is_looked_up(
    tmp_path: Path, entry: str, url: str, method: str
) -> None:
    async with proxy(tmp_path, allow(entry)) as task:
        assert status(await task.get(url, method=method)) == 403
        assert task.names.asked == []
        assert [event.kind for event in task.events] == [AuditKind.EGRESS_REFUSED]


@pytest.mark.parametrize(
    ("entry", "target", "why"),
    [
        ("host: api.example.com", "api.example.com:22", "port 22"),
        ("host: api.example.com", "api.example.com:80", "port 80"),
        ("host: api.example.com", "evil.example.com:443", "not on the allowlist"),
        ("host: api.example.com, methods: [GET]", "api.example.com:443", "cannot be seen"),
        ("host: api.example.com, secret: key, header: X-Key", "api.example.com:443", "cannot be seen"),
        ("host: api.example.com", "127.0.0.1:443", "no host's name"),
        ("host: api.example.com", "[::1]:443", "no host's name"),
        ("host: api.example.com", "0x7f.1:443", "no host's name"),
        ("host: api.example.com", "2130706433:443", "no host's name"),
    ],
)
async def test_connect_to_anything_else_is_refused(tmp_path: Path, entry: str, target: str, why: str) -> None:
    async with proxy(tmp_path, allow(entry), secrets={"key": "value-of-the-key"}) as task:
        answer = await task.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert status(answer) == 403
        assert why in answer.decode()
        assert task.names.asked == []


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fd00::1", "fe80::1",
     "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "0.0.0.0", "100.64.0.1", "2001::1"],
)  # fmt: skip
@pytest.mark.parametrize("tunnel", [False, True])
async def test_an_allowed_name_that_leads_inside_is_refused(tmp_path: Path, address: str, tunnel: bool) -> None:
    names = Names(api_example_com=[address])
    async with proxy(tmp_path, allow("host: api.example.com, ports: [80, 443]"), names=names) as task:
        if tunnel:
            answer = await task.send(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        else:
            answer = await task.get(f"http://{HOST}/")
        assert status(answer) == 403
        assert names.asked == [HOST]
        assert task.events[0].kind is AuditKind.EGRESS_REFUSED


async def test_a_redirect_goes_back_to_the_task_and_is_judged_anew(tmp_path: Path) -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
    async with server(away) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        answer = await task.get(f"http://{HOST}:{web.port}/")
        assert status(answer) == 302
        assert b"Location: http://169.254.169.254/latest/" in answer
        assert status(await task.get("http://169.254.169.254/latest/")) == 403
        assert len(web.seen) == 1


SMUGGLED = [
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nContent-Length: 4, 4\r\nContent-Length: 4\r\n\r\nabcd",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nContent-Length: +4\r\n\r\nabcd",
    "POST {u} HTTP/1.1\r\nHost: {h}\r\nContent-Length: -1\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nX-A: b\r\n folded: yes\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nX-A: b\nX-C: d\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nX-A: b\rX-C: d\r\n\r\n",
    "GET {u} HTTP/1.1\nX-A: b\r\nHost: {h}\r\n\r\n",
    "GET {u} HTTP/1.1\nHost: {h}\n\nGET {u}second HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nX-A: b\0c\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nHost: evil.example\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}@evil.example\r\n\r\n",
    "GET {u} HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET http://user@{h}/ HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET http://{h}\\@evil.example/ HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET http://{h}#@evil.example/ HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET ftp://{h}/ HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET {u} HTTP/1.1 \r\nHost: {h}\r\n\r\n",
    "GET  {u} HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "\r\nGET {u} HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "GET {u} HTTP/2.0\r\nHost: {h}\r\n\r\n",
    "GET {u}\r\nHost: {h}\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\n: empty\r\n\r\n",
    "GET {u} HTTP/1.1\r\nHost: {h}\r\nno colon\r\n\r\n",
    "GET {u}\tx HTTP/1.1\r\nHost: {h}\r\n\r\n",
    "CONNECT {h} HTTP/1.1\r\nHost: {h}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\r\n\r\n",
]


@pytest.mark.parametrize("form", SMUGGLED)
async def test_a_request_that_may_be_read_in_two_ways_reaches_no_server(tmp_path: Path, form: str) -> None:
    async with server() as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        host = f"{HOST}:{web.port}"
        answer = await task.send(form.replace("{u}", f"http://{host}/").replace("{h}", host).encode("latin-1"))
        assert status(answer) in (400, 403, 501, 505)
        assert web.seen == []
        assert task.names.asked == []
        assert [event.kind for event in task.events] == [AuditKind.EGRESS_REFUSED]


async def test_a_second_request_behind_the_first_is_not_answered(tmp_path: Path) -> None:
    async with server() as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        one = f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n"
        await task.send((one + one.replace("GET http", "DELETE http")).encode())
        assert len(web.seen) == 1
        assert web.seen[0].startswith(b"GET / HTTP/1.1\r\n")


async def test_headers_of_one_connection_stay_there(tmp_path: Path) -> None:
    async with server() as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        await task.get(
            f"http://{HOST}:{web.port}/",
            "Connection: X-Inner, keep-alive", "X-Inner: 1", "Proxy-Authorization: Basic YTpi", "Upgrade: websocket",
            "TE: trailers", "Keep-Alive: 5",
        )  # fmt: skip
        [head] = web.seen
        for name in (b"x-inner", b"proxy-authorization", b"upgrade", b"te:", b"keep-alive"):
            assert name not in head.lower()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET http://api.example.com/" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 414),
        (b"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"a" * 100_000, 431),
    ],
)
async def test_an_oversized_head_is_refused(tmp_path: Path, request_bytes: bytes, code: int) -> None:
    async with proxy(tmp_path, allow("host: api.example.com, ports: [80]")) as task:
        assert status(await task.send(request_bytes)) == code
        assert task.names.asked == []


async def test_an_oversized_head_of_a_server_is_a_bad_answer(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
    async with server(answer) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        found = await task.get(f"http://{HOST}:{web.port}/")
        assert status(found) == 502
        assert b"aaaa" not in found


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
async def test_a_server_that_answers_nothing_or_nonsense_is_a_bad_gateway(tmp_path: Path, answer: bytes) -> None:
    async with server(answer) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        assert status(await task.get(f"http://{HOST}:{web.port}/")) == 502
        assert task.events[0].kind is AuditKind.EGRESS_ALLOWED
        assert "nonsense" not in task.events[0].text


class NoNames(Names):
    def __call__(self, host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_an_allowed_host_that_is_not_there_is_a_failure_and_no_refusal(tmp_path: Path) -> None:
    async with proxy(tmp_path, allow(f"host: {HOST}"), names=NoNames()) as task:
        answer = await task.get(f"http://{HOST}:443/")
        assert status(answer) == 502
        assert b"Failed: there is no host named" in answer.partition(b"\r\n")[0]
        assert b"\r\nX-Microclaw-Egress: failed\r\n" in answer
        [event] = task.events
        assert event.kind is AuditKind.EGRESS_ALLOWED
        refused = await task.get("http://other.example.com:443/")
        assert b"\r\nX-Microclaw-Egress: refused\r\n" in refused


async def test_a_server_that_never_answers_is_a_timeout(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await never.wait()

    async with server(stall) as web:
        times = ProxyTimes(head_s=WAIT_S, stall_s=0.2)
        async with proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]"), times=times) as task:
            assert status(await task.get(f"http://{HOST}:{web.port}/")) == 504


async def test_a_body_goes_up_whole_and_is_counted(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        body = await reader.readexactly(300_000)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + body + b"\r\n0\r\n\r\n")
        await writer.drain()

    async with server(echo) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        answer = await task.get(f"http://{HOST}:{web.port}/", method="POST", body=b"x" * 300_000)
        assert status(answer) == 200
        assert answer.count(b"x") == 300_000
        assert "300," in task.events[0].text


async def test_a_task_has_so_many_requests_a_minute(tmp_path: Path) -> None:
    now_s = [0.0]
    meter = Meter(now_s=lambda: now_s[0])
    async with server() as web:
        entries = allow(f"host: {HOST}, ports: [{web.port}], requests_per_minute: 2")
        async with proxy(tmp_path, entries, meter=meter) as task:
            found = [status(await task.get(f"http://{HOST}:{web.port}/")) for _ in range(3)]
            assert found == [200, 200, 429]
            now_s[0] = 61.0
            assert status(await task.get(f"http://{HOST}:{web.port}/")) == 200


@pytest.mark.parametrize("limit", ["bytes_per_task: 100000", "bytes_per_day: 100000"])
async def test_bytes_over_the_limit_do_not_pass(tmp_path: Path, limit: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
    async with server(answer) as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}], {limit}")) as task:
        assert (await task.get(f"http://{HOST}:{web.port}/")).count(b"x") <= 100_000
        assert status(await task.get(f"http://{HOST}:{web.port}/", method="POST", body=b"y" * 200_000)) in (0, 429)
        assert b"y" * 1000 not in b"".join(web.seen)


async def test_connections_at_once_have_a_limit(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        asked.set()
        await go_on.wait()
        writer.write(OK)

    async with server(wait) as web:
        entries = allow(f"host: {HOST}, ports: [{web.port}]", limits="connections: 1")
        async with proxy(tmp_path, entries) as task, asyncio.TaskGroup() as group:
            first = group.create_task(task.get(f"http://{HOST}:{web.port}/"))
            async with asyncio.timeout(WAIT_S):
                await asked.wait()
            assert status(await task.get(f"http://{HOST}:{web.port}/")) == 429
            go_on.set()
            assert status(await first) == 200


async def test_a_peer_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await never.wait()

    async with server(stall) as web:
        times = ProxyTimes(head_s=0.2, stall_s=0.2)
        async with proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]"), times=times) as task:
            assert status(await task.send(b"GET http://api")) == 408
            assert (await task.get(f"http://{HOST}:{web.port}/")).endswith(b"abc")
            tunnel = await task.send(f"CONNECT {HOST}:{web.port} HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
            assert status(tunnel) == 200


async def test_a_task_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with server(flood) as web:
        times = ProxyTimes(head_s=WAIT_S, stall_s=0.3)
        async with proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]"), times=times) as task:
            _, writer = await task.connect()
            writer.write(f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
            async with asyncio.timeout(WAIT_S):
                await task.noted.wait()
            assert "nothing was taken for 0.3 s" in task.events[0].text
            writer.close()


async def test_a_file_that_becomes_wrong_ends_what_it_allowed(tmp_path: Path) -> None:
    async with server() as web, proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
        assert status(await task.get(f"http://{HOST}:{web.port}/")) == 200
        task.file.write_text("allow: [{hots: x}]")
        answer = await task.get(f"http://{HOST}:{web.port}/")
        assert status(answer) == 403
        assert b"has mistakes" in answer
        task.file.write_text("allow: []")
        assert b"not on the allowlist" in await task.get(f"http://{HOST}:{web.port}/")
        assert len(web.seen) == 1
