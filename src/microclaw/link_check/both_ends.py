"""Checks of the rules that both ends must keep, the same from either side. Opens no connection itself."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import cbor2

from microclaw.link_check.report import RuleBroken
from microclaw.link_check.talk import Cursors, Talk
from microclaw.wire.link.frame import MAX_AUDIO_BYTES, MAX_CONTROL_BYTES
from microclaw.wire.link.messages import Ack, AnyMessage, ErrorMessage, Ping, Pong
from microclaw.wire.link.values import Sender


class Bench(Protocol):
    """One side of the check: how a connection of the link is had, and what the other end answers durably."""

    ours: Sender
    cursors: Cursors

    def ready(self) -> AbstractAsyncContextManager[Talk]:
        """A connection after the greeting, closed at the end; the device's next one is had at once."""

    def durable(self) -> AnyMessage:
        """A durable message without harm, which the other end answers with one of `answer`, durably."""

    @property
    def answer(self) -> type[AnyMessage]: ...


Check: TypeAlias = Callable[[Any], Awaitable[None]]
ID: Final = bytes(16)
_PING: Final = {"n": 1, "t0": 0}


@dataclass(frozen=True, slots=True)
class Breach:
    """What is said on a ready connection, and how that must end it."""

    rule_id: str
    what: str
    message: bytes | str
    code: int = 4400
    error: str | None = "malformed"


def breaches(ours: Sender) -> tuple[Breach, ...]:
    """What breaks the page, from the end that the check plays."""
    wrong_audio = b"\x03" if ours is Sender.DEVICE else b"\x02"
    audio = b"\x02" if ours is Sender.DEVICE else b"\x03"
    stream, done = {"reason": "done", "stream": 1}, {"token": "x"}
    theirs = "tts_end" if ours is Sender.DEVICE else "stop_asr_stream"
    never_durable = _map("ping", _PING, seq=1)
    always_durable = (
        _map("event", {"name": "link.check", "data": {}})
        if ours is Sender.DEVICE
        else _map("notify", {"text": "link check", "speak": False})
    )
    return (
        Breach("L-10", "a text message", "hello", 1003, None),
        Breach("L-11", "an empty message", b""),
        Breach("L-11", "an audio frame without audio", audio),
        Breach("L-12", "a CONTROL payload of 16,385 bytes", b"\x01" + bytes(MAX_CONTROL_BYTES + 1), 4413, None),
        Breach("L-12", "a message of 70,000 bytes", b"\x01" + bytes(70_000), 4413, None),
        Breach("L-13", "2,049 bytes of audio", audio + bytes(MAX_AUDIO_BYTES + 1), 4413, "too_large"),
        Breach("L-16", "audio in the wrong direction", wrong_audio + bytes(64), 4400, "unexpected_message"),
        *(Breach("L-20", what, b"\x01" + payload) for what, payload in _malformed()),
        Breach("L-22", "a ping of version 2", b"\x01" + _map("ping", _PING, v=2), error="unsupported_version"),
        Breach("L-24", f"{theirs} from the wrong end", b"\x01" + _map(theirs, stream), error="unexpected_message"),
        Breach("L-24", "pair_done on a ready link", b"\x01" + _map("pair_done", done), error="unexpected_message"),
        Breach("L-67", "a ping with seq", b"\x01" + never_durable),
        Breach("L-67", "a durable message without seq", b"\x01" + always_durable),
        Breach("L-68", "an ack of 2^40", b"\x01" + _map("ack", {"seq": 2**40})),
    )  # fmt: skip


