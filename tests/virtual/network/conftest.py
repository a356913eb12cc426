"""A real broker (mosquitto) and HTTP server on loopback, and programs on a board of this process that reach them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.mosquitto import broker as broker  # a fixture
from tests.mosquitto import wait_for
from tests.virtual.conftest import Bench, benches

from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module
from microclaw.programs.wasm.source_language import Language
from microclaw.virtual.clock import Clock
from microclaw.virtual.runtime.app import App


class Pages(BaseHTTPRequestHandler):
    """/big has 1200 bytes, /move leads to it, /to/PLACE to another, /short breaks off.

    POST and PUT send back their body and type.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/move":
            self._answer(302, b"", Location="/big")
        elif self.path.startswith("/to/"):
            self._answer(302, b"", Location=f"http://{self.path[4:]}/")
        elif self.path == "/turn":
            self._answer(301, b"", Location="/turn")
        elif self.path == "/short":
            self._answer(200, b"abc", length=10)
            self.close_connection = True
        else:
            self._answer(200, b"y" * 1200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, self.headers.get("Content-Type", "none").encode() + b" " + body)

    do_PUT = do_POST

    def _answer(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body) if length is None else length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def web() -> Iterator[str]:
    """The address of a server with `Pages`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def to_this_computer(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect without the rules of reach.py: the servers of tests are on the loopback."""
    return socket.create_connection((host, port), timeout_s)


class NetBench(Bench):
    """Runs programs as this project compiles them."""

    def __init__(self, builds: BuildCache, folder: Path, clock: Clock | None = None, **options: Any) -> None:
        super().__init__(folder, clock or Clock(), **{"connect": to_this_computer, **options})
        self._builds = builds

    async def run(self, source: str, *, language: Language | None = None, heap_bytes: int = 8192) -> App:
        image = await compile_module(source, self.board.profile, language=language, cache=self._builds)
        return self.start(image.wasm, heap_bytes=heap_bytes)

    def wait_line(self, text: str) -> None:
        wait_for(lambda: any(text in record.text for record in self.board.log().records), f"no line {text!r}")


@pytest.fixture(scope="session")
def cache(build_cache: Path) -> BuildCache:
    return BuildCache(build_cache)


MakeBench = Callable[..., NetBench]


@pytest.fixture
def make_bench(cache: BuildCache, tmp_path: Path) -> Iterator[MakeBench]:
    """Make a bench on the real clock."""
    with benches(partial(NetBench, cache, tmp_path)) as make:
        yield make
