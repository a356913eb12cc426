"""Fuzz target: any bytes as messages that a hostile device sends to a host's session, before and after its hello."""

from __future__ import annotations

from itertools import count

from microclaw.wire.link.actions import Action, Close, Deliver
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Hello, MessageLimits, Software, Welcome
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor
from microclaw.wire.link.session import LinkSession
from microclaw.wire.link.states import LinkPhase

HELLO = Hello(bytes(16), Software("x", "1"), "virtual", (), b"device-1", 0, "power_on")
WELCOME = Welcome(bytes(16), Software("y", "1"), 0, 15, bytes(8), 0, MessageLimits(16_384, 2_048))
CODES = {1000, 1013, 4400, 4401, 4413}


class StillClock:
    def now_ms(self) -> float:
        return 0.0

    def unix_us(self) -> int:
        return 1_760_000_000_000_000


def fuzz_one(data: bytes) -> None:
    for greeted in (False, True):
        ids = count()
        session = LinkSession(
            WELCOME,
            outbox=OutboxCursor(b"host---1"),
            inbox=InboxCursor(),
            clock=StillClock(),
            new_id=lambda ids=ids: next(ids).to_bytes(16),  # type: ignore[misc]
        )
        session.connected()
        if greeted:
            session.receive(encode_frame(FrameType.CONTROL, encode(Envelope(bytes(16), HELLO))))
            assert session.phase is LinkPhase.READY
        for message in (data, b"\x01" + data, *(data[at : at + 60] for at in range(0, len(data), 60))):
            session.receive(message)
            check(session)


def check(session: LinkSession) -> None:
    taken: list[Action] = []
    while (action := session.next_action()) is not None:
        taken.append(action)
    assert len(taken) <= 8
    for action in taken:
        if isinstance(action, Close):
            assert action.code in CODES
            assert session.phase is LinkPhase.LEFT
        if isinstance(action, Deliver) and action.envelope.seq is not None:
            session.ack_applied(action.epoch, action.envelope.seq)
