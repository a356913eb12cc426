"""A small MQTT 3.1.1 broker: whom a message goes to, and the bytes of one client's connection. No IO.

It keeps nothing: no retained messages, no sessions of clients that went, no wills. What mosquitto closes a connection
for, it does too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from microclaw.errors import ProtocolError
from microclaw.virtual.clock import ClockTimer
from microclaw.virtual.network.connection import Connection

MAX_PACKET_BYTES: Final = 65_536
MAX_FILTERS: Final = 64
MAX_QUALITY: Final = 2
_CONNECT: Final = 1  # the packet types, as of here (MQTT 3.1.1, 2.2.1)
_PUBLISH: Final = 3
_PUBREL: Final = 6
_SUBSCRIBE: Final = 8
_UNSUBSCRIBE: Final = 10
_PINGREQ: Final = 12
_DISCONNECT: Final = 14
_ACCEPTED: Final = b"\x20\x02\x00\x00"
_WRONG_VERSION: Final = b"\x20\x02\x00\x01"
_REFUSED_CLIENT: Final = b"\x20\x02\x00\x02"
_LEVEL_311: Final = 4
_NAME_OF_LEVEL: Final = {3: "MQIsdp", _LEVEL_311: "MQTT"}
"""The protocol's name by its level: 3.1 and 3.1.1."""
_REFUSED_FILTER: Final = 0x80
_FLAGS: Final = {_SUBSCRIBE: 2, _UNSUBSCRIBE: 2, _PUBREL: 2}
"""The flags that these packets must have; those of PUBLISH say something, and nobody looks at the others'."""
_NEVER_SENT: Final = (0, 2, 9, 15)
"""Reserved types, CONNACK and SUBACK: a client that sends one is cut off."""
_CLEAN_SESSION: Final = 2
_KEEPALIVE_SHARE_MS: Final = 1_500.0
"""A client may be silent for one and a half times the seconds of its keepalive (MQTT 3.1.1, 3.1.2.10)."""
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f-\x9f]")


def topic_fits(topic_filter: str, topic: str) -> bool:
    """Return True if a filter with its `+` and `#` is for the topic (MQTT 3.1.1, 4.7)."""
    levels = topic.split("/")
    wanted_levels = topic_filter.split("/")
    # A topic of the broker's own is for no filter that begins with a wildcard.
    if topic.startswith("$") and wanted_levels[0] in ("+", "#"):
        return False
    for place, wanted in enumerate(wanted_levels):
        if wanted == "#":
            return True
        if place >= len(levels) or wanted not in ("+", levels[place]):
            return False
    return len(levels) == len(wanted_levels)


def is_filter(text: str) -> bool:
    """Return True for a filter: `+` is a whole level of it, `#` its whole last one."""
    if not text:
        return False
    levels = text.split("/")
    if levels[-1] == "#":
        levels.pop()
    return all(level == "+" or not set("+#") & set(level) for level in levels)


class Session:
    """What one client is subscribed to; `deliver` gets the topic and the message, `cut` ends its connection."""

    def __init__(self, deliver: Callable[[str, bytes], None], cut: Callable[[], None]) -> None:
        self.deliver = deliver
        self.cut = cut
        self.filters: set[str] = set()

    def subscribe(self, topic_filter: str) -> bool:
        """Subscribe to a filter; return False if it is none, or there are too many."""
        is_new = topic_filter not in self.filters
        if not is_filter(topic_filter) or (is_new and len(self.filters) >= MAX_FILTERS):
            return False
        self.filters.add(topic_filter)
        return True

    def fits(self, topic: str) -> bool:
        return any(topic_fits(topic_filter, topic) for topic_filter in self.filters)


