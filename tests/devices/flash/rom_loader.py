"""A simulated ESP32 in download mode: what esptool says to the chip's ROM and to its stub, and a flash of bytes.

Source: Espressif's esptool documentation, "Serial Protocol", and what esptool 5 sends. The stub that is uploaded is not
run: once it is complete the simulation answers as the stub does. It does no IO.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

END: Final = 0xC0
_STUFFED: Final = {0xDC: 0xC0, 0xDD: 0xDB}
CHIP_MAGIC_REG: Final = 0x40001000  # the register by which esptool tells chips apart that have no security info
SECTOR: Final = 4096
_BAD_COMMAND: Final = 0x05  # "received message is invalid"
_CHECKSUM_ERROR: Final = 0x07
_DEFLATE_ERROR: Final = 0x0B


@dataclass(frozen=True, slots=True)
class ChipKind:
    """The registers that tell esptool which chip this is; all others read 0."""

    name: str
    registers: dict[int, int]
    chip_id: int | None  # in the security info; None on the ESP32, which has no such command
    spi_command: int  # where esptool starts a command to the flash chip, names it, and reads what came back
    spi_what: int
    spi_answer: int


MAC: Final = "24:6f:28:12:34:56"
ESP32: Final = ChipKind(
    "ESP32",
    {CHIP_MAGIC_REG: 0x00F01D83, 0x3FF5A004: 0x28123456, 0x3FF5A008: 0x0000246F, 0x3FF40014: 347},
    None,
    0x3FF42000,
    0x3FF42024,
    0x3FF42080,
)
ESP32_S3: Final = ChipKind(
    "ESP32-S3",
    {
        0x60007044: 0x28123456,
        0x60007048: 0x0000246F,
        0x60007044 + 0x10: 0b1000 | (1 << 7),  # BLOCK1 word 4: embedded PSRAM 8 MB, AP 3.3 V
    },
    9,
    0x60002000,
    0x60002020,
    0x60002058,
)


@dataclass(slots=True)
class RomLoader:
    """Bytes from the cable in, bytes to the cable out. `flash` is what the chip keeps."""

    kind: ChipKind = ESP32
    flash: bytearray = field(default_factory=lambda: bytearray(b"\xff") * (4 << 20))
    stub_allowed: bool = True
    is_stub: bool = False
    written: int = 0  # bytes put into the flash since the power came
    _packet: bytearray | None = None
    _escaped: bool = False
    _registers: dict[int, int] = field(default_factory=dict)
    _write_at: int = 0
    _inflate: zlib._Decompress | None = None
    _reading: Iterator[bytes] | None = None

    def is_packet(self, data: bytes) -> bool:
        """Return True if the data begins a packet of esptool, or goes on with one."""
        return self._packet is not None or data[0] == END

    def receive(self, data: bytes) -> bytes:
        """Answer what is complete in `data`; a rest is kept."""
        out = bytearray()
        for byte in data:
            if self._packet is None:
                if byte == END:
                    self._packet = bytearray()
            elif byte == END:
                if self._packet:
                    packet = bytes(self._packet)
                    self._packet = None
                    out += self._answer(packet)
            elif self._escaped:
                self._packet.append(_STUFFED.get(byte, byte))
                self._escaped = False
            elif byte == 0xDB:
                self._escaped = True
            else:
                self._packet.append(byte)
        return bytes(out)

    def reset(self) -> None:
        """Power or EN: RAM is lost, the flash is not."""
        self.is_stub = False
        self._packet = None
        self._escaped = False
        self._inflate = None
        self._reading = None
        self._registers.clear()

    def _answer(self, packet: bytes) -> bytes:
        if self._reading is not None and len(packet) == 4:  # the host has so many bytes of what it reads
            return next(self._reading, b"")
        if len(packet) < 8 or packet[0] != 0:
            return b""
        op, length, checksum = struct.unpack("<BHI", packet[1:8])
        body = packet[8 : 8 + length]
        match op:
            case 0x08:
                return self._reply(op, value=0 if self.is_stub else 0x07122055) * 8
            case 0x0A:
                return self._reply(op, value=self._register(struct.unpack("<I", body[:4])[0]))
            case 0x09:
                address, value = struct.unpack("<II", body[:8])
                self._registers[address] = value
                return self._reply(op)
            case 0x14 if self.kind.chip_id is not None:
                return self._reply(op, struct.pack("<IBBBBBBBBII", 0, 0, *([0] * 7), self.kind.chip_id, 0))
            case 0x05 | 0x07 if self.stub_allowed:
                return self._reply(op)
            case 0x06 if self.stub_allowed:
                reply = self._reply(op)
                self.is_stub = True
                return reply + _slip(b"OHAI")
            case 0x0B | 0x0D | 0x0F:
                return self._reply(op)
            case 0x02 | 0x10:
                return self._begin(op, body)
            case 0x03 | 0x11:
                return self._data(op, body, checksum)
            case 0x04 | 0x12:
                reply = self._reply(op)
                if body[:4] == b"\0\0\0\0":  # reboot: from the stub into the ROM loader
                    self.is_stub = False
                return reply
            case 0x13:
                return self._md5(op, body)
            case 0xD0 if self.is_stub:
                self.flash[:] = b"\xff" * len(self.flash)
                return self._reply(op)
            case 0xD2 if self.is_stub:
                return self._reply(op) + self._start_reading(body)
            case 0x0E:
                offset, size = struct.unpack("<II", body[:8])
                return self._reply(op, bytes(self.flash[offset : offset + size]).ljust(64, b"\0"))
            case _:
                return self._reply(op, status=_BAD_COMMAND)

    def _reply(self, op: int, data: bytes = b"", *, value: int = 0, status: int = 0) -> bytes:
        if status:
            ending = bytes([1, status])
        else:
            ending = b"\0\0"
        body = data + (ending if self.is_stub else ending + b"\0\0")
        return _slip(struct.pack("<BBHI", 1, op, len(body), value) + body)

    def _register(self, address: int) -> int:
        if address == self.kind.spi_answer and self._registers.get(self.kind.spi_what, 0) & 0xFF == 0x9F:
            return 0xC8 | 0x40 << 8 | (len(self.flash).bit_length() - 1) << 16  # GigaDevice; the size as log2
        if address == self.kind.spi_command:
            return 0  # no command is under way
        return self.kind.registers.get(address, self._registers.get(address, 0))

    def _begin(self, op: int, body: bytes) -> bytes:
        size, _blocks, _block, offset = struct.unpack("<IIII", body[:16])
        if offset + size > len(self.flash) + SECTOR:
            return self._reply(op, status=_BAD_COMMAND)
        end = min(len(self.flash), offset + -(-size // SECTOR) * SECTOR)
        self.flash[offset:end] = b"\xff" * (end - offset)
        self._write_at = offset
        if op == 0x10:
            self._inflate = zlib.decompressobj()
        else:
            self._inflate = None
        return self._reply(op)

    def _data(self, op: int, body: bytes, checksum: int) -> bytes:
        size = struct.unpack("<I", body[:4])[0]
        data = body[16 : 16 + size]
        computed = 0xEF
        for byte in data:
            computed ^= byte
        if computed != checksum:
            return self._reply(op, status=_CHECKSUM_ERROR)
        if op == 0x11:
            if self._inflate is None:
                return self._reply(op, status=_DEFLATE_ERROR)
            data = self._inflate.decompress(data)
        end = min(self._write_at + len(data), len(self.flash))
        self.flash[self._write_at : end] = data[: end - self._write_at]
        self._write_at = end
        self.written += len(data)
        return self._reply(op)

    def _md5(self, op: int, body: bytes) -> bytes:
        offset, size = struct.unpack("<II", body[:8])
        digest = hashlib.md5(self.flash[offset : offset + size])
        return self._reply(op, digest.digest() if self.is_stub else digest.hexdigest().encode())

    def _start_reading(self, body: bytes) -> bytes:
        offset, size, block, _flight = struct.unpack("<IIII", body[:16])
        data = bytes(self.flash[offset : offset + size])
        pieces = [_slip(data[at : at + block]) for at in range(0, len(data), block)]
        self._reading = iter([*pieces[1:], _slip(hashlib.md5(data).digest())])
        return pieces[0]


def _slip(packet: bytes) -> bytes:
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"
