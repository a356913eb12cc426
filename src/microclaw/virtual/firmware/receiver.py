"""The receiving half of WAMR's application manager: bytes in, requests out, with the mistakes of the real one. No IO.

It does what `on_imrt_link_byte_arrive` and `wasm_app_module_on_install_request_byte_arrive` of WAMR 1.3 do byte for
byte, but chunk by chunk. There are two machines: one for frames (`12 34`, type, length, payload) and one for installs,
which gets the payload of type 4 as it arrives. Neither is reset when a connection ends, and the second keeps its state
even when its frame ends. The real device's mistakes come from there: an interrupted install eats the first bytes of the
next connection, a module that ends inside a section makes every later install stay without an answer, and so on.

One difference is on purpose: after a claimed length over 1 MiB the firmware's allocation fails, and a counter that it
leaves behind blocks the connection. Here such a frame is dropped, and the search for the next one goes on.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator
from struct import Struct
from typing import TypeAlias, cast

import msgspec

from microclaw.wire.wasm_binary import HEADER
from microclaw.wire.wasmachine.frame import MessageType
from microclaw.wire.wasmachine.request import PROTOCOL_VERSION, RequestAction, WasmachineRequest

MAX_PAYLOAD_BYTES = 1024 * 1024
HEAD = Struct(">BBHIIHI")  # version, action, format, mid, sender, url length, body length
MAGIC = HEADER[:4]
VERSION = HEADER[4:]
LAST_SECTION_TYPE = 12  # data count: firmware is built with bulk memory
MAX_LEB_BYTES = 5


class InstallRequest(WasmachineRequest, frozen=True):
    """A whole module arrived, as the body."""


class RefusedInstall(msgspec.Struct, frozen=True):
    """The stream was refused half-way: answer `text` to `mid`."""

    mid: int
    text: str


class UnexpectedType(msgspec.Struct, frozen=True):
    type: int


Arrival: TypeAlias = WasmachineRequest | RefusedInstall | UnexpectedType


class RequestReceiver:
    """`receive(data)`, then `next_arrival()` until None. Never raises: no bytes can upset it more than the real one."""

    def __init__(self, *, max_module_bytes: int) -> None:
        self._max_module_bytes = max_module_bytes
        self._arrived: deque[Arrival] = deque()
        self._data = b""
        self._at = 0
        self._claimed = 0  # the length of the present frame
        self._begin_install()
        self._reading = self._read_frames()
        next(self._reading)

    def receive(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        next(self._reading)

    def next_arrival(self) -> Arrival | None:
        if self._arrived:
            return self._arrived.popleft()
        return None

    # Frames. Each of these generators yields when it needs more bytes than have come.

    def _some(self, most: int) -> Generator[None, None, bytes]:
        """At least one byte, at most so many of those that are here."""
        while self._at >= len(self._data):
            yield
        part = self._data[self._at : self._at + most]
        self._at += len(part)
        return part

    def _exactly(self, size: int) -> Generator[None, None, bytes]:
        data = bytearray()
        while len(data) < size:
            data += yield from self._some(size - len(data))
        return bytes(data)

    def _read_frames(self) -> Generator[None, None, None]:
        is_short = False  # set by a request that does not add up: every later type is read one byte short
        kind = 0
        while True:
            yield from self._hunt()
            if (yield from self._some(1)) != b"\x34":
                continue
            if is_short:
                mixed = kind | (yield from self._some(1))[0] << 8
                kind = (mixed & 0xFF) << 8 | mixed >> 8
            else:
                kind = int.from_bytes((yield from self._exactly(2)), "big")
            self._claimed = int.from_bytes((yield from self._exactly(4)), "big")
            if self._claimed > MAX_PAYLOAD_BYTES:
                continue
            is_short = False
            if self._claimed and kind == MessageType.INSTALL:
                yield from self._feed_install()
            elif self._claimed:
                payload = yield from self._exactly(self._claimed)
                if kind != MessageType.REQUEST:
                    self._arrived.append(UnexpectedType(kind))
                    continue
                request = unpack_request(payload)
                if request is None:
                    is_short = True
                else:
                    self._arrived.append(request)

    def _hunt(self) -> Generator[None, None, None]:
        while (start := self._data.find(0x12, self._at)) < 0:
            self._at = len(self._data)
            yield
        self._at = start + 1

    # Installs

    def _begin_install(self) -> None:
        # The bytes of the install, over frames and connections.
        self._received = 0
        self._install = self._read_install()
        self._wanted = next(self._install)

    def _feed_install(self) -> Generator[None, None, None]:
        """Give the install the frame's bytes, never more than the frame claims, as the device counts it."""
        taken = 0
        while True:
            room = self._claimed - self._received
            most = self._wanted
            if room > 0:
                most = min(most, room)
            part = yield from self._some(most)
            taken += len(part)
            self._received += len(part)
            try:
                self._wanted = self._install.send(part)
            except StopIteration as end:
                self._begin_install()
                arrival: InstallRequest | RefusedInstall | None = end.value
                if arrival is not None:
                    self._arrived.append(arrival)
                # The rest of a refused install is ignored.
                while taken < self._claimed and not isinstance(arrival, InstallRequest):
                    taken += len((yield from self._some(self._claimed - taken)))
                return
            if self._received == self._claimed:
                return

    def _read_install(self) -> Generator[int, bytes, InstallRequest | RefusedInstall | None]:
        """Read one install: yield how many bytes it takes at most, and be sent one at least."""
        head = yield 1
        if head[0] != PROTOCOL_VERSION:
            return None
        head += yield from _take(HEAD.size - len(head))
        mid = int.from_bytes(head[4:8], "big")
        url = yield from _take(int.from_bytes(head[12:14], "big"))
        try:
            wasm = yield from self._read_module()
        except _ModuleRefused as refusal:
            return RefusedInstall(mid, f"Install WASM app failed: {refusal}")
        return InstallRequest(cast("RequestAction", head[1]), _text(url), mid, bytes(wasm))

    def _read_module(self) -> Generator[int, bytes, bytearray]:
        """Read sections until the end of one is the end of the frame."""
        wasm = bytearray()
        wasm += yield from _take(len(MAGIC))
        if wasm != MAGIC:
            raise _ModuleRefused("invalid file format.")
        for expected in VERSION:
            wasm += yield 1
            if wasm[-1] != expected:
                raise _ModuleRefused("invalid WASM version.")
        while True:
            yield from self._read_section(wasm)
            if self._received == self._claimed:
                return wasm

    def _read_section(self, wasm: bytearray) -> Generator[int, bytes, None]:
        section_type = (yield 1)[0]
        if section_type > LAST_SECTION_TYPE:
            raise _ModuleRefused(f"invalid wasm section type {section_type}")
        if len(wasm) >= self._max_module_bytes:
            raise _ModuleRefused("allocate memory failed.")
        wasm.append(section_type)
        size = 0
        shift = 0
        while shift == 0 or wasm[-1] & 0x80:
            wasm += yield 1
            size = (size | (wasm[-1] & 0x7F) << shift) & 0xFFFF_FFFF
            shift += 7
            if shift > 7 * MAX_LEB_BYTES:
                raise _ModuleRefused("LEB overflow when parsing section size")
        if len(wasm) + size > self._max_module_bytes:
            raise _ModuleRefused("allocate memory failed")
        wasm += yield from _take(size)


