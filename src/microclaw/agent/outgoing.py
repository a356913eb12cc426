"""What a channel does for as long as it runs, whatever one message does to it. It sends nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from microclaw.agent.outbox import Outbound, Outbox
from microclaw.errors import MicroclawError

PAUSE_S: Final = 1.0
_log = logging.getLogger(__name__)


async def surviving(work: Coroutine[Any, Any, None], name: str) -> None:
    """A task whose failure must not end its group, and with it the host."""
    try:
        await work
    except Exception:
        _log.exception("%s failed", name)


async def outgoing(outbox: Outbox, channel: str, pause_s: float = PAUSE_S) -> AsyncGenerator[Outbound]:
    """`outbox.outgoing`, asked anew when the store cannot answer for a moment."""
    while True:
        try:
            async for outbound in outbox.outgoing(channel):
                yield outbound
        except MicroclawError as exc:
            _log.warning("%s: what waits to go out cannot be read: %s; trying again", channel, exc.message)
        await asyncio.sleep(pause_s)
