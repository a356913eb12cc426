"""The cost of the proxy of tasks, against the same request made directly in the same run, in turn."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop
from tests.host.egress.proxying import client_tls, server_tls

from bench.report import Metric, median, percentile
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.egress.secret_values import SecretValues

HOST = "secure.example.com"
NAME = "api.example.com"
BODY = b"x" * 4096
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\nConnection: close\r\n\r\n" + BODY
RUNS = 400
GOAL_MS = 2.0


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as home:
        return uvloop.run(_measure(Path(home)))


async def _measure(home: Path) -> list[Metric]:
    with _origin(home) as (plain, secure, trust):
        (home / "egress.yaml").write_text(
            f"allow:\n"
            f"  - {{host: {NAME}, ports: [{plain}]}}\n"
            f"  - {{host: {HOST}, ports: [{secure}], secret: key, header: X-Key}}\n"
            "limits: {requests_per_minute: 100000}\n"
        )
        values = SecretValues(home, {})
        await asyncio.to_thread(values.set, "key", "a-value-of-a-key")
        events: list[object] = []
        proxy = EgressProxy(
            home,
            Egress(resolve=_loopback, is_public=lambda _: True, own=tuple),
            values,
            record=events.append,
            tls=lambda: trust,
        )
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        serving = asyncio.create_task(proxy.for_task("bench", "bench")(listening))
        try:
            return await asyncio.to_thread(_compare, port, plain, secure, trust)
        finally:
            serving.cancel()


def _compare(port: int, plain: int, secure: int, trust: ssl.SSLContext) -> list[Metric]:
    url = f"GET http://{NAME}:{plain}/ HTTP/1.1\r\nHost: {NAME}:{plain}\r\n\r\n".encode()
    with_secret = f"GET http://{HOST}:{secure}/ HTTP/1.1\r\nHost: {HOST}:{secure}\r\n\r\n".encode()
    direct = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    tunnel = f"CONNECT {NAME}:{plain} HTTP/1.1\r\nHost: {NAME}:{plain}\r\n\r\n".encode()

    kinds: dict[str, list[float]] = defaultdict(list)
    actions: dict[str, Callable[[], None]] = {
        "direct": lambda: _ask(_tcp(plain), direct),
        "HTTP": lambda: _ask(_tcp(port), url),
        "CONNECT": lambda: _ask(_tcp(port), direct, tunnel),
        "direct, TLS": lambda: _ask(trust.wrap_socket(_tcp(secure), server_hostname=HOST), direct),
        "TLS and a secret": lambda: _ask(_tcp(port), with_secret),
    }
    for run in range(RUNS + 20):
        samples = {name: _timed(action) for name, action in actions.items()}
        if run >= 20:  # the first ones load certificates and warm caches
            for name, took_s in samples.items():
                kinds[name].append(took_s * 1000)
    return [*_metrics("HTTP", kinds, "direct"), *_metrics("CONNECT", kinds, "direct"),
            *_metrics("TLS and a secret", kinds, "direct, TLS")]  # fmt: skip


def _metrics(name: str, kinds: dict[str, list[float]], baseline: str) -> Iterator[Metric]:
    added = [ours - bare for ours, bare in zip(kinds[name], kinds[baseline], strict=True)]
    yield Metric(f"{name}: the proxy adds, p50", median(added), "ms", GOAL_MS)
    yield Metric(f"{name}: the proxy adds, p95", percentile(added, 95), "ms")
    yield Metric(f"{name}: {baseline}, p50", median(kinds[baseline]), "ms")


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _ask(connection: socket.socket, request: bytes, tunnel: bytes = b"") -> None:
    with connection:
        if tunnel:
            connection.sendall(tunnel)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(4096)
            assert head.startswith(b"HTTP/1.1 200"), head
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        assert answer.endswith(BODY), answer[:200]


def _tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _loopback(host: str, port: int) -> Sequence[str]:
    del host, port
    return ("127.0.0.1",)


@contextmanager
def _origin(home: Path) -> Iterator[tuple[int, int, ssl.SSLContext]]:
    """Two servers in threads of their own, without and with TLS; their ports, and what trusts the second."""
    secure_context = server_tls(home, HOST)
    with _threaded(None) as plain, _threaded(secure_context) as secure:
        yield plain, secure, client_tls(HOST)


@contextmanager
def _threaded(tls: ssl.SSLContext | None) -> Iterator[int]:
    ports: list[int] = []
    up = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
        ports.append(server.sockets[0].getsockname()[1])
        loops.append(asyncio.get_running_loop())
        up.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()), name="origin", daemon=True)
    thread.start()
    up.wait()
    try:
        yield ports[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
