"""The link's phases and the table of moves between them, blind to role (data only). No IO.

A message makes the same move whether it is sent or received; who may send it is its class's `sender`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from microclaw.errors import LinkViolation
from microclaw.wire.link.messages import MESSAGES


class LinkPhase(Enum):
    DOWN = "down"  # no connection
    OPEN = "open"  # connected, no message yet
    OFFERED = "offered"  # after hello
    READY = "ready"  # after welcome
    PAIRING = "pairing"  # after pair_request
    PAIRED = "paired"  # after pair_done: the device comes back with its credential
    LEFT = "left"  # after bye or a violation: only the close follows


_HANDSHAKE: Final = ("hello", "welcome", "pair_request", "pair_code", "pair_done")
_ANY_TIME: Final = ("error", "bye")
_TALKING: Final = (LinkPhase.OPEN, LinkPhase.OFFERED, LinkPhase.READY, LinkPhase.PAIRING, LinkPhase.PAIRED)

MOVES: Final[dict[tuple[LinkPhase, str], LinkPhase]] = {
    (LinkPhase.OPEN, "hello"): LinkPhase.OFFERED,
    (LinkPhase.OFFERED, "welcome"): LinkPhase.READY,
    (LinkPhase.OPEN, "pair_request"): LinkPhase.PAIRING,
    (LinkPhase.PAIRING, "pair_request"): LinkPhase.PAIRING,  # again: its code ran out
    (LinkPhase.PAIRING, "pair_code"): LinkPhase.PAIRING,
    (LinkPhase.PAIRING, "pair_done"): LinkPhase.PAIRED,
    (LinkPhase.PAIRING, "ping"): LinkPhase.PAIRING,
    (LinkPhase.PAIRING, "pong"): LinkPhase.PAIRING,
    (LinkPhase.PAIRED, "ping"): LinkPhase.PAIRED,
    (LinkPhase.PAIRED, "pong"): LinkPhase.PAIRED,
    **{(LinkPhase.READY, type_): LinkPhase.READY for type_ in MESSAGES if type_ not in (*_HANDSHAKE, *_ANY_TIME)},
    **{(phase, "error"): phase for phase in _TALKING},
    **{(phase, "bye"): LinkPhase.LEFT for phase in _TALKING},
}


def move(phase: LinkPhase, type_: str) -> LinkPhase:
    """Return the phase after a message of this type. Raises LinkViolation if it has no place in this one."""
    after = MOVES.get((phase, type_))
    if after is not None:
        return after
    if phase is LinkPhase.READY and type_ not in MESSAGES:
        return phase  # a type of a later version
    raise LinkViolation(f"{type_} while the link is {phase.value}", reason="unexpected_message")
