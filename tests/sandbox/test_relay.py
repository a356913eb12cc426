"""A job with the egress proxy: it reaches the proxy at 127.0.0.1, both ways, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from microclaw.sandbox.job import SandboxJob
from microclaw.sandbox.run import run_sandboxed

LARGE = 3_000_000
CODE = f"""
import os, socket, threading, urllib.request
from concurrent.futures import ThreadPoolExecutor
try: os.wait()
except ChildProcessError: print('no child that it did not start')
print(len(urllib.request.urlopen('http://data.example/a').read()))
link = socket.create_connection(("127.0.0.1", 8118))
link.sendall(b"CONNECT data.example:443 HTTP/1.1\\r\\n\\r\\n")
print(link.recv(100))
def send():
    link.sendall(bytes({LARGE}))
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
count = 0
while data := link.recv(65536):
    count += len(data)
print(count)
def ask(n):
    with socket.create_connection(("127.0.0.1", 8118)) as link:
        link.sendall(b"CONNECT n:%d HTTP/1.1\\r\\n\\r\\n" % n)
        link.recv(100)
        link.sendall(b"hello")
        return link.recv(100)
print(set(ThreadPoolExecutor(20).map(ask, range(100))))
"""
SAID = f"no child that it did not start\n{LARGE}\nb'HTTP/1.1 200 OK\\r\\n\\r\\n'\n{LARGE}\n{{b'hello'}}\n"


async def test_requests_tunnels_and_many_connections_go_to_the_proxy(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request with many bytes, and each CONNECT with what it is sent."""
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.partition(b"\r\n")[0])
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    servers: list[asyncio.Server] = []

    async def listen(at: socket.socket) -> None:
        servers.append(await asyncio.start_server(answer, sock=at))

    job = SandboxJob(command=["python3", "-c", CODE])
    end = await run_sandboxed(job, tmp_path / "own", lambda _: None, proxy=listen)
    servers[0].close()
    assert end.output.decode() == SAID
    assert asked[:2] == [b"GET http://data.example/a HTTP/1.1", b"CONNECT data.example:443 HTTP/1.1"]
    assert len(asked) == 102
