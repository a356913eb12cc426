"""One end of the link over `websockets`, from docs/protocols/link.md alone: messages are maps. Judges nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import cbor2
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 180.0
PING = {"n": 1, "t0": 0}


@dataclass
class Numbers:
    """Both ends' numbers, over all connections."""

    tx_epoch: bytes = field(default_factory=lambda: os.urandom(8))
    tx_last: int = 0
    rx_epoch: bytes | None = None
    rx_seq: int = 0


class End:
    """Pings are answered and durable messages acked, unless told otherwise."""

    def __init__(self, socket: Connection, numbers: Numbers) -> None:
        self.socket = socket
        self.numbers = numbers
        self.acks = True
        self.is_deaf = False  # answers no ping
        self.got: list[dict[str, Any]] = []

    async def say(self, kind: str, body: dict[str, Any], **more: Any) -> bytes:
        """Its id; `more` are keys of the envelope."""
        message = {"v": 1, "type": kind, "id": os.urandom(16), "ts": 0, "body": body, **more}
        await self.socket.send(b"\x01" + cbor2.dumps(message))
        found: bytes = message["id"]
        return found

    async def say_durable(self, kind: str, body: dict[str, Any], **more: Any) -> bytes:
        self.numbers.tx_last += 1
        return await self.say(kind, body, seq=self.numbers.tx_last, **more)

    async def next(self, kind: str, re: bytes | None = None) -> dict[str, Any]:
        """The envelope of the next message of this type, which answers `re`; others are kept in `got`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.take()
                if message is not None and message["type"] == kind and re in (None, message.get("re")):
                    return message

    async def acked(self) -> None:
        """All that was said durably is acked."""
        while (await self.next("ack"))["body"]["seq"] < self.numbers.tx_last:
            pass

    async def alive(self) -> None:
        n = int.from_bytes(os.urandom(3))
        while (await self.next("pong", await self.say("ping", {"n": n, "t0": 0})))["body"]["n"] != n:
            pass

    async def ended(self) -> tuple[int | None, str | None]:
        """The close code, and the code of the last `error` before it."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    await self.take()
            except ConnectionClosed as closed:
                errors = [message["body"]["code"] for message in self.got if message["type"] == "error"]
                return (None if closed.rcvd is None else closed.rcvd.code), errors[-1] if errors else None

    async def ignores_a_later_version(self, audio: bytes) -> dict[str, Any]:
        """L-14, L-15, L-21, L-23; the body of the `error` that answers a durable message of an unknown type."""
        await self.socket.send(b"\x7flater")
        await self.socket.send(audio)
        asked = await self.say("ping", {"n": 77, "t0": 5, "later": [1]}, later={"a": 1})
        pong = (await self.next("pong", asked))["body"]
        assert (pong["n"], pong["t0"]) == (77, 5)
        assert pong["t1"] <= pong["t2"]
        await self.say("of_a_later_version", {"a": [1]})
        error: dict[str, Any] = (await self.next("error", await self.say_durable("of_a_later_version", {})))["body"]
        await self.acked()
        return error

    def answers(self, kind: str, re: bytes) -> list[dict[str, Any]]:
        return [message for message in self.got if message["type"] == kind and message.get("re") == re]

    async def take(self) -> dict[str, Any] | None:
        """The next message; None for what is none, as audio is."""
        frame = await self.socket.recv()
        assert isinstance(frame, bytes)
        if frame[0] != 1:
            return None
        message: dict[str, Any] = cbor2.loads(frame[1:])
        self.got.append(message)
        if message["type"] == "ping" and not self.is_deaf:
            now_us = time.time_ns() // 1000
            await self.say("pong", {**message["body"], "t1": now_us, "t2": now_us}, re=message["id"])
        if "seq" in message and self.acks:
            self.numbers.rx_seq = max(self.numbers.rx_seq, message["seq"])
            await self.say("ack", {"seq": self.numbers.rx_seq})
        return message


