"""A client that asks a WASMachine for an app's events and waits for them. It calls nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from microclaw.transports.address import parse_host_port
from microclaw.wire.wasmachine.frame import FrameDecoder, FrameType, encode_frame
from microclaw.wire.wasmachine.request import Action, Request, Response


class EventClient:
    """Made by `event_client`. A WASMachine serves one client at a time: close the transport first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder(65_536)
        self._mid = 0

    async def watch(self, url: str, *, register: bool = True) -> Response:
        """Ask for an app's events, or no longer; the device's answer."""
        self._mid += 1
        request = Request(Action.PUT if register else Action.DELETE, f"/event/{url.lstrip('/')}", self._mid)
        self._writer.write(encode_frame(FrameType.REQUEST, request.encode()))
        while True:
            frame_type, payload = await self._next_frame()
            if frame_type == FrameType.RESPONSE:
                return Response.decode(payload)

    async def next_event(self, timeout_s: float) -> Request | None:
        """The next event; None when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    frame_type, payload = await self._next_frame()
                    if frame_type == FrameType.REQUEST:
                        return Request.decode(payload)
        except TimeoutError:
            return None

    async def _next_frame(self) -> tuple[int, bytes]:
        while (frame := self._decoder.next_frame()) is None:
            data = await self._reader.read(4096)
            assert data, "the board closed the connection"
            self._decoder.receive(data)
        return frame.type, frame.payload


@asynccontextmanager
async def event_client(endpoint: str) -> AsyncIterator[EventClient]:
    address = parse_host_port(endpoint.removeprefix("wasmachine://"))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield EventClient(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
