"""`microclaw mcp`: the lines of an MCP client on stdin and stdout, passed on to the host of this home and back.

Where no host runs one is started with a virtual board; it ends soon after its last client. A host that went away is
started again at the client's next line. The MCP library is not loaded here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from microclaw.errors import ConfigError, MicroclawError, NoHost, Overloaded, StoreOwned
from microclaw.operations.next_steps import client_text

START_S: Final = 30.0
POLL_S: Final = 0.05
END_S: Final = 5.0
MAX_READY_BYTES: Final = 64 << 10
WORDS: Final = ("up", "--virtual", "1", "--while-used")
GREETING: Final = b"{}\n"
FULL: Final = b"64\n"
MAX_SESSIONS: Final = 64  # on the socket, and as many over HTTP
INTERNAL_ERROR: Final = -32603  # JSON-RPC 2.0, 5.1
GONE: Final = "the host went away in the middle of a call (next: look with list-devices)"
NO_ID: Final = "null"
OPENING: Final = ("initialize", "notifications/initialized")


def mcp_socket(control_socket: Path) -> Path:
    """The socket on which the host listens for `microclaw mcp`; whoever can open it is the owner."""
    return control_socket.with_suffix(".mcp")


def error_text(error: MicroclawError) -> str:
    """A JSON-RPC error's message."""
    if error.next_step is None:
        step = ""
    else:
        step = f" (next: {error.next_step})"
    return client_text(f"{error.message}{step}")


def serve_stdio(home: Path, control_socket: Path, *, every_tool: bool = False) -> None:
    """Pass lines on until the client closes stdin or stdout, or a signal comes; then this process has ended."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(0))
    _Bridge(home, mcp_socket(control_socket), every_tool).run()
    os._exit(0)  # a thread may write to stdout forever


class _Bridge:
    def __init__(self, home: Path, place: Path, every_tool: bool) -> None:
        self._home = home
        self._place = place
        self._hello = json.dumps({"all_tools": every_tool}).encode() + b"\n"
        self._host: socket.socket | None = None
        self._starting: subprocess.Popen[bytes] | None = None
        self._reading = threading.Thread()
        self._opening: dict[str, bytes] = {}  # the handshake by its ids, for a host that is started again
        self._unanswered: dict[str, Any] = {}  # the ids of requests, by their text
        self._writing = threading.Lock()

    def run(self) -> None:
        for line in sys.stdin.buffer:
            before = self._host
            if before is not None and _has_ended(before):
                self._reading.join()  # it answers what was said to that host, which this line was not
            message = _parsed(line)
            method = message.get("method")
            if "method" in message and "id" in message:
                self._unanswered[json.dumps(message["id"])] = message["id"]
            try:
                if method == OPENING[0]:
                    self._opening.clear()
                host = self._host or self._connect()
                if method in OPENING:
                    self._opening[json.dumps(message.get("id"))] = line
                host.sendall(line)
            except MicroclawError as exc:
                self._fail(error_text(exc))
            except OSError:
                self._fail(GONE)
        last = self._host
        if last is not None:
            with suppress(OSError):  # it has gone
                last.shutdown(socket.SHUT_WR)
            self._reading.join(END_S)

    def _connect(self) -> socket.socket:
        """A connection to the host of this home, which is started where none runs: where its ports are taken, on any.

        One that still starts when the time is over is waited for at the next line.
        """
        port: tuple[str, ...] = ()
        until_s = time.monotonic() + START_S
        while (left_s := until_s - time.monotonic()) > 0:
            host = socket.socket(socket.AF_UNIX)
            host.settimeout(left_s)
            with suppress(OSError):
                host.connect(str(self._place))
                greeting = host.recv(len(GREETING))
                if greeting == GREETING:  # else it is just ending, or full
                    return self._greeted(host)
                if greeting:
                    raise Overloaded(f"{MAX_SESSIONS} assistants use this host already", next_step="close one of them")
            host.close()
            if self._starting is None:
                self._starting = _started_host(self._home, port)
            elif self._starting.poll() is not None:
                said = _said(self._starting)
                self._starting = None
                error = said.get("error") or {}
                if error.get("code") == ConfigError.code and not port:
                    port = ("--port", "0")
                elif said.get("ready") is not True and error.get("code") != StoreOwned.code:
                    text = f"the host did not start: {error.get('message', 'it gave no reason')}"
                    raise ConfigError(text, next_step=error.get("next") or "microclaw doctor")
            time.sleep(POLL_S)
        raise NoHost(f"the host was not ready within {START_S:.0f} s", next_step="microclaw doctor")

    def _greeted(self, host: socket.socket) -> socket.socket:
        """The host, which has been told what the client wants, and its handshake again."""
        host.sendall(b"".join((self._hello, *self._opening.values())))
        host.settimeout(None)
        self._host = host
        answers = host.makefile("rb")
        again = bool(self._opening.keys() - {NO_ID})
        self._reading = threading.Thread(target=self._read, args=(answers, again), daemon=True)
        self._reading.start()
        return host

    def _read(self, answers: BinaryIO, again: bool) -> None:
        """Pass its answers on; not that to the handshake, which the client has, where it was told `again`."""
        with suppress(ConnectionError):
            for line in answers:
                message = _parsed(line)
                number = json.dumps(message.get("id"))
                if "method" not in message:
                    self._unanswered.pop(number, None)
                if "error" in message and number != NO_ID:
                    self._opening.pop(number, None)  # a handshake that was refused is none
                if "method" in message or not again:
                    self._write(line)
                again = again and "method" in message
        self._fail(GONE)
        self._host = None

    def _fail(self, text: str) -> None:
        """Answer all requests with an error."""
        for number in list(self._unanswered):
            self._opening.pop(number, None)
            own = self._unanswered.pop(number, None)
            if own is not None:
                answer = {"jsonrpc": "2.0", "id": own, "error": {"code": INTERNAL_ERROR, "message": text}}
                self._write(json.dumps(answer).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        with self._writing:
            try:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            except BrokenPipeError:  # the client has gone
                os._exit(0)


def _has_ended(host: socket.socket) -> bool:
    try:
        return host.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _started_host(home: Path, port: tuple[str, ...]) -> subprocess.Popen[bytes]:
    try:
        with (home / "mcp-host.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "microclaw", "--json", "--home", str(home), *WORDS, *port],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
    except OSError as exc:  # no such home, a full disk, no process more
        raise ConfigError(f"no host can be started in {home}: {exc.strerror}", next_step="microclaw doctor") from exc


def _said(host: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The document of a host that has ended: that it was ready, or its error."""
    assert host.stdout is not None
    with host.stdout:
        return _parsed(host.stdout.readline(MAX_READY_BYTES))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        return value
    return {}
