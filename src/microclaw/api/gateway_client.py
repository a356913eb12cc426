"""One gateway client: what goes out waits in a bounded queue, and who reads too slowly is dropped. No protocol."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from microclaw.api.caller import Caller

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 512  # messages
MAX_WAITING_CHARS: Final = 1 << 20
CLOSE_S: Final = 2.0


class Client:
    """One client's connection. `chat_id` is the visible one; `journaled` the conversation's."""

    def __init__(self, websocket: WebSocket, chat_id: str, caller: Caller) -> None:
        self.chat_id = chat_id
        self.caller = caller
        self.journaled = ""
        self.events: frozenset[str] = frozenset()
        self.is_open = True
        self._websocket = websocket
        self._waiting: asyncio.Queue[_Line] = asyncio.Queue(MAX_WAITING)
        self._waiting_chars = 0

    def send(self, text: str) -> bool:
        """Queue a message; False when the client is gone, or has just been dropped for not reading."""
        return self._queue(_Line(text, None))

    async def deliver(self, text: str) -> bool:
        """Whether the message was written to the connection."""
        written = asyncio.get_running_loop().create_future()
        return self._queue(_Line(text, written)) and await written

    def _queue(self, line: _Line) -> bool:
        if not self.is_open:
            return False
        size = len(line.text)
        if self._waiting.full() or (self._waiting_chars and self._waiting_chars + size > MAX_WAITING_CHARS):
            self.drop("it reads too slowly")
            return False
        self._waiting_chars += size
        self._waiting.put_nowait(line)
        return True

    async def write(self) -> None:
        """Carry the queue to the socket, until the client is gone."""
        while self.is_open:
            line = await self._waiting.get()
            done = False
            try:
                await self._websocket.send_text(line.text)  # web.patience cuts a connection that takes nothing
                done = True
            except (WebSocketDisconnect, RuntimeError):  # Starlette says RuntimeError of a socket that is closing
                self.is_open = False
            finally:
                self._end(line, done=done)

    def close(self) -> None:
        """The connection is over: what still waits was not written."""
        self.is_open = False
        while not self._waiting.empty():
            self._end(self._waiting.get_nowait(), done=False)

    def _end(self, line: _Line, *, done: bool) -> None:
        self._waiting_chars -= len(line.text)
        self._waiting.task_done()
        if line.written is not None and not line.written.done():
            line.written.set_result(done)

    async def drain(self) -> None:
        """What is queued goes out, for a while."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._waiting.join()
        except TimeoutError:
            self.drop("it reads too slowly")

    def drop(self, why: str) -> None:
        if self.is_open:
            self.is_open = False
            _log.info("gateway: client %s is dropped: %s", self.chat_id, why)
            self._websocket.state.abort()


@dataclass(frozen=True, slots=True)
class _Line:
    """A message that waits, and who wants to know whether it was written."""

    text: str
    written: asyncio.Future[bool] | None
