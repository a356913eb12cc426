"""Byte streams to a board: over a serial port, or over TCP. They know no lines."""

from __future__ import annotations

import asyncio
import os
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


async def open_serial_port(name: str, *, is_windows: bool = os.name == "nt") -> BytePort:
    """/dev/ttyACM0 or COM3, ours alone among programs that lock what they open, as pyserial's do.

    Closing leaves DTR and RTS as they are, so that the next opening changes nothing. OSError when it is no serial port,
    cannot be opened, or another program holds it.
    """
    from serialx import PinState, list_serial_ports, open_serial_connection

    maker = None
    if is_windows:
        known = await asyncio.to_thread(list_serial_ports)
        maker = next((port.manufacturer for port in known if port.device.upper() == name.upper()), None)
    line = PinState.HIGH if asserts_lines(is_windows=is_windows, manufacturer=maker) else PinState.LOW
    kept = PinState.UNDEFINED
    reader, writer = await open_serial_connection(
        name, BAUD, dtr_on_open=line, rts_on_open=line, dtr_on_close=kept, rts_on_close=kept
    )
    return BytePort(reader, writer)


def asserts_lines(*, is_windows: bool, manufacturer: str | None) -> bool:
    """Whether DTR and RTS are both asserted at opening, so that the board does not reset; else both stay down.

    Both asserted is idle for the two transistors of a dev board's auto-reset circuit, and for the chip's own USB port
    (ESP32-C6-DevKitC-1 schematic, auto program). A Windows driver raises one after the other, which is a reset in
    between; only Microsoft's own driver serves the chip's USB port, which sends nothing without DTR (found by
    MicroPython, tools/mpremote/mpremote/transport_serial.py).
    """
    return not is_windows or manufacturer == "Microsoft"
