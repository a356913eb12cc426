"""Pages of a C program on a virtual board: requests a second through the host, and beside /healthz in the same run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from bench.processes import private_home, running
from bench.report import Metric, paired_ratio
from microclaw.host.operations.client import Client
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.page_operations import give_page

SOURCE = Path(__file__).parents[1] / "tests" / "vectors" / "pages.c"
REQUESTS = 300
CLIENTS = 4
RUNS = 5


def measure() -> list[Metric]:
    up = ("microclaw", "up", "--json", "--port", "0", "--virtual", "1")
    with private_home() as environ, running(*up, environ=environ):
        host = Client(Path(environ["MICROCLAW_HOME"]) / "control.sock")
        host.call(
            programs.install, device="virtual-1", name="lamp", source=SOURCE.read_text(), heap_bytes=16_384, force=True
        )
        address, _, path = host.call(give_page, name="lamp").url.removeprefix("http://").partition("/")
        _ask(address, f"/{path}state")
        ratio, page_ms, alone_ms = paired_ratio(
            lambda: _ask(address, f"/{path}state"), lambda: _ask(address, "/healthz"), RUNS
        )
        at_once_s = _at_once(lambda: _ask(address, f"/{path}state"))
    return [
        Metric("a program's page, one client", REQUESTS / page_ms * 1000, "1/s", 300, at_least=True),
        Metric(f"a program's page, {CLIENTS} clients", CLIENTS * REQUESTS / at_once_s, "1/s", 300, at_least=True),
        Metric("an answer of the host alone, one client", REQUESTS / alone_ms * 1000, "1/s"),
        Metric("a program's page / an answer of the host alone", ratio, "x", 6.0),
    ]


def _ask(address: str, path: str) -> float:
    """Return the seconds for REQUESTS requests over one connection."""
    connection = HTTPConnection(address)
    began = time.perf_counter()
    for _ in range(REQUESTS):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    return time.perf_counter() - began


def _at_once(ask: Callable[[], object]) -> float:
    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
