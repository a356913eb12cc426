"""MCP over stdio: how soon `initialize` is answered, with nothing running and beside a host, and what a call costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import private_home, running
from bench.report import Metric, median
from microclaw.host.operations.client import Client

RUNS = 7
CALLS = 200
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


def measure() -> list[Metric]:
    cold_s = []
    cold_tools_s = []
    ended_s = []
    for _ in range(RUNS):
        with private_home() as environ, _server(environ) as server:
            cold_s.append(server.initialize())
            server.call("tools/list")
            cold_tools_s.append(server.began_s())
            began = time.perf_counter()
            server.end()
            ended_s.append(time.perf_counter() - began)
    warm_s = []
    through = []
    straight = []
    with (
        private_home() as environ,
        running("microclaw", "up", "--json", "--port", "0", "--virtual", "1", environ=environ),
    ):
        for _ in range(RUNS):
            with _server(environ) as server:
                warm_s.append(server.initialize())
        with _server(environ) as server:
            server.initialize()
            server.call("tools/list")
            through = [server.tool("list-devices") for _ in range(CALLS)]
        host = Client(Path(environ["MICROCLAW_HOME"]) / "control.sock")
        straight = [_straight(host) for _ in range(CALLS)]
    through_ms = median(through) * 1000
    straight_ms = median(straight) * 1000
    return [
        Metric("initialize, nothing running", median(cold_s), "s", 4.0),
        Metric("initialize, beside a running host", median(warm_s), "s", 1.0),
        Metric("first tools/list, nothing running", median(cold_tools_s), "s"),
        Metric("end, after stdin is closed", median(ended_s), "s"),
        Metric("list-devices over MCP", through_ms, "ms"),
        Metric("list-devices straight from the host", straight_ms, "ms"),
        Metric("overhead of MCP a call", through_ms - straight_ms, "ms", 10),
    ]


class _Server:
    """A client that writes lines: the official one's own cost is not what is measured."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._began = time.perf_counter()
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "microclaw", "mcp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
        )

    def began_s(self) -> float:
        return time.perf_counter() - self._began

    def initialize(self) -> float:
        """Seconds since the process was started."""
        self.call("initialize", INITIALIZE)
        took_s = self.began_s()
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return took_s

    def tool(self, name: str) -> float:
        return self.call("tools/call", {"name": name, "arguments": {}})

    def call(self, method: str, params: dict[str, Any] | None = None) -> float:
        began = time.perf_counter()
        self._count += 1
        self._write({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params or {}})
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        if "result" not in answer or answer["id"] != self._count:
            raise RuntimeError(f"{method}: {answer}")
        return time.perf_counter() - began

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


@contextmanager
def _server(environ: Mapping[str, str]) -> Iterator[_Server]:
    server = _Server(environ)
    try:
        yield server
    finally:
        server.end()


def _straight(host: Client) -> float:
    began = time.perf_counter()
    for _ in host.stream("/v1/tools/list-devices", {"arguments": {}}):
        pass
    return time.perf_counter() - began
