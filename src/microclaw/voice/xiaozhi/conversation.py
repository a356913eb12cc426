"""Runs one WebSocket of a device of xiaozhi's firmware: reads, writes, and ends it when it must or nobody speaks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from microclaw.errors import MicroclawError, ProtocolError
from microclaw.voice.service import VoiceService
from microclaw.voice.xiaozhi.connection import XiaozhiConnection

_log = logging.getLogger(__name__)


class Conversation:
    """`await run(socket)` until the device goes, does what it must not, nobody speaks, or somebody calls `end`."""

    def __init__(self, connection: XiaozhiConnection, voice: VoiceService, *, hello_s: float, idle_s: float) -> None:
        self.connection = connection
        self._voice = voice
        self._hello_s = hello_s
        self._idle_s = idle_s
        self._ended = asyncio.Event()
        self._code: int = WSCloseCode.OK
        self._reason = ""

    def end(self, code: int, reason: str) -> None:
        """The first reason counts."""
        if not self._ended.is_set():
            self._code, self._reason = code, reason
            self._ended.set()

    async def run(self, socket: web.WebSocketResponse) -> None:
        connection = self.connection
        works = [
            asyncio.create_task(work, name=f"xiaozhi: {what} {connection.name}")
            for what, work in (
                ("read", self._read(socket)),
                ("write", connection.outgoing.run(socket)),
                ("watch", self._watch()),
                ("end", self._ended.wait()),
            )
        ]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.session.left()
            connection.tools.left()
            for work in works:
                work.cancel()
            done, _ = await asyncio.wait(works)
        for work in done:
            if not work.cancelled() and (error := work.exception()) is not None:
                _log.error("xiaozhi: the connection of %s failed", connection.name, exc_info=error)
        with suppress(OSError):
            await socket.close(code=self._code, message=self._reason.encode()[:120])

    async def _read(self, socket: web.WebSocketResponse) -> None:
        connection = self.connection
        tools: asyncio.Task[None] | None = None
        try:
            while True:
                is_new = connection.version is None
                async with asyncio.timeout(self._hello_s if is_new else None):
                    message = await socket.receive()
                if message.type is WSMsgType.TEXT:
                    connection.took_text(message.data)
                elif message.type is WSMsgType.BINARY:
                    connection.took_binary(message.data)
                else:
                    return
                if is_new and connection.version is not None:
                    self._voice.begin(connection.session)
                    if connection.has_tools:
                        tools = asyncio.create_task(self._list_tools(), name=f"xiaozhi: tools of {connection.name}")
        except TimeoutError:
            self.end(WSCloseCode.PROTOCOL_ERROR, "no hello")
        except ProtocolError as exc:
            _log.warning("xiaozhi: %s is cut off: %s", connection.name, exc.message)
            self.end(WSCloseCode.PROTOCOL_ERROR, exc.message)
        finally:
            if tools is not None:
                tools.cancel()
                await asyncio.wait((tools,))

    async def _list_tools(self) -> None:
        try:
            await self.connection.tools.open()
        except MicroclawError as exc:
            _log.info("xiaozhi: %s has no tools: %s", self.connection.name, exc.message)

    async def _watch(self) -> None:
        while (left_s := self._idle_s - self.connection.idle_s) > 0:  # noqa: ASYNC110 - a deadline that moves
            await asyncio.sleep(left_s)
        self.end(WSCloseCode.OK, "nobody spoke")
