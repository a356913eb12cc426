"""The event loop is watched by a thread, which tells where it stood still."""

from __future__ import annotations

import asyncio
import logging

import pytest

from microclaw.loop_watch import LoopWatch


def stand_still(watch: LoopWatch) -> None:
    """Hold the loop until the thread that watches it has seen it here."""
    while watch.place is None:
        pass


async def test_a_moment_in_which_the_loop_stood_still_is_counted_and_logged_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = LoopWatch(stall_s=0.01)
    with caplog.at_level(logging.WARNING), watch.watching():
        stand_still(watch)
        for _ in range(3):  # the loop's own turn, which tells
            await asyncio.sleep(0)
    assert watch.stalls >= 1
    assert watch.longest_s >= 0.01
    assert "stand_still" in caplog.text