class Routes:
    """The clients of all brokers. `on_published` gets each message that a client sends."""

    def __init__(self, on_published: Callable[[str, bytes], None]) -> None:
        self.on_published = on_published
        self.sessions: dict[str, list[Session]] = {}

    def join(self, broker: str, session: Session) -> None:
        self.sessions.setdefault(broker, []).append(session)

    def leave(self, broker: str, session: Session) -> None:
        sessions = self.sessions.get(broker, [])
        if session in sessions:
            sessions.remove(session)

    def cut(self, broker: str) -> None:
        """End the connections of a broker's clients."""
        for session in self.sessions.pop(broker, []):
            session.cut()

    def publish(self, broker: str, topic: str, data: bytes) -> None:
        """Pass a client's message on to all of its broker that are subscribed, also to itself."""
        self.on_published(topic, data)
        self._deliver(self.sessions.get(broker, []), topic, data)

    def send_to_all(self, topic: str, data: bytes) -> bool:
        """Let a message come from outside to every broker; return False if no client is subscribed to its topic."""
        is_wanted = False
        for sessions in self.sessions.values():
            is_wanted = self._deliver(sessions, topic, data) or is_wanted
        return is_wanted

    def _deliver(self, sessions: list[Session], topic: str, data: bytes) -> bool:
        receivers = [session for session in sessions if session.fits(topic)]
        for session in receivers:
            session.deliver(topic, data)
        return bool(receivers)


class Packet(Struct, frozen=True):
    """One control packet: its type, its flags, and what follows its length."""

    kind: int
    flags: int
    body: bytes


