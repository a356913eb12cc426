"""The device plane on uvloop, which is what a host runs on: its timers are not asyncio's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.config import LinkConfig
from microclaw.wire.link.messages import Notify


@pytest.fixture
def limits() -> LinkLimits:
    """Limits with which an unacked message is due again at once: a timer whose time has come when it is set."""
    return LinkLimits(session=LinkConfig(ack_timeout_ms=0))


async def test_a_timer_that_is_due_already_does_not_end_the_connection(plane: Any, paired: Any) -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    async with paired.connected():
        await paired.until_ready()
        for number in range(40):
            assert await plane.plane.notify("lamp", f"note {number}", speak=False, expires_s=None) == "delivered"
        assert [(await paired.next(Notify)).text for _ in range(40)] == [f"note {number}" for number in range(40)]
        assert paired.closed is None
