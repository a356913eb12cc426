"""The event loop is watched by a thread, which tells where it stood still."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from microclaw.interfaces.api.loop_watch import LoopWatch

STALL_S = 0.1


def stand_still(watch: LoopWatch) -> None:
    """Hold the loop for long enough to count, and until the thread that watches it has seen it here."""
    seen_s = 0.0
    while watch.place is None or time.monotonic() - seen_s < STALL_S:
        if watch.place is None:
            seen_s = time.monotonic()


async def test_a_moment_in_which_the_loop_stood_still_is_counted_and_logged_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = LoopWatch(STALL_S)
    with caplog.at_level(logging.WARNING), watch.watching():
        stand_still(watch)
        for _ in range(3):  # the loop's own turn, which tells
            await asyncio.sleep(0)
    assert watch.stalls >= 1
    assert watch.longest_s >= STALL_S
    assert "stand_still" in caplog.text
