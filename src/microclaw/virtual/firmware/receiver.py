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

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

MAX_PAYLOAD_BYTES = 1024 * 1024
INSTALL_TYPE = 4
REQUEST_TYPE = 2
REQUEST_VERSION = 1
HEAD_BYTES = 18  # version, action, format, mid, sender, url length, body length
MAGIC = b"\0asm"
VERSION = b"\x01\0\0\0"
LAST_SECTION_TYPE = 12  # data count: firmware is built with bulk memory
MAX_LEB_BYTES = 5


class HostRequest(Struct, frozen=True):
    action: int
    format: int
    mid: int
    url: str
    body: bytes


class InstallRequest(Struct, frozen=True):
    """A whole module arrived; `action` is whatever the host put there."""

    action: int
    mid: int
    url: str
    wasm: bytes


class RefusedInstall(Struct, frozen=True):
    """The stream was refused half-way: answer `text` to `mid`."""

    mid: int
    text: str


class UnexpectedType(Struct, frozen=True):
    type: int


Arrival: TypeAlias = HostRequest | InstallRequest | RefusedInstall | UnexpectedType


class RequestReceiver:
    """`receive(data)`, then `next_arrival()` until None. Never raises: no bytes can upset it more than the real one."""

    def __init__(self, *, max_module_bytes: int) -> None:
        # The phase: takes some of data[at:] and answers where the rest begins.
        self._take: Callable[[bytes, int], int] = self._hunt
        self._short_type = False  # set by a request that does not add up: every later type is read one byte short
        self._type = 0
        self._claimed = 0
        self._taken = 0
        self._field = bytearray()
        self._install = _InstallStream(max_module_bytes)
        self._arrived: deque[Arrival] = deque()

    def receive(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            at = self._take(data, at)

    def next_arrival(self) -> Arrival | None:
        return self._arrived.popleft() if self._arrived else None

    def _hunt(self, data: bytes, at: int) -> int:
        found = data.find(0x12, at)
        if found < 0:
            return len(data)
        self._field.clear()
        self._take = self._take_leading
        return found + 1

    def _take_leading(self, data: bytes, at: int) -> int:
        self._take = self._take_type if data[at] == 0x34 else self._hunt
        return at + 1

    def _take_type(self, data: bytes, at: int) -> int:
        if self._short_type:
            mixed = self._type | data[at] << 8
            self._type = (mixed & 0xFF) << 8 | mixed >> 8
        else:
            self._field.append(data[at])
            if len(self._field) < 2:
                return at + 1
            self._type = int.from_bytes(self._field, "big")
        self._field.clear()
        self._take = self._take_size
        return at + 1

    def _take_size(self, data: bytes, at: int) -> int:
        self._field.append(data[at])
        if len(self._field) == 4:
            self._claimed = int.from_bytes(self._field, "big")
            self._field.clear()
            if self._claimed == 0:
                self._complete()
            elif self._claimed > MAX_PAYLOAD_BYTES:
                self._take = self._hunt
            else:
                self._taken = 0
                self._take = self._feed_install if self._type == INSTALL_TYPE else self._take_payload
        return at + 1

    def _take_payload(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._claimed - len(self._field))
        self._field += data[at:end]
        if len(self._field) == self._claimed:
            payload = bytes(self._field)
            self._field.clear()
            if self._type != REQUEST_TYPE:
                self._arrived.append(UnexpectedType(self._type))
            elif (request := unpack_request(payload)) is not None:
                self._arrived.append(request)
            else:
                self._take = self._hunt
                self._short_type = True
                return end
            self._complete()
        return end

    def _feed_install(self, data: bytes, at: int) -> int:
        end, arrival, alive = self._install.feed(data, at, self._claimed)
        self._taken += end - at
        if arrival is not None:
            self._arrived.append(arrival)
        if alive and self._install.received == self._claimed:
            self._complete()
        elif not alive:
            self._take = self._ignore
            if self._taken >= self._claimed:
                self._complete()
        return end

    def _ignore(self, data: bytes, at: int) -> int:
        """The rest of a refused install."""
        end = min(len(data), at + self._claimed - self._taken)
        self._taken += end - at
        if self._taken == self._claimed:
            self._complete()
        return end

    def _complete(self) -> None:
        self._take = self._hunt
        self._short_type = False


class _InstallStream:
    """The install's own machine; `received` counts since its last start, over frames and connections."""

    def __init__(self, max_module_bytes: int) -> None:
        self._max_module_bytes = max_module_bytes
        self.received = 0
        self._reset()

    def feed(self, data: bytes, at: int, claimed: int) -> tuple[int, Arrival | None, bool]:
        """Take some of data[at:], never beyond the frame's claim: new position, what arrived, whether it goes on."""
        if not self._head:
            self.received = 0
        room = claimed - self.received
        end = len(data) if room <= 0 else min(len(data), at + room)
        if self._step not in (self._take_url, self._take_section_body):
            end = min(end, at + HEAD_BYTES)  # small fields: do not copy a whole chunk for each
        took, refusal = self._step(data[at:end])
        self.received += took
        if refusal is not None:
            mid = self._mid
            self._reset()
            return at + took, RefusedInstall(mid, refusal) if refusal else None, False
        if self._step == self._take_section_type and self._finished_section and self.received == claimed:
            arrival = InstallRequest(self._head[1], self._mid, _text(self._url), bytes(self._wasm))
            self._reset()
            return at + took, arrival, True
        return at + took, None, True

    def _reset(self) -> None:
        self._step: Callable[[bytes], tuple[int, str | None]] = self._take_head
        self._head = bytearray()
        self._url = bytearray()
        self._wasm = bytearray()
        self._left = 0
        self._shift = 0
        self._finished_section = False

    @property
    def _mid(self) -> int:
        return int.from_bytes(self._head[4:8], "big")

    # Each takes some of its field: how many bytes, and the refusal's text ("" when the real one says nothing).

    def _take_head(self, chunk: bytes) -> tuple[int, str | None]:
        part = chunk[: HEAD_BYTES - len(self._head)]
        if not self._head and part[0] != REQUEST_VERSION:
            return 1, ""
        self._head += part
        if len(self._head) == HEAD_BYTES:
            self._left = int.from_bytes(self._head[12:14], "big")
            self._step = self._take_url
        return len(part), None

    def _take_url(self, chunk: bytes) -> tuple[int, str | None]:
        if self._left == 0:  # a length of 0 is counted past and never met: the rest is swallowed
            return len(chunk), None
        part = chunk[: self._left]
        self._url += part
        self._left -= len(part)
        if self._left == 0:
            self._step = self._take_magic
        return len(part), None

    def _take_magic(self, chunk: bytes) -> tuple[int, str | None]:
        part = chunk[: len(MAGIC) - len(self._wasm)]
        self._wasm += part
        if len(self._wasm) == len(MAGIC):
            if self._wasm != MAGIC:
                return len(part), "Install WASM app failed: invalid file format."
            self._step = self._take_version
        return len(part), None

    def _take_version(self, chunk: bytes) -> tuple[int, str | None]:
        if chunk[0] != VERSION[len(self._wasm) - len(MAGIC)]:
            return 1, "Install WASM app failed: invalid WASM version."
        self._wasm.append(chunk[0])
        if len(self._wasm) == len(MAGIC) + len(VERSION):
            self._step = self._take_section_type
        return 1, None

    def _take_section_type(self, chunk: bytes) -> tuple[int, str | None]:
        if chunk[0] > LAST_SECTION_TYPE:
            return 1, f"Install WASM app failed: invalid wasm section type {chunk[0]}"
        if len(self._wasm) >= self._max_module_bytes:
            return 1, "Install WASM app failed: allocate memory failed."
        self._wasm.append(chunk[0])
        self._left = self._shift = 0
        self._step = self._take_section_size
        return 1, None

    def _take_section_size(self, chunk: bytes) -> tuple[int, str | None]:
        byte = chunk[0]
        self._wasm.append(byte)
        self._left = (self._left | (byte & 0x7F) << self._shift) & 0xFFFF_FFFF
        self._shift += 7
        if self._shift > 7 * MAX_LEB_BYTES:
            return 1, "Install WASM app failed: LEB overflow when parsing section size"
        if byte & 0x80 == 0:
            if len(self._wasm) + self._left > self._max_module_bytes:
                return 1, "Install WASM app failed: allocate memory failed"
            self._step = self._take_section_body
            self._finished_section = False
        return 1, None

    def _take_section_body(self, chunk: bytes) -> tuple[int, str | None]:
        if self._left == 0:  # as with the url: an empty section never ends
            return len(chunk), None
        part = chunk[: self._left]
        self._wasm += part
        self._left -= len(part)
        if self._left == 0:
            self._step = self._take_section_type
            self._finished_section = True
        return len(part), None


def unpack_request(payload: bytes) -> HostRequest | None:
    if len(payload) < HEAD_BYTES or payload[0] != REQUEST_VERSION:
        return None
    url_len, body_len = int.from_bytes(payload[12:14], "big"), int.from_bytes(payload[14:18], "big")
    if len(payload) != HEAD_BYTES + url_len + body_len:
        return None
    url, body = payload[HEAD_BYTES : HEAD_BYTES + url_len], payload[HEAD_BYTES + url_len :]
    if url and url[-1] != 0:
        return None
    mid = int.from_bytes(payload[4:8], "big")
    return HostRequest(payload[1], int.from_bytes(payload[2:4], "big"), mid, _text(url), body)


def _text(c_string: bytes | bytearray) -> str:
    return bytes(c_string).split(b"\0", 1)[0].decode("utf-8", "replace")
