"""What programs said on the network of a virtual board, as rows in order. Bounded; knows no protocol."""

from __future__ import annotations

from typing import Final

from microclaw.text import clean_text
from microclaw.virtual.clock import Clock
from microclaw.wire.board_replies import TrafficKind, TrafficRow
from microclaw.wire.fair_ring import FairPage, FairRing

RING_BYTES: Final = 262_144
MAX_TEXT_BYTES: Final = 8_192
MAX_WHAT_CHARS: Final = 300


class Traffic:
    """The history of the traffic; a board numbers its rows from 0, and a power cut does not restart it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: FairRing[TrafficRow] = FairRing(RING_BYTES, lambda row: row.kind, lambda row: len(row.text) + 100)

    def note(
        self,
        kind: TrafficKind,
        what: str,
        *,
        status: int | None = None,
        data: bytes = b"",
        request: int | None = None,
    ) -> None:
        """Add a row. `data` is the body, of which the first bytes are kept."""
        text = data[:MAX_TEXT_BYTES].decode("utf-8", "replace")
        shown_what = clean_text(what, one_line=True, limit=MAX_WHAT_CHARS)
        self._rows.append(TrafficRow(self._clock.now_ms(), kind, shown_what, status, text, request))

    def since(self, number: int, limit: int | None = None) -> FairPage[TrafficRow]:
        """Return the rows from a number on."""
        return self._rows.since(number, limit)