@asynccontextmanager
async def closing(end: End) -> AsyncIterator[End]:
    try:
        yield end
    finally:
        await end.socket.close()


def control(kind: str, body: object, **changes: Any) -> bytes:
    return b"\x01" + cbor2.dumps({"v": 1, "type": kind, "id": bytes(16), "ts": 0, "body": body, **changes})


def _deep() -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(9):
        nested = {"a": nested}
    return nested


def _with(**later: Any) -> bytes:
    return control("ping", {**PING, **later})


# CBOR that the page forbids.
BAD_CBOR: dict[str, bytes] = {
    "garbage": b"\x01\xff\xff\xff",
    "an array without a length": b"\x01\x9f\xff",
    "the same key twice": b"\x01\xa2\x61v\x01\x61v\x01",
    "a byte after the map": control("ping", PING) + b"\x00",
    "a tag": b"\x01\xd9\xd9\xf7" + control("ping", PING)[1:],
    "a number of 64 bits": control("ping", {"n": 2**63, "t0": 0}),
    "nine levels": _with(later=_deep()),
    "257 items": _with(later=list(range(257))),
    "a number that is not finite": _with(later=float("nan")),
}
# What ends a ready connection, by rule: the message, the close code and the code of `error`. Either end says it.
BREACHES: dict[str, tuple[bytes | str, int, str | None]] = {
    "L-10 a text message": ("hello", 1003, "not_binary"),
    "L-11 an empty message": (b"", 4400, "malformed"),
    "L-12 16,385 bytes of CONTROL": (b"\x01" + bytes(16_385), 4413, "too_large"),
    "L-12 70,000 bytes": (b"\x01" + bytes(70_000), 4413, None),
    **{f"L-20 {what}": (message, 4400, "malformed") for what, message in BAD_CBOR.items()},
    "L-20 an array, not a map": (b"\x01" + cbor2.dumps([1, "ping"]), 4400, "malformed"),
    "L-20 an id of 15 bytes": (control("ping", PING, id=bytes(15)), 4400, "malformed"),
    "L-20 re is null": (control("ping", PING, re=None), 4400, "malformed"),
    "L-20 a ping without t0": (control("ping", {"n": 1}), 4400, "malformed"),
    "L-20 n as text": (control("ping", {"n": "1", "t0": 0}), 4400, "malformed"),
    "L-22 version 2": (control("ping", PING, v=2), 4400, "unsupported_version"),
    "L-24 pair_done on a ready link": (control("pair_done", {"token": "x"}), 4400, "unexpected_message"),
    "L-67 a ping with seq": (control("ping", PING, seq=1), 4400, "malformed"),
    "L-68 an ack of 2^40": (control("ack", {"seq": 2**40}), 4400, "malformed"),
}
OF_A_DEVICE = {
    "L-11 audio without audio": (b"\x02", 4400, "malformed"),
    "L-13 2,049 bytes of audio": (b"\x02" + bytes(2_049), 4413, "too_large"),
    "L-16 audio of the host": (b"\x03" + bytes(64), 4400, "unexpected_message"),
    "L-24 a message of the host": (control("tts_end", {"reason": "done", "stream": 1}), 4400, "unexpected_message"),
    "L-67 an event without seq": (control("event", {"name": "odd", "data": {}}), 4400, "malformed"),
}
OF_A_HOST = {
    "L-11 audio without audio": (b"\x03", 4400, "malformed"),
    "L-13 2,049 bytes of audio": (b"\x03" + bytes(2_049), 4413, "too_large"),
    "L-16 audio of the device": (b"\x02" + bytes(64), 4400, "unexpected_message"),
    "L-24 a message of the device": (
        control("stop_asr_stream", {"reason": "done", "stream": 1}), 4400, "unexpected_message",
    ),
    "L-67 a notify without seq": (control("notify", {"text": "odd", "speak": False}), 4400, "malformed"),
}  # fmt: skip
