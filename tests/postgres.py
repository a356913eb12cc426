"""A real PostgreSQL server on loopback, of a data folder of its own, and a database for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import sample
from typing import Final

import psycopg

from microclaw.host.store.postgres import make_tables

USER: Final = "microclaw"
_TAKEN: Final[list[socket.socket]] = []  # one for each port that was given
_PORTS: Final = cycle(sample(range(1_000), 1_000))  # the same port is not given twice soon


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Below those that the kernel gives to others: it stays the server's own until it is used, and over restarts.

    No other process of tests gets it as long as this one lives, also not of another run on this machine.
    """
    first = 20_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    while True:
        port = first + next(_PORTS)
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _take(port)
            return port


def _take(port: int) -> None:
    """Mark the port by a name that the kernel frees at the end of the process. Raises OSError if another one has it."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0microclaw-tests-port-{port}")
    except OSError:
        mark.close()
        raise
    _TAKEN.append(mark)


def program(name: str) -> str:
    """Debian keeps the server's programs by version, beside the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    assert found is not None, f"{name} is missing: make setup-system"
    return found


@dataclass
class PostgresServer:
    """Its writes are synced only with `durable`: what survives a kill of the server needs that."""

    folder: Path
    durable: bool = False
    port: int = field(default_factory=free_port)
    has_tables: bool = False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def make(self) -> None:
        if os.geteuid() == 0:  # it refuses to run as root
            for folder in (self.folder, *self.folder.parents):
                if folder.stat().st_mode & 0o001 == 0 and folder != Path("/"):
                    folder.chmod(folder.stat().st_mode | 0o011)
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C", "-N")

    def start(self) -> None:
        """And wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "''",
            "shared_buffers": "32MB",
            "fsync": "on" if self.durable else "off",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-m", mode, "stop")

    def kill(self) -> None:
        """As a power cut ends it; every process of it."""
        self.stop("immediate")

    def freeze(self, *, over: bool = False) -> None:
        """Stop its processes, or let them go on: connections stay, and nobody answers."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT if over else signal.SIGSTOP)

    def new_database(self, *, empty: bool = False) -> str:
        """The URL of one with the tables of a store, copied from the first; or without any."""
        name = f"t{secrets.token_hex(5)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not empty and not self.has_tables:
                connection.execute("CREATE DATABASE tables")
                make_tables(self.url("tables"), "tests")
                self.has_tables = True
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {'template1' if empty else 'tables'}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def _processes(self) -> list[int]:
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True).stdout
        return [self.pid, *map(int, children.split())]

    def _run(self, name: str, *arguments: str) -> None:
        command = [program(name), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=60)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@contextmanager
def running_server(folder: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder, durable)
    server.make()
    server.start()
    try:
        yield server
    finally:
        with suppress(AssertionError, FileNotFoundError):  # a test may have ended it
            server.freeze(over=True)
            server.stop("immediate")
