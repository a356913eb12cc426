"""A program's claim of memory on the virtual board, whose collector runs only between two steps."""

from __future__ import annotations

import pytest
from tests.virtual.py.conftest import Bench

from microclaw.virtual.py.programs import CallRefused

LEAKS = """
async def main(E):
    kept = []
    while True:
        await E.y()
        kept.append(bytearray(100))
        await E.sleep_ms(5)
"""
TAKES = """
async def main(E):
    kept = bytearray(30_000)
    await E.sleep(100)
"""
WASTES = """
async def main(E):
    n = 0
    while True:
        await E.y()
        n += 1
        kept = bytearray(3000 + n % 7 * 100)
        await E.sleep_ms(3)
"""


def test_a_program_that_takes_what_the_board_needs_is_ended(bench: Bench) -> None:
    bench.install("bad", LEAKS)
    bench.clock.advance(20_000)
    assert bench.row("bad")["state"] == "trapped"
    assert "MemoryError" in str(bench.row("bad")["error"])


def test_a_program_may_hold_more_than_its_claim_while_the_board_has_room(bench: Bench) -> None:
    bench.install("big", TAKES)
    bench.clock.advance(20_000)
    assert bench.row("big")["state"] == "running"


def test_rubbish_is_no_reason_to_end_a_program(bench: Bench) -> None:
    bench.install("waste", WASTES)
    bench.install("more", WASTES)
    bench.clock.advance(4_000)
    assert [(row["state"], row.get("error")) for row in bench.programs.rows()] == [("running", None)] * 2
    assert not bench.events


def test_claims_beyond_what_the_board_has_are_refused(bench: Bench) -> None:
    bench.install("one", WASTES, heap=24_576)
    with pytest.raises(CallRefused):
        bench.install("two", WASTES, heap=24_576)
