"""`microclaw mcp`: passes the lines of an MCP client on stdin to the host of this home, and its lines to stdout.

If no host runs, one is started with a virtual board; it ends soon after its last client. If the host ends, it is
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
from microclaw.host.operations.next_steps import client_text

START_S: Final = 30.0
POLL_S: Final = 0.05
END_S: Final = 5.0
MAX_READY_BYTES: Final = 64 << 10
WORDS: Final = ("up", "--virtual", "1", "--while-used")
GREETING: Final = b"{}\n"
FULL: Final = b"64\n"
# Sessions on the socket; the same number again is allowed over HTTP.
MAX_SESSIONS: Final = 64
# JSON-RPC 2.0, section 5.1.
INTERNAL_ERROR: Final = -32603
GONE: Final = "the host went away in the middle of a call (next: look with list-devices)"
NO_ID: Final = "null"
OPENING: Final = ("initialize", "notifications/initialized")


def mcp_socket(control_socket: Path) -> Path:
    """Return the socket on which the host listens for `microclaw mcp`. Whoever can open it acts as the owner."""
    return control_socket.with_suffix(".mcp")


def error_text(error: MicroclawError) -> str:
    """Return an error as the message of a JSON-RPC error."""
    if error.next_step is None:
        return client_text(error.message)
    return client_text(f"{error.message} (next: {error.next_step})")


def serve_stdio(home: Path, control_socket: Path, *, every_tool: bool = False) -> None:
    """Pass lines on until the client closes stdin or stdout, or a signal arrives; then end this process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(0))
    _Bridge(home, mcp_socket(control_socket), every_tool=every_tool).run()
    # A usual exit would wait for a thread that may write to stdout forever.
    os._exit(0)


