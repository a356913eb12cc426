"""A byte stream to a board, as a serial face sees it, and the one over TCP. It knows no lines and no JSON."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from microclaw.faces.address import HostPort

_READ_BYTES: Final = 4096
_CLOSE_S: Final = 1.0


class SerialPort(Protocol):
    """OSError or EOFError when the other side is gone."""

    async def write(self, data: bytes) -> None:
        """One write call for the whole of `data` wherever the system lets us."""

    async def read(self) -> bytes:
        """At least one byte."""

    async def close(self) -> None: ...


class TcpPort:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: HostPort) -> TcpPort:
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError("the device closed the connection")
        return data

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
