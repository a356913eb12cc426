"""Tracks are drawn from counted edges, to scale."""

from __future__ import annotations

import pytest

from microclaw.events import Edge
from microclaw.programs.proof.pin_track import draw_track, rhythms, spans_text
from microclaw.programs.proof.verdict import describe


def blink(first_ms: float, half_ms: float, count: int, *, pin: int = 2) -> list[Edge]:
    return [Edge(first_ms + half_ms * n, pin, (n + 1) % 2) for n in range(count)]


def test_track_of_a_blink_is_to_scale() -> None:
    track = draw_track(blink(250, 500, 8), start_ms=0, end_ms=4200, level=0, cells=42)
    assert track == "__|~~~~|____|~~~~|____|~~~~|____|~~~~|____"


def test_rhythm_of_even_edges() -> None:
    (found,) = rhythms(blink(20, 500, 8))
    assert (found.count, found.gap_s, found.period_s, found.spread) == (8, 0.5, 1.0, 0.0)
    assert (found.pin, found.first_ms, found.spacings_ms) == (2, 20, ((500,) * 7,))


def test_rhythm_of_a_pulse_counts_both_halves() -> None:
    edges = [Edge(0, 2, 1), Edge(100, 2, 0), Edge(1000, 2, 1), Edge(1100, 2, 0)]
    (found,) = rhythms(edges)
    assert found.period_s == pytest.approx(1.0)
    assert found.spread > 0.5
    assert found.spacings_ms == ((100, 100), (900,))


@pytest.mark.parametrize(
    ("track", "text"),
    [
        ([(0, 1), (1000, 0), (2000, 1), (3000, 0)], "high 1 s, low 1 s ×2"),
        (
            [(0, 1), (1000, 0), (2000, 1), (2000, 0), (3000, 1)],
            "high 1 s, low 1 s, high for an instant, low 1 s, high 1 s",
        ),
        ([(0, 1), (960, 0), (2000, 1), (3000, 0)], "high 0.96 s, low 1.04 s, high 1 s, low 1 s"),
    ],
)
def test_spans_are_shortened_only_if_the_levels_come_again_too(track: list[tuple[float, int]], text: str) -> None:
    assert spans_text(track, 4000) == text


def test_uneven_gaps_have_no_single_length() -> None:
    assert "0.500 s apart" in describe(blink(0, 500, 8))
    uneven = [Edge(at_ms, 2, 1) for at_ms in (0, 480, 1000, 1480, 2000)]
    assert "0.480 s to 0.520 s apart" in describe(uneven)
