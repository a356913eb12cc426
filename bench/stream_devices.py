"""Devices that speak and listen, many in one thread: non-blocking TLS under one epoll, no event loop above it.

A device costs about half of what it costs the host, so that the host is what reaches its limit first.
"""

from __future__ import annotations

import math
import os
import secrets
import select
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Self

from bench.link_device import START_AUDIO, WAIT_S, control_frame, hello, next_message, upgrade_request, websocket_frame
from bench.paced_stream import FRAME_S, OVER, PAYLOAD_BYTES, SAID, STAMP
from bench.processes import waited_s
from bench.report import percentile
from microclaw.wire.link.codec import decode
from microclaw.wire.link.frame import FrameType
from microclaw.wire.link.messages import Ping, Pong, Welcome

TAIL_S: Final = 0.1  # spoken on after the frames that count, so that what became of the last is told
QUIET_S: Final = 0.1
PATIENCE_S: Final = 15.0
LATE_SHARE: Final = 0.01  # with more of them late the 99th percentile is
_AT_ONCE: Final = 4
_BURST: Final = 32  # frames said in a row before it listens, and connections listened to before it speaks again
_READ_BYTES: Final = 16_384
_HEAD: Final = websocket_frame(bytes((FrameType.AUDIO_IN,)) + bytes(PAYLOAD_BYTES))[:-PAYLOAD_BYTES]
_PAD: Final = bytes(PAYLOAD_BYTES - STAMP.size)


@dataclass(slots=True)
class Heard:
    """Seconds between when a frame was due and when it came, of the frames due between `begin_s` and `end_s`."""

    begin_s: float
    end_s: float
    late_s: float
    host_heard: list[float] = field(default_factory=list)
    devices_heard: list[float] = field(default_factory=list)
    devices_said: list[float] = field(default_factory=list)
    late: int = 0
    came: int = 0  # of all frames of the host

    def note(self, due_s: float, came_s: float, where: list[float]) -> None:
        if self.begin_s <= due_s < self.end_s:
            where.append(came_s - due_s)
            if came_s - due_s > self.late_s:
                self.late += 1


@dataclass(frozen=True, slots=True)
class Conversation:
    """The findings: the worse direction's p99, infinite when it was broken off or frames are missing."""

    devices: int
    p99_s: float
    send_p99_s: float
    cpu_share: float
    waited_share: float
    lasted_s: float