class PacketDecoder:
    """`receive(data)`, then `next_packet()` until None. Raises ProtocolError for what is no MQTT."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive(self, data: bytes) -> None:
        self._data += data

    def next_packet(self) -> Packet | None:
        size = 0
        for place, byte in enumerate(self._data[1:5]):
            size |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return self._take(2 + place, size)
        if len(self._data) >= 5:
            raise ProtocolError("the length of an MQTT packet has at most 4 bytes")
        return None

    def _take(self, head_size: int, size: int) -> Packet | None:
        if size > MAX_PACKET_BYTES:
            raise ProtocolError(f"an MQTT packet of {size} bytes, the limit is {MAX_PACKET_BYTES}")
        end = head_size + size
        if len(self._data) < end:
            return None
        first = self._data[0]
        packet = Packet(first >> 4, first & 0x0F, bytes(self._data[head_size:end]))
        del self._data[:end]
        return packet


class BrokerPeer:
    """The broker's end of one connection; `later` calls a function after so many ms."""

    def __init__(
        self,
        connection: Connection,
        routes: Routes,
        broker: str,
        later: Callable[[float, Callable[[], None]], ClockTimer],
    ) -> None:
        self._connection = connection
        self._routes = routes
        self._broker = broker
        self._session = Session(lambda topic, data: connection.put(_publish(topic, data)), self._break_off)
        self._decoder = PacketDecoder()
        self._later = later
        self._silence_ms: float | None = None
        self._alarm: ClockTimer | None = None
        self._is_connected = False
        self._is_over = False

    def receive(self, data: bytes) -> int:
        if self._is_over:
            # As TCP does for who sends to a closed connection: its next call is an error.
            self._connection.reset()
            return len(data)
        self._decoder.receive(data)
        try:
            while not self._is_over and (packet := self._decoder.next_packet()) is not None:
                self._handle(packet)
                self._restart_keepalive()
        except ProtocolError:
            self._end()
        return len(data)

    def closed(self) -> None:
        self._is_over = True
        self._restart_keepalive()
        self._routes.leave(self._broker, self._session)

    def _end(self) -> None:
        self.closed()
        self._connection.finish()

    def _break_off(self) -> None:
        self.closed()
        self._connection.reset()

    def _restart_keepalive(self) -> None:
        """Begin again to wait for the time after which a silent client is cut off."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._silence_ms is not None and not self._is_over:
            self._alarm = self._later(self._silence_ms, self._end)

    def _handle(self, packet: Packet) -> None:
        if self._is_connected == (packet.kind == _CONNECT):
            raise ProtocolError("CONNECT comes first, and once")
        if packet.kind in _NEVER_SENT:
            raise ProtocolError(f"no client sends a packet of type {packet.kind}")
        if packet.flags != _FLAGS.get(packet.kind, packet.flags):
            raise ProtocolError(f"a packet of type {packet.kind} with the flags {packet.flags}")
        body = _Reader(packet.body)
        if packet.kind == _CONNECT:
            self._connect(body)
        elif packet.kind == _PUBLISH:
            self._publish(packet.flags, body)
        elif packet.kind == _PUBREL:
            self._connection.put(b"\x70\x02" + body.take(2))
        elif packet.kind == _SUBSCRIBE:
            self._subscribe(body)
        elif packet.kind == _UNSUBSCRIBE:
            self._unsubscribe(body)
        elif packet.kind == _PINGREQ:
            self._connection.put(b"\xd0\x00")
        elif packet.kind == _DISCONNECT:
            self._end()

    def _connect(self, body: _Reader) -> None:
        name = body.text()
        if name not in _NAME_OF_LEVEL.values():
            raise ProtocolError(f"the protocol {name!r:.20} is not MQTT")
        level = body.take(1)[0]
        if _NAME_OF_LEVEL.get(level) != name:
            self._connection.put(_WRONG_VERSION)
            raise ProtocolError(f"MQTT of level {level}")
        flags = body.take(1)[0]
        keepalive_s = int.from_bytes(body.take(2), "big")
        client_id = body.text()
        # From 3.1.1 on a client whose session ends with its connection needs no id (MQTT 3.1.1, 3.1.3.1).
        may_be_nameless = level == _LEVEL_311 and flags & _CLEAN_SESSION
        if not client_id and not may_be_nameless:
            self._connection.put(_REFUSED_CLIENT)
            raise ProtocolError("a client without an id")
        if keepalive_s:
            self._silence_ms = keepalive_s * _KEEPALIVE_SHARE_MS
        self._is_connected = True
        self._routes.join(self._broker, self._session)
        self._connection.put(_ACCEPTED)

    def _publish(self, flags: int, body: _Reader) -> None:
        topic = body.text()
        if not topic or set("#+") & set(topic):
            raise ProtocolError("a topic of a message has no wildcards")
        quality = flags >> 1 & 3
        if quality > MAX_QUALITY:
            raise ProtocolError(f"a message of QoS {quality}")
        if quality:
            # PUBACK, or PUBREC of the two steps of QoS 2.
            kind = b"\x40\x02" if quality == 1 else b"\x50\x02"
            self._connection.put(kind + body.number())
        self._routes.publish(self._broker, topic, body.rest())

    def _subscribe(self, body: _Reader) -> None:
        message_id = body.number()
        filters: list[str] = []
        while body.has_more or not filters:
            filters.append(body.filter())
            quality = body.take(1)[0]
            if quality > MAX_QUALITY:
                raise ProtocolError(f"a subscription of QoS {quality}")
        codes = [0 if self._session.subscribe(topic_filter) else _REFUSED_FILTER for topic_filter in filters]
        self._connection.put(_packet(0x90, message_id + bytes(codes)))

    def _unsubscribe(self, body: _Reader) -> None:
        message_id = body.number()
        filters: list[str] = []
        while body.has_more or not filters:
            filters.append(body.filter())
        self._session.filters.difference_update(filters)
        self._connection.put(_packet(0xB0, message_id))


class _Reader:
    """Reads the fields of a packet; raises ProtocolError where one is missing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise ProtocolError("an MQTT packet that ends too early")
        self._at += size
        return data

    def number(self) -> bytes:
        """Take the number of a message, which is never 0."""
        number = self.take(2)
        if not any(number):
            raise ProtocolError("a message has the number 0")
        return number

    def text(self) -> str:
        size = int.from_bytes(self.take(2), "big")
        try:
            text = self.take(size).decode()
        except UnicodeDecodeError as exc:
            raise ProtocolError("a text of an MQTT packet is not UTF-8") from exc
        if _CONTROL.search(text):
            raise ProtocolError("a text of an MQTT packet has control characters")
        return text

    def filter(self) -> str:
        text = self.text()
        if not is_filter(text):
            raise ProtocolError(f"{text!r:.80} is no filter of topics")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


def _publish(topic: str, data: bytes) -> bytes:
    name = topic.encode()
    return _packet(0x30, len(name).to_bytes(2, "big") + name + data)


def _packet(first: int, body: bytes) -> bytes:
    head = bytearray((first,))
    size = len(body)
    while True:
        byte = size & 0x7F
        size >>= 7
        if not size:
            head.append(byte)
            return bytes(head) + body
        head.append(byte | 0x80)
