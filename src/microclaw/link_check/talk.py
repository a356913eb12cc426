"""One connection of the check: says messages, good and bad ones, and waits for what must come. Chooses no rule."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import cbor2

from microclaw.errors import LinkViolation
from microclaw.link_check.peer import Closed, Peer
from microclaw.link_check.report import RuleBroken
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import FrameType, encode_frame, read_frame
from microclaw.wire.link.messages import (
    SENDER,
    Ack,
    AnyMessage,
    Bye,
    Envelope,
    ErrorMessage,
    Ping,
    Pong,
    Unknown,
    is_durable,
)
from microclaw.wire.link.values import Sender

WAIT_S: Final = 10.0
QUIET_S: Final = 0.5  # how long a second effect is waited for, after a ping was answered
ACK_PATIENCE_S: Final = 2.0  # 0.1 s by the page; the way there and a busy machine are not its fault
KEPT_MESSAGES: Final = 256
M = TypeVar("M", bound=AnyMessage)


@dataclass(slots=True)
class Cursors:
    """Both ends' numbers, over all connections of one check. `tx_last` counts in `tx_epoch`."""

    tx_epoch: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    tx_last: int = 0
    rx_epoch: bytes | None = None
    rx_seq: int = 0


class Talk:
    """A WebSocket of the link. Pings are answered and durable messages acked, unless told otherwise.

    `ours` is the end that the check plays. What breaks a rule raises RuleBroken with the message that was said last.
    """

    def __init__(self, peer: Peer, cursors: Cursors, ours: Sender) -> None:
        self.peer = peer
        self.cursors = cursors
        self.ours = ours
        self.is_deaf = False  # answers no ping
        self.acks = True
        self._received = 0  # on this connection, acked or not
        self.said = "nothing"
        self.got: deque[Envelope] = deque(maxlen=KEPT_MESSAGES)
        self.opened_s = time.monotonic()

    # What it says

    async def say(
        self, body: AnyMessage, *, seq: int | None = None, re: bytes | None = None, message_id: bytes | None = None
    ) -> bytes:
        """A message as the page has it; its id."""
        message_id = message_id or secrets.token_bytes(16)
        payload = encode(Envelope(message_id, body, time.time_ns() // 1_000_000, seq, re))
        await self.say_bytes(encode_frame(FrameType.CONTROL, payload), describe(body, seq))
        return message_id

    async def say_durable(self, body: AnyMessage, *, message_id: bytes | None = None) -> tuple[bytes, int]:
        """With the next number; its id and number."""
        self.cursors.tx_last += 1
        return await self.say(body, seq=self.cursors.tx_last, message_id=message_id), self.cursors.tx_last

    async def say_map(self, what: str, **changes: Any) -> bytes:
        """A CONTROL message that no encoder would make; `type` and `body` are among the changes. Its id."""
        message = {"v": 1, "id": secrets.token_bytes(16), "ts": 0, **changes}
        await self.say_bytes(b"\x01" + cbor2.dumps(message), what)
        found: bytes = message["id"]
        return found

    async def say_bytes(self, message: bytes | str, what: str) -> None:
        self.said = what
        await self.peer.send(message)

    # What must come

    async def expect(
        self,
        kind: type[M],
        *,
        re: bytes | None = None,
        matches: Callable[[M], bool] = lambda _: True,
        timeout_s: float = WAIT_S,
    ) -> tuple[Envelope, M]:
        """The next message of this kind; others are kept in `got`."""
        said, until_s = self.said, time.monotonic() + timeout_s
        while True:
            try:
                envelope = await self.next(until_s - time.monotonic())
            except TimeoutError:
                raise RuleBroken(said, f"no {kind.type} within {timeout_s:g} s{self._came()}") from None
            if isinstance(envelope, Closed):
                raise RuleBroken(said, f"{envelope} instead of {kind.type}{self._came()}")
            body = envelope.body
            if isinstance(body, kind) and (re is None or envelope.re == re) and matches(body):
                return envelope, body

    async def expect_close(self, code: int, error: str | None = None, *, timeout_s: float = WAIT_S) -> Closed:
        """The end of the connection with `code`, and an `error` of that code before it."""
        said, until_s = self.said, time.monotonic() + timeout_s
        heard: list[str] = []
        while True:
            try:
                envelope = await self.next(until_s - time.monotonic())
            except TimeoutError:
                raise RuleBroken(said, f"no close within {timeout_s:g} s, expected {code}{self._came()}") from None
            if isinstance(envelope, Closed):
                if envelope.code != code:
                    raise RuleBroken(said, f"{envelope}, expected {code}{self._came()}")
                if error is not None and error not in heard:
                    raise RuleBroken(said, f"close {code} after error {heard or 'of no kind'}, expected {error}")
                return envelope
            if isinstance(envelope.body, ErrorMessage):
                heard.append(envelope.body.code)

    async def expect_alive(self) -> None:
        """A ping is still answered: what was said before did no harm."""
        said = self.said
        number = secrets.randbits(31)
        await self.say(Ping(number, 0))
        self.said = f"{said}, then a ping"
        await self.expect(Pong, matches=lambda pong: pong.n == number)
        self.said = said

    async def expect_no_more(self, kind: type[AnyMessage], *, re: bytes, most: int = 1) -> None:
        """At most `most` messages of this kind that answer `re`: a ping is answered, then half a second passes."""
        said = self.said
        await self.expect_alive()
        until_s = time.monotonic() + QUIET_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                envelope = await self.next(left_s)
            except TimeoutError:
                break
            if isinstance(envelope, Closed):
                raise RuleBroken(said, str(envelope))
        found = [envelope for envelope in self.got if isinstance(envelope.body, kind) and envelope.re == re]
        if len(found) > most:
            raise RuleBroken(said, f"{len(found)} x {describe(found[-1].body, found[-1].seq)}, expected {most}")

    async def expect_ack(self, seq: int) -> float:
        """An ack of at least this number; seconds it took."""
        began_s = time.monotonic()
        await self.expect(Ack, matches=lambda ack: ack.seq >= seq, timeout_s=ACK_PATIENCE_S)
        return time.monotonic() - began_s

    async def next(self, timeout_s: float) -> Envelope | Closed:
        """One message, or the end. TimeoutError when nothing came."""
        until_s = time.monotonic() + timeout_s
        while True:
            message = await self.peer.next(max(0.0, until_s - time.monotonic()))
            if isinstance(message, Closed):
                return message
            envelope = self._read(message)
            if envelope is not None:
                return await self._take(envelope)

    async def bye(self, reason: str = "the check goes on", retry_after_s: int | None = 0) -> None:
        """End the connection in order."""
        await self.say(Bye(reason, retry_after_s))
        await self.peer.close(1000, reason)

    # How it works

    def _read(self, message: bytes | str) -> Envelope | None:
        if isinstance(message, str):
            raise RuleBroken(self.said, f"a text message {message[:80]!r}")
        try:
            frame = read_frame(message)
            if frame.type != FrameType.CONTROL:
                return None
            envelope = decode(frame.payload)
        except LinkViolation as exc:
            raise RuleBroken(self.said, f"{exc.message}: {message[:60].hex()}") from exc
        body = envelope.body
        if isinstance(body, Unknown):
            raise RuleBroken(self.said, f"a message of a type that the page does not have: {body.type}")
        if SENDER[body.type] is self.ours:
            raise RuleBroken(self.said, f"{body.type}, which only this end may send")
        if not is_durable(body, asked=envelope.seq is not None) == (envelope.seq is not None):
            raise RuleBroken(self.said, f"{describe(body, envelope.seq)}, {'with' if envelope.seq else 'without'} seq")
        return envelope

    async def _take(self, envelope: Envelope) -> Envelope:
        self.got.append(envelope)
        said = self.said
        if isinstance(envelope.body, Ping) and not self.is_deaf:
            now_us = time.time_ns() // 1000
            await self.say(Pong(envelope.body.n, envelope.body.t0, now_us, now_us), re=envelope.id)
        if envelope.seq is not None:
            await self._take_number(envelope.seq)
        self.said = said
        return envelope

    async def _take_number(self, seq: int) -> None:
        cursors = self.cursors
        received = max(cursors.rx_seq, self._received)
        if seq > received + 1:
            raise RuleBroken(self.said, f"number {seq} after {received}: one is missing")
        self._received = max(received, seq)
        if not self.acks:
            return
        cursors.rx_seq = max(cursors.rx_seq, seq)
        await self.say(Ack(cursors.rx_seq))

    def _came(self) -> str:
        """What did come, for a message of what did not."""
        shown = [describe(envelope.body, envelope.seq) for envelope in list(self.got)[-3:]]
        return f"; before it: {', '.join(shown)}" if shown else ""


def describe(body: object, seq: int | None = None) -> str:
    """A message in few words."""
    kind = getattr(body, "type", type(body).__name__)
    facts = {
        name: value
        for name in ("code", "method", "name", "task", "state", "n", "seq", "ok", "message", "reason", "board")
        if (value := getattr(body, name, None)) is not None
    }
    shown = ", ".join(f"{name} {str(value)[:60]!r}" for name, value in facts.items())
    number = f" number {seq}" if seq is not None else ""
    return f"{kind}{number}{f' ({shown})' if shown else ''}"


async def settle(seconds: float) -> None:
    """Let time pass, where the rule is about time."""
    await asyncio.sleep(seconds)
