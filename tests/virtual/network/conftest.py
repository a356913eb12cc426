"""A real broker (mosquitto) and HTTP server on loopback, and programs on a board of this process that reach them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.telemetry.mqtt.conftest import Broker, wait_for

from microclaw.boards import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Clock, RealClock
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.loader import Runtime
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wasm import BuildCache, compile_module


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("mosquitto"))
    made.prepare()
    made.start()
    yield made
    made.stop()


class Pages(BaseHTTPRequestHandler):
    """/big has 1200 bytes, /move leads to it, /short breaks off, POST and PUT send back their body and type."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/move":
            self._answer(302, b"", Location="/big")
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


@dataclass
class Bench:
    """One board; `lines` are those of the program, `console` are the firmware's own."""

    board: Board
    runtime: Runtime
    clock: Clock
    cache: BuildCache

    async def run(self, source: str) -> App:
        image = await compile_module(source, self.board.profile, cache=self.cache)
        app = self.runtime.load("main", image.wasm)
        app.start()
        return app

    def lines(self) -> list[str]:
        return [record.text for record in self.board.log().records if record.app == "main"]

    def console(self) -> list[str]:
        return [record.text for record in self.board.log().records if record.app is None]

    def wait_line(self, text: str) -> None:
        wait_for(lambda: any(text in line for line in (*self.lines(), *self.console())), f"no line {text!r}")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("builds"))


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(cache: BuildCache, tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(*, has_network: bool = True, is_virtual: bool = False) -> Bench:
        clock = VirtualClock() if is_virtual else RealClock()
        board = Board(load_board("virtual"), clock, storage_dir=tmp_path / "storage")
        made.append(Bench(board, Runtime(board, has_network=has_network), clock, cache))
        return made[-1]

    yield make
    for bench in made:
        bench.runtime.close()
        bench.clock.close()
