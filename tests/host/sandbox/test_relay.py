"""A job with the egress proxy: it reaches the proxy at 127.0.0.1, and nothing else (test_escapes.py)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from microclaw.host.sandbox.job import SandboxJob
from microclaw.host.sandbox.run import run_sandboxed

CODE = """
import contextlib, os, urllib.request
with contextlib.suppress(ChildProcessError): os.wait(); raise SystemExit('a child that it did not start')
for number in range(40): assert urllib.request.urlopen('http://data.example/%d' % number).read() == b'ok'
"""


async def test_every_connection_of_a_job_goes_to_the_proxy(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def serve(at: socket.socket) -> None:
        async with await asyncio.start_server(answer, sock=at) as server:
            await server.serve_forever()

    job = SandboxJob(command=["python3", "-c", CODE])
    end = await run_sandboxed(job, tmp_path / "own", lambda _: None, proxy=serve)
    assert end.exit_code == 0
    assert asked == [b"GET http://data.example/%d HTTP/1.1" % number for number in range(40)]
