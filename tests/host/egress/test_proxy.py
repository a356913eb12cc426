"""The proxy of a task: what is allowed passes, is counted and has an end; the rest is refused. Real sockets."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from pathlib import Path

import pytest
from tests.host.egress.proxying import (
    HOST,
    OK,
    SECRET,
    WAIT_S,
    Names,
    allow,
    allowed,
    proxy,
    server,
    status,
)

from microclaw.host.audit.event import AuditKind
from microclaw.host.egress.proxy import ProxyTimes


async def never(reader: Reader, writer: Writer, head: bytes) -> None:
    await asyncio.Event().wait()


async def test_an_allowed_request_passes_and_is_logged_without_its_path(tmp_path: Path) -> None:
    async with allowed(tmp_path, entry="methods: [GET]") as task:
        answer = await task.get("/private/path?key=1", "X-Mine: yes")
        assert status(answer) == 200
        assert answer.endswith(b"ok")
        [head] = task.web.seen
        assert head.startswith(f"GET /private/path?key=1 HTTP/1.1\r\nHost: {task.place}\r\n".encode())
        assert b"X-Mine: yes\r\n" in head
        [event] = task.events
        assert (event.kind, event.about) == (AuditKind.EGRESS_ALLOWED, "plot")
        assert event.text.startswith(f"GET {task.place}, ")
        assert "private" not in event.text


WILD = "host: '*.example.com', ports: [80]"
REFUSED = (
    ("", "GET", "http://other.example.com/", "not on the allowlist"),
    ("", "GET", "http://api.example.com/", "port 80"),
    ("ports: [80]", "GET", "http://api.example.com:8080/", "port 8080"),
    ("ports: [80], methods: [GET]", "POST", "http://api.example.com/", "POST is not allowed"),
    ("ports: [80], tasks: [other]", "GET", "http://api.example.com/", "for this task"),
    ("ports: [80, 443]", "GET", "https://api.example.com/", "use CONNECT"),
    ("ports: [80]", "GET", "http://api.example.com.evil.example/", "not on the allowlist"),
    (WILD, "GET", "http://example.com/", "not on the allowlist"),
    (WILD, "GET", "http://badexample.com/", "not on the allowlist"),
    (WILD, "GET", "http://a.example.com.evil.example/", "not on the allowlist"),
    ("", "CONNECT", "api.example.com:22", "port 22"),
    ("", "CONNECT", "api.example.com:80", "port 80"),
    ("", "CONNECT", "evil.example.com:443", "not on the allowlist"),
    ("methods: [GET]", "CONNECT", "api.example.com:443", "which CONNECT hides"),
    ("secret: key, header: X-Key", "CONNECT", "api.example.com:443", "which CONNECT hides"),
)


async def test_what_no_entry_allows_is_refused_before_its_name_is_looked_up(tmp_path: Path) -> None:
    async with proxy(tmp_path, "allow: []", secrets={"key": SECRET}) as task:
        for entry, verb, target, why in REFUSED:
            task.file.write_text(allow(entry if "host" in entry else ", ".join(filter(None, (f"host: {HOST}", entry)))))
            answer = await (task.tunnel(target) if verb == "CONNECT" else task.get(target, method=verb))
            assert (status(answer), why in answer.decode()) == (403, True), (entry, verb, target)
            assert b"\r\nX-Microclaw-Egress: refused\r\n" in answer
        assert task.names.asked == []
        assert [event.kind for event in task.events] == [AuditKind.EGRESS_REFUSED] * len(REFUSED)


async def test_the_allowlist_counts_as_it_is_now_and_a_broken_one_allows_nothing(tmp_path: Path) -> None:
    async with allowed(tmp_path) as task:
        assert status(await task.get()) == 200
        for text, why in (("allow: [{hots: x}]", b"has mistakes"), ("allow: []", b"not on the allowlist")):
            task.file.write_text(text)
            answer = await task.get()
            assert (status(answer), why in answer) == (403, True)
        task.file.unlink()
        assert status(await task.get()) == 403
        assert len(task.web.seen) == 1


NONSENSE = (
    b"",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: nonsense" + b"a" * 100_000 + b"\r\n\r\n",
)


async def test_a_server_that_answers_nothing_or_nonsense_is_a_bad_gateway(tmp_path: Path) -> None:
    async def answer(reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(NONSENSE[len(task.web.seen) - 1])
        await writer.drain()

    async with allowed(tmp_path, answer) as task:
        for number in range(len(NONSENSE)):
            found = await task.get()
            assert status(found) == 502
            assert task.events[number].kind is AuditKind.EGRESS_ALLOWED
            assert "nonsense" not in task.events[number].text + found.decode()


async def test_an_allowed_host_that_is_not_there_is_a_failure_and_no_refusal(tmp_path: Path) -> None:
    async with proxy(tmp_path, allow(f"host: {HOST}"), names=Names(api_example_com=[])) as task:
        answer = await task.get(f"http://{HOST}:443/")
        assert status(answer) == 502
        assert b"Failed: there is no host named" in answer.partition(b"\r\n")[0]
        assert b"\r\nX-Microclaw-Egress: failed\r\n" in answer
        assert [event.kind for event in task.events] == [AuditKind.EGRESS_ALLOWED]


async def test_a_task_has_so_many_requests_a_minute(tmp_path: Path) -> None:
    now_s = [0.0]
    async with allowed(tmp_path, entry="requests_per_minute: 2", now_s=lambda: now_s[0]) as task:
        assert [status(await task.get()) for _ in range(3)] == [200, 200, 429]
        now_s[0] = 61.0
        assert status(await task.get()) == 200


@pytest.mark.parametrize("limit", ["bytes_per_task: 100000", "bytes_per_day: 100000"])
async def test_bytes_over_the_limit_do_not_pass(tmp_path: Path, limit: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
    async with allowed(tmp_path, answer, entry=limit) as task:
        assert (await task.get()).count(b"x") <= 100_000
        assert status(await task.get(method="POST", body=b"y" * 200_000)) in (0, 429)
        assert b"y" * 1000 not in b"".join(task.web.seen)


async def test_connections_at_once_have_a_limit(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def wait(reader: Reader, writer: Writer, head: bytes) -> None:
        await go_on.wait()
        writer.write(OK)

    async with allowed(tmp_path, wait, limits="connections: 1") as task, asyncio.TaskGroup() as group:
        first = group.create_task(task.get())
        async with asyncio.timeout(WAIT_S):
            await task.web.news.wait()
        assert status(await task.get()) == 429
        go_on.set()
        assert status(await first) == 200


async def test_a_peer_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def stall(reader: Reader, writer: Writer, head: bytes) -> None:
        if b"/begun" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await never(reader, writer, head)

    async with allowed(tmp_path, stall, times=ProxyTimes(head_s=0.5, stall_s=WAIT_S)) as task:
        assert status(await task.send(b"GET http://api")) == 408
    async with allowed(tmp_path, stall, times=ProxyTimes(head_s=WAIT_S, stall_s=0.5)) as task:
        assert status(await task.get()) == 504
        assert (await task.get("/begun")).endswith(b"abc")
        assert status(await task.tunnel(task.place)) == 200


async def test_a_task_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    async def flood(reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with allowed(tmp_path, flood, times=ProxyTimes(head_s=WAIT_S, stall_s=0.3)) as task:
        _, writer = await task.connect()
        writer.write(f"GET http://{task.place}/ HTTP/1.1\r\nHost: {task.place}\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_S):
            await task.noted.wait()
        assert "in time" in task.events[0].text
        writer.close()


async def test_a_request_has_an_end_in_all(tmp_path: Path) -> None:
    async def drip(reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0)

    async with allowed(tmp_path, drip, times=ProxyTimes(head_s=WAIT_S, stall_s=WAIT_S, total_s=0.5)) as task:
        assert (await task.get()).count(b"x") < 1_000_000_000
        assert task.events


async def test_a_large_body_goes_up_after_100_continue_which_the_server_never_sees_and_is_counted(
    tmp_path: Path,
) -> None:
    async def echo(reader: Reader, writer: Writer, head: bytes) -> None:
        body = await reader.readexactly(300_000)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + body + b"\r\n0\r\n\r\n")
        await writer.drain()

    async with allowed(tmp_path, echo) as task, asyncio.timeout(WAIT_S):
        reader, writer = await task.connect()
        head = f"POST http://{task.place}/ HTTP/1.1\r\nHost: {task.place}\r\nContent-Length: 300000\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert status(await reader.readuntil(b"\r\n\r\n")) == 100
        writer.write(b"x" * 300_000)
        answer = await reader.read()
        assert (status(answer), answer.count(b"x")) == (200, 300_000)
        writer.close()
        assert "expect" not in task.web.heads[0]
        assert "300," in task.events[0].text


async def test_both_directions_of_a_tunnel_end_for_themselves(tmp_path: Path) -> None:
    """A task that has sent all closes its half; what the server still says arrives."""

    async def after_the_end(reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"got " + await reader.read())

    async with allowed(tmp_path, after_the_end) as task, asyncio.timeout(WAIT_S):
        reader, writer = await task.connect()
        writer.write(f"CONNECT {task.place} HTTP/1.1\r\nHost: {task.place}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"head\r\n\r\nall of it")
        writer.write_eof()
        assert await reader.read() == b"got all of it"
        writer.close()


async def test_the_end_of_a_task_ends_its_connections_and_its_socket_at_once(tmp_path: Path) -> None:
    async with server(never) as web:
        async with proxy(tmp_path, allow(f"host: {HOST}, ports: [{web.port}]")) as task:
            reader, writer = await task.connect()
            writer.write(f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n".encode())
            async with asyncio.timeout(WAIT_S):
                await web.news.wait()
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await task.connect()
        assert task.events[-1].kind is AuditKind.EGRESS_ALLOWED


async def test_a_task_that_goes_away_in_the_middle_of_its_body_ends_the_request(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def wait(reader: Reader, writer: Writer, head: bytes) -> None:
        await reader.read()
        gone.set()

    async with allowed(tmp_path, wait) as task, asyncio.timeout(WAIT_S):
        _, writer = await task.connect()
        writer.write(
            f"POST http://{task.place}/ HTTP/1.1\r\nHost: {task.place}\r\nContent-Length: 50\r\n\r\nha".encode()
        )
        await task.web.news.wait()
        writer.close()
        await gone.wait()
        await task.noted.wait()
        assert "the task closed the connection" in task.events[0].text