def _malformed() -> tuple[tuple[str, bytes], ...]:
    ping = _PING
    nested: dict[str, Any] = {}
    for _ in range(9):
        nested = {"a": nested}
    return (
        ("a frame of garbage", b"\xff\xff\xff"),
        ("an array of indefinite length", b"\x9f\xff"),
        ("a map with the same key twice", b"\xa2\x61v\x01\x61v\x01"),
        ("a byte after the map", _map("ping", ping) + b"\x00"),
        ("a CBOR tag", b"\xd9\xd9\xf7" + _map("ping", ping)),
        ("an array instead of a map", cbor2.dumps([1, "ping"])),
        ("an id of 15 bytes", _map("ping", ping, id=bytes(15))),
        ("re as null", _map("ping", ping, re=None)),
        ("a ping without t0", _map("ping", {"n": 1})),
        ("n as text", _map("ping", {"n": "1", "t0": 0})),
        ("a number of 64 bits", _map("ping", {"n": 2**63, "t0": 0})),
        ("nine levels of maps", _map("ping", {**ping, "later": nested})),
        ("257 items in a list", _map("ping", {**ping, "later": list(range(257))})),
        ("a number that is not finite", _map("ping", {**ping, "later": float("nan")})),
    )


def _map(type_: str, body: object, **changes: Any) -> bytes:
    return cbor2.dumps({"v": 1, "type": type_, "id": ID, "ts": 0, "body": body, **changes})


def breach_check(rule_id: str) -> Check:
    """Every breach of this rule, each on a connection of its own."""

    async def check(bench: Bench) -> None:
        for breach in breaches(bench.ours):
            if breach.rule_id == rule_id:
                async with bench.ready() as talk:
                    await talk.say_bytes(breach.message, breach.what)
                    await talk.expect_close(breach.code, breach.error)

    return check


async def unknown_frames(bench: Bench) -> None:
    async with bench.ready() as talk:
        await talk.say_bytes(b"\x7f" + b"later", "a frame of type 0x7f")
        await talk.expect_alive()


async def late_audio(bench: Bench) -> None:
    async with bench.ready() as talk:
        audio = b"\x02" if bench.ours is Sender.DEVICE else b"\x03"
        await talk.say_bytes(audio + bytes(640), "640 bytes of audio outside a stream")
        await talk.expect_alive()


async def unknown_keys(bench: Bench) -> None:
    async with bench.ready() as talk:
        body = {"n": 77, "t0": 5, "later": [1]}
        await talk.say_map("a ping with keys of a later version", type="ping", body=body, later={"a": 1})
        await talk.expect(Pong, matches=lambda pong: pong.n == 77)


async def unknown_types(bench: Bench) -> None:
    async with bench.ready() as talk:
        await talk.say_map("a message of a later version", type="of_a_later_version", body={"a": [1]})
        await talk.expect_alive()
        bench.cursors.tx_last += 1
        seq = bench.cursors.tx_last
        what = f"a durable message of a later version, number {seq}"
        message_id = await talk.say_map(what, type="of_a_later_version", body={}, seq=seq)
        _, error = await talk.expect(ErrorMessage, re=message_id)
        if error.code != "unknown_type" or error.fatal:
            raise RuleBroken(talk.said, f"error {error.code}, fatal {error.fatal}; expected unknown_type")
        await until_acked(talk, seq)


async def until_acked(talk: Talk, seq: int) -> None:
    if not any(isinstance(envelope.body, Ack) and envelope.body.seq >= seq for envelope in talk.got):
        await talk.expect_ack(seq)


async def answers_pings(bench: Bench) -> None:
    async with bench.ready() as talk:
        await ping_once(talk)


async def ping_once(talk: Talk) -> None:
    number, t0 = secrets.randbits(31), time.time_ns() // 1000
    message_id = await talk.say(Ping(number, t0))
    _, pong = await talk.expect(Pong, re=message_id)
    if (pong.n, pong.t0) != (number, t0) or pong.t2 < pong.t1:
        raise RuleBroken(
            talk.said, f"pong n {pong.n}, t0 {pong.t0}, t1 {pong.t1}, t2 {pong.t2}; sent n {number}, t0 {t0}"
        )


async def speaks_the_page(bench: Bench) -> None:
    """Every message of every connection is read strictly: here one of each that can be had for nothing."""
    async with bench.ready() as talk:
        message_id, _ = await talk.say_durable(bench.durable())
        await talk.expect(bench.answer, re=message_id)
        await talk.expect_alive()


async def acks(bench: Bench) -> None:
    async with bench.ready() as talk:
        _, seq = await talk.say_durable(bench.durable())
        await talk.expect_ack(seq)


