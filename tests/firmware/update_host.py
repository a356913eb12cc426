"""A host of one board that offers updates and serves their payload, as docs/protocols/ota.md says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from tests.link.end import End, closing
from tests.link.plain_host import PlainHost
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

PIECE_BYTES = 1008
Message: TypeAlias = tuple[str, dict[str, Any]]
"""Its type and its body."""


class UpdateHost(PlainHost):
    """Its durable messages wait until the board acks them; `serve` may refuse to answer a window of the payload.

    `heard` has the bodies of what the board said, by type, each once.
    """

    def __init__(self, payload: bytes = b"") -> None:
        super().__init__()
        self.payload = payload
        self.heard: dict[str, list[dict[str, Any]]] = {}
        self.serve: Callable[[dict[str, Any]], bool] = lambda _window: True
        self.end: End | None = None
        self._seen: set[bytes] = set()
        self._said: list[Message] = []
        self._news = asyncio.Condition()

    async def say(self, *messages: Message) -> None:
        """Durable ones."""
        self._said += messages
        if self.end is not None:
            await self._catch_up(self.end)

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """The value of its result, which is one of success."""
        assert self.end is not None
        asked = await self.end.say("call", {"method": method, "params": params, "idempotent": False})
        end = self.end
        await self.until(lambda: bool(end.answers("result", asked)))
        result = end.answers("result", asked)[0]["body"]
        assert result["ok"], result
        return result["value"]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(holds)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.heard.get(kind, [])

    def states(self, version: str) -> list[str]:
        return [status["state"] for status in self.of("ota_status") if status["version"] == version]

    def logged(self, text: str) -> int:
        """The number of times that a program printed this."""
        return [line["text"] for line in self.of("log")].count(text)

    async def take(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async with closing(End(socket, self.numbers)) as end:
                await self.greet(end)
                await self._catch_up(end)
                self.end = end
                try:
                    while True:
                        await end.take()
                        await self._hear_all(end)
                finally:
                    self.end = None
                    await self._hear_all(end)  # the last one too, whose ack did not go out

    async def answer(self, window: dict[str, Any]) -> None:
        assert self.end is not None
        begin = window["offset"]
        data = self.payload[begin : begin + window["length"]]
        for at in range(0, len(data), PIECE_BYTES):
            head = b"\x04" + window["sha256"][:8] + (begin + at).to_bytes(4, "big")
            await self.end.socket.send(head + data[at : at + PIECE_BYTES])

    async def _catch_up(self, end: End) -> None:
        for kind, body in self._said[self.numbers.tx_last :]:
            await end.say_durable(kind, body)

    async def _hear_all(self, end: End) -> None:
        for message in end.got:
            if message["id"] not in self._seen:
                self._seen.add(message["id"])
                await self._hear(message["type"], message["body"])

    async def _hear(self, kind: str, body: dict[str, Any]) -> None:
        self.heard.setdefault(kind, []).append(body)
        if kind == "blob_read" and self.end is not None and self.serve(body):
            await self.answer(body)
        async with self._news:
            self._news.notify_all()
