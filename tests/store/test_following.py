"""A part's refresh: soon after another host's change, one at a time, again after what came meanwhile or failed."""

from __future__ import annotations

import asyncio

import pytest
from tests.store.two_hosts import until

from microclaw.store.postgres import Follower


async def test_refreshes_run_one_at_a_time_again_after_what_came_meanwhile_and_after_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, may_end = list[str](), asyncio.Event()

    async def refresh() -> None:
        begun.append("begin")
        await may_end.wait()
        if len(begun) == 1:
            raise OSError("a disk that is slow to wake")
        begun.append("end")

    follower = Follower(frozenset({"devices"}), refresh)
    follower.changed(frozenset({"devices"}))
    await until(lambda: begun)
    may_end.set()
    await until(lambda: len(begun) == 3)  # the failed one is done again
    assert caplog.records
    may_end.clear()
    follower.changed(frozenset({"devices"}))
    await until(lambda: len(begun) == 4)
    for _ in range(5):
        follower.changed(frozenset({"devices", "faces"}))
        follower.changed(frozenset({"people"}))
    may_end.set()
    await until(lambda: len(begun) == 7)
    assert begun == ["begin", *["begin", "end"] * 3]
    follower.task.cancel()
