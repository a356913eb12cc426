"""uvloop's timers, on which a host runs, are not asyncio's: one may be due when it is set."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from tests.devices.link.conftest import device as device
from tests.devices.link.conftest import paired as paired
from tests.devices.link.conftest import scripted as scripted

from microclaw.devices.link.limits import LinkLimits
from microclaw.wire.link.messages import Notify
from microclaw.wire.link.session import LinkConfig


@pytest.mark.parametrize("limits", [LinkLimits(session=LinkConfig(ack_timeout_ms=0))])
async def test_an_unacked_message_that_is_due_again_at_once_does_not_end_the_connection(
    plane: Any, paired: Any
) -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    async with paired.online():
        for number in range(40):
            await plane.plane.notify("lamp", f"note {number}", speak=False, expires_s=None)
        assert [(await paired.next(Notify)).text for _ in range(40)] == [f"note {number}" for number in range(40)]
        assert paired.closed is None