class Device:
    """One connection; `linked` says whether the link's greeting comes before audio."""

    __slots__ = ("_buffer", "socket")

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.socket = connection
        self._buffer = bytearray()

    @classmethod
    def connect(cls, port: int, token: str, tls: ssl.SSLContext, *, linked: bool, address: str = "127.0.0.1") -> Self:
        plain = socket.create_connection((address, port), WAIT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        device = cls(tls.wrap_socket(plain, server_hostname="localhost"))
        device.socket.sendall(upgrade_request(token))
        while b"\r\n\r\n" not in device._buffer:
            device._receive()
        head, _, rest = bytes(device._buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode("latin-1"))
        device._buffer = bytearray(rest)
        if linked:
            device._greet()
        device.socket.setblocking(False)
        return device

    def say(self, due_s: float) -> None:
        self.socket.send(_HEAD + STAMP.pack(due_s) + _PAD)

    def listen(self, heard: Heard | None) -> None:
        """Read what is there."""
        try:
            self._receive()
        except ssl.SSLWantReadError:  # half a record
            return
        came_s = time.monotonic()
        while (found := next_message(self._buffer)) is not None:
            opcode, message = found
            if opcode != 2:
                raise ConnectionError(f"the host closed: {int.from_bytes(message[:2], 'big')} {message[2:].decode()}")
            if message[0] == FrameType.CONTROL:
                self._answer(message)
            elif heard is not None:
                heard.came += 1
                due_s, *told = SAID.unpack_from(message, 1)
                heard.note(due_s, came_s, heard.devices_heard)
                for at in range(0, len(told), 2):
                    heard.note(told[at], told[at + 1], heard.host_heard)

    def _greet(self) -> None:
        self.socket.sendall(control_frame(hello(secrets.token_bytes(16))))
        while not self._is_welcome():
            self._receive()
        self.socket.sendall(control_frame(START_AUDIO))

    def _is_welcome(self) -> bool:
        """True if a welcome was read; the host's stream may be announced before it: media go first."""
        while (found := next_message(self._buffer)) is not None:
            opcode, message = found
            if opcode != 2:
                raise ConnectionError(f"no welcome: {message!r}")
            if isinstance(decode(message[1:]).body, Welcome):
                return True
        return False

    def _receive(self) -> None:
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the host closed the connection")
        self._buffer += data

    def _answer(self, message: bytes) -> None:
        envelope = decode(message[1:])
        if isinstance(envelope.body, Ping):
            ping = envelope.body
            self.socket.send(control_frame(Pong(ping.n, ping.t0, ping.t0, ping.t0), envelope.id))


class Devices:
    """All devices of one thread. Those that do not take part in a conversation still answer the host's pings."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._all: dict[int, Device] = {}

    def connect(self, port: int, tokens: Sequence[str], tls: ssl.SSLContext, *, linked: bool) -> list[Device]:
        """One for each token, a few at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            devices = list(pool.map(lambda token: Device.connect(port, token, tls, linked=linked), tokens))
        for device in devices:
            self._all[device.socket.fileno()] = device
            self._poll.register(device.socket, select.EPOLLIN)
        self._listen(0.0, None)
        return devices

    def converse(self, devices: Sequence[Device], *, warm_s: float, lasts_s: float, late_s: float) -> Conversation:
        """Each says a frame every 20 ms, evenly apart from the others.

        Broken off when so many came later than `late_s` that the 99th percentile of a direction is later, too. The host
        speaks on until `end`. ConnectionError when not one frame came.
        """
        gap_s = FRAME_S / len(devices)
        began_s = time.monotonic()
        heard = Heard(began_s + warm_s, began_s + warm_s + lasts_s, late_s)
        expected = round(lasts_s / gap_s)
        cpu_s = time.process_time()
        delayed_s = waited_s(os.getpid())
        most_late = 2 * expected * LATE_SHARE + 1
        number = self.talk(devices, heard, began_s, most_late)
        is_broken = heard.late > most_late
        lasted_s = time.monotonic() - began_s
        cpu_s = time.process_time() - cpu_s
        delayed_s = waited_s(os.getpid()) - delayed_s
        if not heard.came:
            raise ConnectionError(f"{number} frames were said and the host answered none: the number is not the reason")
        if is_broken:
            worst_s = math.inf
        else:
            worst_s = max(_p99(heard.host_heard, expected), _p99(heard.devices_heard, expected))
        said_p99_s = percentile(heard.devices_said or [0.0], 99)
        return Conversation(len(devices), worst_s, said_p99_s, cpu_s / lasted_s, delayed_s / lasted_s, lasted_s)

    def talk(self, devices: Sequence[Device], heard: Heard, began_s: float, most_late: float = math.inf) -> int:
        """Say frames from `began_s` on and listen until those that count are over; how many were said."""
        gap_s = FRAME_S / len(devices)
        number = 0
        while (now_s := time.monotonic()) < heard.end_s + TAIL_S and heard.late <= most_late:
            due_s = began_s + number * gap_s
            for _ in range(_BURST):
                if due_s > now_s:
                    break
                devices[number % len(devices)].say(due_s)
                if due_s >= heard.begin_s:
                    heard.devices_said.append(time.monotonic() - due_s)
                number += 1
                due_s = began_s + number * gap_s
            self._listen(max(0.0, due_s - time.monotonic()), heard)
        return number

    def end(self, devices: Sequence[Device]) -> None:
        """Say that it is over, and listen until the host is silent."""
        for device in devices:
            device.say(OVER)
        give_up_s = time.monotonic() + PATIENCE_S
        while self._listen(QUIET_S, None):
            if time.monotonic() > give_up_s:
                raise TimeoutError("the host speaks on though nobody listens")

    def close(self) -> None:
        self._poll.close()
        for device in self._all.values():
            device.socket.close()

    def _listen(self, wait_s: float, heard: Heard | None) -> bool:
        events = self._poll.poll(wait_s, _BURST)
        for file, _ in events:
            self._all[file].listen(heard)
        return bool(events)


def _p99(delays_s: Sequence[float], expected: int) -> float:
    """Of as many frames as there should be: those that are missing never came."""
    missing = max(0, expected - len(delays_s))
    return percentile([*delays_s, *(math.inf,) * missing], 99)
