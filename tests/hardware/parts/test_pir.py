"""When the output of a PIR motion sensor is high."""

from __future__ import annotations

from typing import Final, TypeAlias

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, make_part
from microclaw.virtual.board import Board
from microclaw.virtual.virtual_clock import VirtualClock

OUT: Final = 4
Motions: TypeAlias = tuple[tuple[float, float], ...]
Levels: TypeAlias = list[tuple[float, int]]


def outputs(motions: Motions, **attributes: float) -> Levels:
    """Return the changes of the output in seconds, of a sensor that sees motions from and until these seconds."""
    clock = VirtualClock()
    board = Board(load_board("virtual"), clock)
    board.parts.wire(Wiring((make_part("pir1", "pir", pins={"out": OUT}, attributes=attributes),)))
    for begin_s, end_s in motions:
        clock.advance(begin_s * 1000 - clock.now_ms())
        board.parts.set_values("pir1", {"motion": 1})
        clock.advance(end_s * 1000 - clock.now_ms())
        board.parts.set_values("pir1", {"motion": 0})
    clock.advance(60_000)
    return [(round(edge.t_ms / 1000, 3), edge.level) for edge in board.edges().records if edge.pin == OUT]


@pytest.mark.parametrize(
    ("motions", "levels"),
    [
        (((1, 1.1),), [(1, 1), (6.1, 0)]),
        (((1, 20),), [(1, 1), (25, 0)]),
        # Prolonged by each motion.
        (((1, 1.1), (4, 4.1)), [(1, 1), (9.1, 0)]),
        # Within the 2.5 s after its fall it sees nothing, but what still moves then.
        (((1, 1.1), (7, 7.1)), [(1, 1), (6.1, 0)]),
        (((1, 1.1), (7, 9)), [(1, 1), (6.1, 0), (8.6, 1), (14, 0)]),
    ],
)
def test_it_holds_and_retriggers(motions: Motions, levels: Levels) -> None:
    assert outputs(motions) == levels


def test_without_retriggering_the_time_counts_from_the_first_motion() -> None:
    assert outputs(((1, 1.1), (4, 4.1)), retrigger=0) == [(1, 1), (6, 0)]
    levels = outputs(((1, 8),), retrigger=0, hold_s=2, blocked_s=1)
    assert levels == [(1, 1), (3, 0), (4, 1), (6, 0), (7, 1), (9, 0)]
