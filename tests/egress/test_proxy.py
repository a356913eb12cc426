"""The proxy of a task: what is allowed passes, everything else is refused; real sockets on both sides."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from tests.egress.proxying import HOST, OK, WAIT_S, allow, client_tls, proxy, server, server_tls, status

from microclaw.audit import AuditKind


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
