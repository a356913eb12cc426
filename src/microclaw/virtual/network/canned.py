"""The network of a board that has none: lines of expectations answer its programs, and what they say is recorded.

Nothing leaves the board. It has the methods of board_network.py, at once and on the board's clock. HTTP servers answer
by their lines, MQTT brokers pass messages on, and clients ask the program's own servers, whose ports are open here.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, assert_never

from microclaw.errors import CallRejected
from microclaw.virtual.clock import Clock, ClockTimer
from microclaw.virtual.network.board_network import GONE, MAX_SOCKETS, READABLE, WRITABLE
from microclaw.virtual.network.canned_hosts import CannedHosts
from microclaw.virtual.network.connection import Connection, Peer, PipePeer
from microclaw.virtual.network.mqtt_broker import BrokerPeer, Routes, Session
from microclaw.virtual.network.reach import host_refusal
from microclaw.virtual.network.traffic import Traffic
from microclaw.wire.board_replies import TrafficRow
from microclaw.wire.canned_lines import (
    Broker,
    BrokerAway,
    BrokerMessage,
    CannedLine,
    HttpAnswer,
    PageRequest,
    request_text,
)
from microclaw.wire.fair_ring import FairPage

if TYPE_CHECKING:
    from microclaw.virtual.network.http_peers import HttpRequest, HttpServer, PageAnswer

ITSELF: Final = "127.0.0.1"
"""The board, for its own programs."""
MAX_BACKLOG: Final = 5
MAX_LINES: Final = 10_000
ENOENT: Final = 2  # newlib's numbers, from here on
EBADF: Final = 9
EACCES: Final = 13
ENFILE: Final = 23
ECONNRESET: Final = 104
ECONNREFUSED: Final = 111
EADDRINUSE: Final = 112
EHOSTUNREACH: Final = 118


class _Listener:
    """An open port of a program, with the connections that it has not accepted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.waiting: deque[Connection] = deque()