class _Bridge:
    """The connection of one client to the host.

    The main thread passes the client's lines to the host; a thread for each connection passes the host's lines back.
    """

    def __init__(self, home: Path, socket_path: Path, *, every_tool: bool) -> None:
        self._home = home
        self._socket_path = socket_path
        self._hello = json.dumps({"all_tools": every_tool}).encode() + b"\n"
        self._host: socket.socket | None = None
        self._starting: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread()
        # The lines of the handshake by their ids, for a host that is started again.
        self._handshake: dict[str, bytes] = {}
        # The ids of requests without an answer, by their JSON text, because an id may be any JSON value.
        self._unanswered: dict[str, Any] = {}
        self._write_lock = threading.Lock()

    def run(self) -> None:
        """Pass the client's lines to the host until stdin is closed."""
        for line in sys.stdin.buffer:
            current = self._host
            if current is not None and _has_ended(current):
                # The reader first answers the requests to that host with an error. This line is not one of them.
                self._reader.join()
            message = _parse_object(line)
            if "method" in message and "id" in message:
                self._unanswered[json.dumps(message["id"])] = message["id"]
            try:
                self._pass_on(line, message)
            except MicroclawError as exc:
                self._fail_requests(error_text(exc))
            except OSError:
                self._fail_requests(GONE)
        host = self._host
        if host is not None:
            # An error means that the host is gone.
            with suppress(OSError):
                host.shutdown(socket.SHUT_WR)
            self._reader.join(END_S)

    def _pass_on(self, line: bytes, message: dict[str, Any]) -> None:
        """Send a line to the host, which is started first if none runs; remember a line of the handshake."""
        method = message.get("method")
        if method == OPENING[0]:
            self._handshake.clear()
        host = self._host or self._connect()
        # Only now, because _connect sends the remembered handshake, and this line follows it.
        if method in OPENING:
            self._handshake[json.dumps(message.get("id"))] = line
        host.sendall(line)

    def _connect(self) -> socket.socket:
        """Return a connection to the host of this home; start a host if none runs.

        If the configured port is in use, the host is started on any free port. A host that is not ready within START_S
        is waited for again at the next line. Raises NoHost, Overloaded, or ConfigError if the host cannot start.
        """
        port_words: tuple[str, ...] = ()
        deadline_s = time.monotonic() + START_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            host = self._connect_once(left_s)
            if host is not None:
                # A host that ends at this moment is started again.
                with suppress(OSError):
                    return self._begin_session(host)
                host.close()
            if self._starting is None:
                self._starting = _start_host(self._home, port_words)
            elif self._starting.poll() is not None:
                if self._check_ended_host(self._starting, may_retry=not port_words):
                    port_words = ("--port", "0")
            time.sleep(POLL_S)
        raise NoHost(f"the host was not ready within {START_S:.0f} s", next_step="microclaw doctor")

    def _connect_once(self, wait_s: float) -> socket.socket | None:
        """Return a connection that the host has greeted, or None. Raises Overloaded if the host has no room."""
        host = socket.socket(socket.AF_UNIX)
        host.settimeout(wait_s)
        greeting = b""
        with suppress(OSError):
            host.connect(str(self._socket_path))
            greeting = host.recv(len(GREETING))
        if greeting == GREETING:
            return host
        host.close()
        if greeting:
            raise Overloaded(f"{MAX_SESSIONS} assistants use this host already", next_step="close one of them")
        return None

    def _check_ended_host(self, host: subprocess.Popen[bytes], *, may_retry: bool) -> bool:
        """Return True if an ended host may be started on another port, False if on the same one.

        Raises ConfigError with the host's own reason if it could not start.
        """
        self._starting = None
        document = _read_document(host)
        error = document.get("error") or {}
        if error.get("code") == ConfigError.code and may_retry:
            return True
        # A host that was ready has ended since, and a host that does not own the store was slower than another.
        if document.get("ready") is True or error.get("code") == StoreOwned.code:
            return False
        raise ConfigError(
            f"the host did not start: {error.get('message', 'it gave no reason')}",
            next_step=error.get("next") or "microclaw doctor",
        )

    def _begin_session(self, host: socket.socket) -> socket.socket:
        """Send what the client wants and, to a host that was started again, the handshake; then read its lines."""
        host.sendall(b"".join((self._hello, *self._handshake.values())))
        host.settimeout(None)
        self._host = host
        lines = host.makefile("rb")
        is_repeated = bool(self._handshake.keys() - {NO_ID})
        self._reader = threading.Thread(target=self._read, args=(lines, is_repeated), daemon=True)
        self._reader.start()
        return host

    def _read(self, lines: BinaryIO, is_repeated: bool) -> None:
        """Pass the host's lines to the client, and then fail the requests that the host did not answer.

        If the handshake `is_repeated`, its answer is left out: the client has it.
        """
        with suppress(ConnectionError):
            for line in lines:
                message = _parse_object(line)
                is_answer = "method" not in message
                message_id = json.dumps(message.get("id"))
                if is_answer:
                    self._unanswered.pop(message_id, None)
                # A refused handshake is not repeated.
                if "error" in message and message_id != NO_ID:
                    self._handshake.pop(message_id, None)
                if is_answer and is_repeated:
                    is_repeated = False
                else:
                    self._write(line)
        self._fail_requests(GONE)
        self._host = None

    def _fail_requests(self, text: str) -> None:
        """Answer all open requests with an error."""
        for request_id in list(self._unanswered):
            self._handshake.pop(request_id, None)
            original_id = self._unanswered.pop(request_id, None)
            if original_id is not None:
                error = {"code": INTERNAL_ERROR, "message": text}
                answer = {"jsonrpc": "2.0", "id": original_id, "error": error}
                self._write(json.dumps(answer).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        with self._write_lock:
            try:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                # The client is gone.
                os._exit(0)


def _has_ended(host: socket.socket) -> bool:
    """Return True if the host has closed the connection and all its lines are read."""
    try:
        return host.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _start_host(home: Path, port_words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a host that logs to a file in its home. Raises ConfigError, for example if there is no such home."""
    try:
        with (home / "mcp-host.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "microclaw", "--json", "--home", str(home), *WORDS, *port_words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
    except OSError as exc:
        raise ConfigError(f"no host can be started in {home}: {exc.strerror}", next_step="microclaw doctor") from exc


def _read_document(host: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the first line of a host that has ended: that it was ready, or its error."""
    assert host.stdout is not None
    with host.stdout:
        return _parse_object(host.stdout.readline(MAX_READY_BYTES))


def _parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line, or {} if it is not one."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        return value
    return {}