class _ModuleRefused(Exception):
    """The firmware refuses the module in these words."""


def _take(size: int) -> Generator[int, bytes, bytes]:
    """Take so many bytes. A size of 0 is counted past and never met, so that all bytes that follow are swallowed."""
    while size == 0:
        yield MAX_PAYLOAD_BYTES
    data = bytearray()
    while len(data) < size:
        data += yield size - len(data)
    return bytes(data)


def unpack_request(payload: bytes) -> WasmachineRequest | None:
    """Read a request as the device does, which takes any number for an action; return None if it is broken."""
    if len(payload) < HEAD.size or payload[0] != PROTOCOL_VERSION:
        return None
    _, action, form, mid, sender, url_size, body_size = HEAD.unpack_from(payload)
    if len(payload) != HEAD.size + url_size + body_size:
        return None
    url = payload[HEAD.size :][:url_size]
    body = payload[HEAD.size + url_size :]
    if url and url[-1]:
        return None
    return WasmachineRequest(action, _text(url), mid, body, form, sender)


def _text(c_string: bytes) -> str:
    return c_string.split(b"\0", 1)[0].decode("utf-8", "replace")


def url_tail(url: str, leading: str) -> str | None:
    """Return the part of the url after `leading`, without the `/` or `?` between; None if it is another path.

    As WAMR's check_url_start: "/abc" leads "/abc", "/abc/x" and "/abc?x", not "/abcd"; leading slashes are optional.
    """
    bare = url.removeprefix("/")
    lead = leading.strip("/")
    if not lead or not bare.startswith(lead):
        return None
    rest = bare[len(lead) :]
    if not rest or rest[0] in "/?":
        return rest[1:]
    return None


def url_value(tail: str, key: str, max_bytes: int) -> str:
    """Return the value of `key=` between `&`s, cut as the device's buffer cuts it; "" if it is missing."""
    for part in tail.split("&"):
        name, equals, value = part.lstrip(" ").partition("=")
        if equals and name == key:
            return value.encode()[:max_bytes].decode("utf-8", "replace")
    return ""


def url_number(tail: str, key: str, default: int) -> int:
    """Return the number that atoi makes of the value's first 9 characters; a value that is no number is 0."""
    text = url_value(tail, key, 9)
    if not text:
        return default
    return int(re.split("[^0-9]", text.lstrip(" "), maxsplit=1)[0] or 0)