class CannedSession:
    """A client's session at a broker, in messages in place of bytes. Any thread may call."""

    def __init__(self, lock: threading.RLock, routes: Routes, broker: str, session: Session) -> None:
        self._lock = lock
        self._routes = routes
        self._broker = broker
        self._session = session
        routes.join(broker, session)

    def publish(self, topic: str, data: bytes) -> None:
        with self._lock:
            self._routes.publish(self._broker, topic, data)

    def subscribe(self, topic_filter: str) -> bool:
        """Subscribe to a filter; return False if it is none, or there are too many."""
        with self._lock:
            return self._session.subscribe(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        with self._lock:
            self._session.filters.discard(topic_filter)

    def leave(self) -> None:
        """Disconnect."""
        with self._lock:
            self._routes.leave(self._broker, self._session)


class CannedNetwork:
    """The sockets of a board whose network is canned. Any thread may call; `on_change` is called under its lock."""

    def __init__(self, clock: Clock) -> None:
        self.on_change: Callable[[int], None] = _nothing
        self.ask_app: Callable[[bytes, Callable[[bytes], None]], bool] = lambda _request, _answer: False
        """Give an HTTP request to a program that has pages and no port, its answer to the function; False: none has."""
        self._clock = clock
        self._lock = threading.RLock()
        self._hosts = CannedHosts()
        self._traffic = Traffic(clock)
        self._routes = Routes(lambda topic, data: self._traffic.note("published", topic, data=data))
        self._numbers = itertools.count(1)
        self._connections: dict[int, Connection] = {}
        self._refusing: set[int] = set()
        self._listeners: dict[int, _Listener] = {}
        self._line_count = 0

    # The test bench's side.

    def add(self, lines: Sequence[CannedLine]) -> None:
        """Add lines. Raises CallRejected if there are too many."""
        with self._lock:
            self._line_count += len(lines)
            if self._line_count > MAX_LINES:
                raise CallRejected(f"more than {MAX_LINES:,} lines of a network", next_step="give fewer lines")
            for line in lines:
                self._add(line)

    def traffic(self, since: int = 0, limit: int | None = None) -> FairPage[TrafficRow]:
        """Return what was said, from a row's number on."""
        with self._lock:
            return self._traffic.since(since, limit)

    def power_cut(self) -> None:
        """Forget every connection and listener; the lines stay, and a broker that is away stays away until its time.

        What was to come is gone with the clock's time.
        """
        with self._lock:
            self._connections.clear()
            self._refusing.clear()
            self._listeners.clear()
            self._routes.sessions.clear()

    def _add(self, line: CannedLine) -> None:
        match line:
            case HttpAnswer() | Broker():
                self._hosts.add(line)
            case BrokerAway(at_ms=at_ms):
                self._hosts.add(Broker(line.host, line.port))
                self._call_now_or_at(at_ms, lambda: self._begin_absence(line))
            case BrokerMessage(at_ms=at_ms):
                self._call_now_or_at(at_ms, lambda: self._send_message(line))
            case PageRequest(at_ms=at_ms):
                self._call_now_or_at(at_ms, lambda: self._ask_page(line))
            case _:
                assert_never(line)

    # The programs' side: docs in board_network.py.

    def look_up(self, host: str) -> str:
        """Return the address of a host; OSError if no line is for it."""
        with self._lock:
            address = self._hosts.look_up(host)
            if address is None:
                self._traffic.note("unknown", host)
                raise OSError(-ENOENT, f"no line of the expectations answers for {host}")
            return address

    def connect(self, host: str, port: int) -> int:
        """Begin a connection with a host of the lines, or with a listener of the board's own."""
        with self._lock:
            connection = Connection()
            if host == ITSELF:
                connection.peer = self._connect_to_itself(port, connection)
            else:
                connection.peer = self._peer(self._hosts.name_of(host), port, connection)
            handle = self._keep(connection)
            if connection.peer is None:
                self._refusing.add(handle)
            return handle

    def is_open(self, handle: int) -> bool:
        """Return True, or raise OSError if the peer refused."""
        with self._lock:
            self._connection(handle)
            if handle in self._refusing:
                raise OSError(ECONNREFUSED, "refused")
            return True

    def events(self, handle: int) -> int:
        """Return what can be done at once; a peer of the lines takes bytes at any time."""
        with self._lock:
            listener = self._listeners.get(handle)
            if listener is not None:
                return READABLE if listener.waiting else 0
            connection = self._connections.get(handle)
            if connection is None or connection.is_reset or handle in self._refusing:
                return READABLE | WRITABLE | GONE
            return WRITABLE | (READABLE if connection.is_readable else 0)

    def listen(self, port: int) -> int:
        """Open a port; OSError if it is open already."""
        with self._lock:
            if any(listener.port == port for listener in self._listeners.values()):
                raise OSError(EADDRINUSE, f"port {port} is open already")
            self._check_room()
            handle = next(self._numbers)
            self._listeners[handle] = _Listener(port)
            self._traffic.note("listening", f":{port}")
            return handle

    def accept(self, handle: int) -> int | None:
        """Return the next connection of a listener, or None."""
        with self._lock:
            listener = self._listeners.get(handle)
            if listener is None:
                raise OSError(EBADF, "no listener")
            if not listener.waiting:
                return None
            return self._keep(listener.waiting.popleft())

    def send(self, handle: int, data: bytes) -> int | None:
        """Send bytes; return how many were taken, None if there is no room yet."""
        with self._lock:
            peer = self._connection(handle).peer
            if peer is None:
                raise OSError(ECONNREFUSED, "refused")
            if not data:
                return 0
            return peer.receive(data) or None

    def receive(self, handle: int, most: int) -> bytes | None:
        """Return bytes, b"" at the end, None if nothing has come yet."""
        with self._lock:
            connection = self._connection(handle)
            data = connection.take(most)
            if data and isinstance(connection.peer, PipePeer):
                connection.peer.note_room()
            return data

    def close(self, handle: int) -> None:
        """Close a connection or a listener."""
        with self._lock:
            self._listeners.pop(handle, None)
            self._refusing.discard(handle)
            connection = self._connections.pop(handle, None)
            if connection is not None:
                connection.on_change = lambda: None
            if connection is not None and connection.peer is not None:
                connection.peer.closed()

    def _keep(self, connection: Connection) -> int:
        self._check_room()
        handle = next(self._numbers)
        self._connections[handle] = connection
        connection.on_change = lambda: self.on_change(handle)
        return handle

    def _check_room(self) -> None:
        if len(self._connections) + len(self._listeners) >= MAX_SOCKETS:
            raise OSError(ENFILE, f"{MAX_SOCKETS} sockets are open already")

    def _connection(self, handle: int) -> Connection:
        connection = self._connections.get(handle)
        if connection is None:
            raise OSError(EBADF, "no connection")
        if connection.is_reset:
            raise OSError(ECONNRESET, "the peer broke the connection off")
        return connection

    # The firmware's own HTTP and MQTT clients, for C programs.

    def check_place(self, host: str, port: int) -> None:
        """Raise OSError, and note it, for a host that no program may talk to, even if a line has it."""
        why = host_refusal(host)
        if why is not None:
            with self._lock:
                self._traffic.note("unknown", f"{host}:{port}")
            raise OSError(EACCES, why)

    def join_broker(self, host: str, port: int, session: Session) -> CannedSession | None:
        """Connect to a broker; None if no line is for it. OSError if it is away."""
        with self._lock:
            name = self._hosts.name_of(host)
            if not self._hosts.has_broker(name, port):
                self._traffic.note("unknown", f"{name}:{port}")
                return None
            if self._is_away(name, port):
                raise OSError(ECONNREFUSED, "refused")
            return CannedSession(self._lock, self._routes, f"{name}:{port}", session)

    # Who answers.

    def _peer(self, host: str, port: int, connection: Connection) -> Peer | None:
        """Return a host's end of a connection, None if it refuses. OSError if no line is for the host."""
        if self._hosts.has_broker(host, port) and self._is_away(host, port):
            return None
        if self._hosts.has_broker(host, port):
            return BrokerPeer(connection, self._routes, f"{host}:{port}", self._call_after)
        if not self._hosts.has_server(host, port):
            self._traffic.note("unknown", f"{host}:{port}")
            raise OSError(EHOSTUNREACH, f"no line of the expectations answers for {host}:{port}")
        if self._hosts.refuses(host, port):
            self._traffic.note("asked", f"{host}:{port}", data=b"refused")
            return None
        from microclaw.virtual.network.http_peers import HttpServer  # h11 is for programs that use HTTP

        return HttpServer(connection, lambda server, request: self._answer(host, port, server, request))

    def _is_away(self, host: str, port: int) -> bool:
        """Return True, and note it, if a broker refuses because it is away."""
        is_away = self._hosts.is_away(host, port, self._clock.total_ms())
        if is_away:
            self._traffic.note("asked", f"{host}:{port}", data=b"refused")
        return is_away

    def _connect_to_itself(self, port: int, connection: Connection) -> Peer | None:
        """Return the end of a listener of this board's, None if there is none."""
        served = Connection()
        served.peer = PipePeer(connection)
        if self._add_to_backlog(port, served):
            return PipePeer(served)
        return None

    def _add_to_backlog(self, port: int, connection: Connection) -> bool:
        """Let a connection wait at an open port; return False if the port is not open or has no room."""
        for handle, listener in self._listeners.items():
            if listener.port == port and len(listener.waiting) < MAX_BACKLOG:
                listener.waiting.append(connection)
                self.on_change(handle)
                return True
        return False

    def _answer(self, host: str, port: int, server: HttpServer, request: HttpRequest) -> None:
        """Answer a request to a server of the lines."""
        what = request_text(request.method, host, port, request.target)
        answer = self._hosts.next_answer(host, port, request.method, request.target)
        if answer is None:
            self._traffic.note("unknown", what, data=request.body)
            missing = HttpAnswer(request.method, host, status=404, text="no line of the expectations answers this\n")
            self._call_after(missing.delay_ms, lambda: server.reply(missing))
            return
        status = answer.status if answer.kind == "answer" else None
        self._traffic.note("asked", what, status=status, data=request.body)
        if answer.kind == "answer":
            self._call_after(answer.delay_ms, lambda: server.reply(answer))
        elif answer.kind == "refused":
            server.break_off()

    def _call_after(self, delay_ms: float, act: Callable[[], None]) -> ClockTimer:
        """Act after a time under the lock."""
        return self._call_at(self._clock.now_ms() + delay_ms, act)

    def _call_now_or_at(self, t_ms: float | None, act: Callable[[], None]) -> None:
        """Act at a board time under the lock; None: now."""
        if t_ms is None:
            act()
        else:
            self._call_at(t_ms, act)

    def _call_at(self, t_ms: float, act: Callable[[], None]) -> ClockTimer:
        def locked() -> None:
            with self._lock:
                act()

        return self._clock.call_at(t_ms, locked)

    def _begin_absence(self, line: BrokerAway) -> None:
        now_ms = self._clock.total_ms()
        self._hosts.begin_absence(line, now_ms)
        for broker in tuple(self._routes.sessions):
            host, _, port = broker.rpartition(":")
            if self._hosts.is_away(host, int(port), now_ms):
                self._routes.cut(broker)

    def _send_message(self, message: BrokerMessage) -> None:
        data = message.text.encode()
        is_wanted = self._routes.send_to_all(message.topic, data)
        self._traffic.note("received" if is_wanted else "lost", message.topic, data=data)

    # The clients of the program's own server.

    def _ask_page(self, request: PageRequest) -> None:
        from microclaw.virtual.network.http_peers import PageClient

        client = PageClient(request, lambda answer: self._note_answer(request, answer))
        connection = Connection()
        connection.peer = client
        connection.put(client.request_bytes)

        def receive(answer: bytes) -> None:
            with self._lock:
                client.receive_all(answer)

        if self._add_to_backlog(request.port, connection) or self.ask_app(client.request_bytes, receive):
            return
        text = f"nothing takes connections on port {request.port}"
        self._traffic.note("closed", _what_of(request), data=text.encode(), request=request.number)

    def _note_answer(self, request: PageRequest, answer: PageAnswer) -> None:
        what = _what_of(request)
        self._traffic.note("answered", what, status=answer.status, data=answer.body, request=request.number)


def _what_of(request: PageRequest) -> str:
    return f"{request.method} :{request.port}{request.path}"


def _nothing(_handle: int) -> None:
    """Tell nobody: no interpreter runs."""
