"""Byte streams to a board: over a serial port, or over TCP. They know no lines."""

from __future__ import annotations

import asyncio
from typing import Final

from microclaw.transports.address import HostPort, close_stream

BAUD: Final = 115_200
_READ_BYTES: Final = 4096


class BytePort:
    """Both directions. OSError or EOFError when the other side is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """At least one byte."""
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the device closed the connection")
        return data

    async def close(self) -> None:
        await close_stream(self._writer)


async def open_tcp_port(address: HostPort) -> BytePort:
    """OSError when nobody listens there."""
    return BytePort(*await asyncio.open_connection(address.host, address.port))


async def open_serial_port(path: str) -> BytePort:
    """A tty, ours alone among programs that lock what they open, as pyserial's do.

    Opening asserts DTR and RTS in one call, which the two transistors of a dev board's auto-reset circuit, and the
    chip's own USB port, take for idle (ESP32-C6-DevKitC-1 schematic, auto program); closing leaves them as they are, so
    that the next opening changes nothing. OSError when it is no serial port, cannot be opened, or is locked.
    """
    from serialx import PinState, open_serial_connection

    kept = PinState.UNDEFINED
    return BytePort(*await open_serial_connection(path, BAUD, dtr_on_close=kept, rts_on_close=kept))
