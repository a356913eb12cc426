"""Real `nats-server` processes on loopback, each with its folder: one alone, or several that are a NATS cluster.

Ports stay a server's own over its restarts. A server counts as ready when it answers as a client would be answered.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any, Final

LIMIT_S: Final = 60.0


def free_port() -> int:
    """Below those that the kernel gives to connections, so that none has it when the server starts."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
            return int(probe.getsockname()[1])


@dataclass
class NatsServer:
    """One server. `extra` is more text for its configuration; the readiness check connects with `login` and `tls`."""

    folder: Path
    name: str = "n1"
    port: int = field(default_factory=free_port)
    route_port: int = field(default_factory=free_port)
    monitor_port: int = field(default_factory=free_port)
    routes: tuple[str, ...] = ()
    jetstream: bool = True
    extra: str = ""
    login: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'nats' if self.tls is None else 'tls'}://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start it, and do not wait."""
        assert self.process is None, "the server runs already"
        found = which("nats-server") or which("nats-server", path="/usr/sbin:/usr/local/sbin")
        assert found is not None, "nats-server is missing: make setup-system"
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        config.write_text(self._configuration())
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([found, "-c", str(config)], stdout=log, stderr=log)

    def start(self) -> None:
        """Start it, also again after `stop` or `kill` with what it kept, and wait until it answers."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"nats-server ended: {self.log()}"
            return self._request("$JS.API.INFO").get("error") is None if self.jetstream else self._greets()

        wait_for(answers, f"nats-server is not ready: {self.folder}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Have it read its configuration anew; `extra` may be another."""
        (self.folder / "nats.conf").write_text(self._configuration())
        self._process().send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def makes_streams(self, replicas: int) -> bool:
        """Whether a stream on so many servers can be made now."""
        config = {"name": "READY", "subjects": ["ready"], "storage": "memory", "num_replicas": replicas}
        made = self._request("$JS.API.STREAM.CREATE.READY", config)
        return "error" not in made and "error" not in self._request("$JS.API.STREAM.DELETE.READY")

    def _process(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the server does not run"
        return self.process

    def _end(self, by: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(by)
            process.wait(LIMIT_S)

    def _configuration(self) -> str:
        rows = [
            f'server_name: "{self.name}"',
            f"listen: 127.0.0.1:{self.port}",
            f"http: 127.0.0.1:{self.monitor_port}",
        ]
        if self.jetstream:
            rows.append(f'jetstream {{ store_dir: "{self.folder / "data"}" }}')
        if self.routes:
            urls = ", ".join(f'"nats://{route}"' for route in self.routes)
            rows.append(f"cluster {{ name: tests, listen: 127.0.0.1:{self.route_port}, routes: [{urls}] }}")
        return "\n".join([*rows, self.extra, ""])

    def _greets(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            return connection.recv(4) == b"INFO"
        return False

    def _request(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What JetStream answers; `error` where it does not."""
        data = b"" if body is None else json.dumps(body).encode()
        options = {"verbose": False, "pedantic": False, "lang": "tests", "version": "1", "protocol": 1, **self.login}
        ask = f"CONNECT {json.dumps(options)}\r\nSUB _INBOX.ready 1\r\nPUB {subject} _INBOX.ready {len(data)}\r\n"
        got = b"\r\n"
        with contextlib.suppress(OSError), self._connection() as connection:
            connection.sendall(ask.encode() + data + b"\r\n")
            while received := connection.recv(1 << 16):
                got += received
                message = re.search(rb"\r\nMSG _INBOX\.ready 1 (\d+)\r\n", got)
                if message is not None and len(got) >= message.end() + int(message[1]):
                    answer: dict[str, Any] = json.loads(got[message.end() : message.end() + int(message[1])])
                    return answer
        return {"error": got[-200:].decode(errors="replace")}

    def _connection(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 5)
        if self.tls is None:
            return connection
        connection.recv(1 << 16)  # what it says of itself comes in clear text
        return self.tls.wrap_socket(connection, server_hostname="127.0.0.1")


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def one_server(folder: Path, **options: Any) -> Iterator[NatsServer]:
    """A server that is ready. `options` are NatsServer's."""
    server = NatsServer(folder, **options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def three_servers(folder: Path, **options: Any) -> Iterator[list[NatsServer]]:
    """Three servers that are one NATS cluster and keep streams on all three."""
    servers = [NatsServer(folder / f"n{n}", name=f"n{n}", **options) for n in (1, 2, 3)]
    for server in servers:
        server.routes = tuple(f"127.0.0.1:{one.route_port}" for one in servers)
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_ready()
        wait_for(lambda: servers[0].makes_streams(3), "the three servers make no stream")
        yield servers
    finally:
        for server in servers:
            server.kill()


def urls_of(servers: list[NatsServer]) -> str:
    """For --nats."""
    return ",".join(server.url for server in servers)