async def drops_a_seen_number(bench: Bench) -> None:
    async with bench.ready() as talk:
        message_id, seq = await talk.say_durable(body := bench.durable())
        await talk.expect(bench.answer, re=message_id)
        await until_acked(talk, seq)
        await talk.say(body, seq=seq, message_id=message_id)
        talk.said += ", a second time"
        await talk.expect_ack(seq)
        await talk.expect_no_more(bench.answer, re=message_id)


async def knows_ids_of_before(bench: Bench) -> None:
    async with bench.ready() as talk:
        message_id, seq = await talk.say_durable(body := bench.durable())
        await talk.expect(bench.answer, re=message_id)
        await until_acked(talk, seq)
        _, again = await talk.say_durable(body, message_id=message_id)
        talk.said += f", whose id was number {seq} before"
        await talk.expect_ack(again)
        await talk.expect_no_more(bench.answer, re=message_id)


async def replays_what_was_not_acked(bench: Bench) -> None:
    async with bench.ready() as talk:
        talk.acks = False
        message_id, _ = await talk.say_durable(bench.durable())
        first, _ = await talk.expect(bench.answer, re=message_id)
    async with bench.ready() as talk:
        talk.said = f"no ack of number {first.seq}, and a new connection"
        again, _ = await talk.expect(bench.answer, re=message_id)
        if (again.id, again.seq) != (first.id, first.seq):
            raise RuleBroken(
                talk.said, f"number {again.seq}, id {again.id.hex()}; before {first.seq}, {first.id.hex()}"
            )
    async with bench.ready() as talk:
        talk.said = f"an ack of number {first.seq}, and a new connection"
        await talk.expect_no_more(bench.answer, re=message_id, most=0)


async def sends_again_unasked(bench: Bench) -> None:
    """Slow: 30 s without an ack."""
    async with bench.ready() as talk:
        talk.acks = False
        message_id, _ = await talk.say_durable(bench.durable())
        first, _ = await talk.expect(bench.answer, re=message_id)
        talk.said = f"no ack of number {first.seq} for 40 s"
        await talk.expect(bench.answer, re=message_id, timeout_s=40)
        talk.acks = True
        await talk.say(Ack(first.seq or 0))
        bench.cursors.rx_seq = first.seq or 0


async def refuses_a_gap(bench: Bench) -> None:
    async with bench.ready() as talk:
        await talk.say(bench.durable(), seq=bench.cursors.tx_last + 9)
        talk.said += f", after {bench.cursors.tx_last}"
        await talk.expect_close(4400, "sequence_gap")


async def begins_an_epoch_at_one(bench: Bench) -> None:
    async with bench.ready() as talk:
        _, seq = await talk.say_durable(bench.durable())
        await talk.expect_ack(seq)
    bench.cursors.tx_epoch, bench.cursors.tx_last = secrets.token_bytes(8), 0
    async with bench.ready() as talk:
        message_id, seq = await talk.say_durable(bench.durable())
        talk.said += " of a new epoch"
        await talk.expect(bench.answer, re=message_id)
        await until_acked(talk, seq)


@asynccontextmanager
async def ended(talk: Talk) -> AsyncIterator[Talk]:
    """A connection that is gone at the end, however the check ends."""
    try:
        yield talk
    finally:
        talk.peer.abort()


BOTH: Final[dict[str, Check]] = {
    **{rule_id: breach_check(rule_id) for rule_id in dict.fromkeys(b.rule_id for b in breaches(Sender.DEVICE))},
    "L-14": unknown_frames,
    "L-15": late_audio,
    "L-21": unknown_keys,
    "L-23": unknown_types,
    "L-25": speaks_the_page,
    "L-50": answers_pings,
    "L-60": acks,
    "L-61": drops_a_seen_number,
    "L-62": knows_ids_of_before,
    "L-63": replays_what_was_not_acked,
    "L-64": refuses_a_gap,
    "L-65": begins_an_epoch_at_one,
    "L-69": sends_again_unasked,
}
SLOW: Final = frozenset({"L-69"})
