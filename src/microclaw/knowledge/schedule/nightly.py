"""Work of the host's own at times of cron, as the consolidation of notes. It is no schedule of anybody's.

It is done at the start too, for the times at which the host was off: the work knows what is new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from microclaw.errors import ConfigError, MicroclawError, ScheduleRefused
from microclaw.knowledge.schedule.entry import Cron, check_cron, next_due, zone_of
from microclaw.knowledge.schedule.runner import Clock

_log = logging.getLogger(__name__)


class Nightly:
    """`await Nightly(...).run()` until it is cancelled. `work` is given the time where the host's people are."""

    def __init__(
        self, expression: str, zone: str, work: Callable[[datetime], Awaitable[object]], *, name: str, clock: Clock
    ) -> None:
        """ConfigError for an expression that is none."""
        try:
            self._cron: Cron = check_cron(expression, zone)
        except ScheduleRefused as exc:
            raise ConfigError(f"{name}: {exc.message}", next_step=exc.next_step) from exc
        self._work = work
        self._name = name
        self._clock = clock

    async def run(self) -> None:
        never = asyncio.Event()
        while True:
            await self._once()
            now_ms = self._clock.now_ms()
            due_ms = next_due(self._cron, now_ms)
            while due_ms is None or now_ms < due_ms:
                due_ms = next_due(self._cron, now_ms)  # nearer, where the clock was set back
                await self._clock.wait(never, due_ms)
                now_ms = self._clock.now_ms()

    async def _once(self) -> None:
        try:
            await self._work(datetime.fromtimestamp(self._clock.now_ms() / 1000, zone_of(self._cron.zone)))
        except MicroclawError as exc:
            _log.warning("%s: %s", self._name, exc.message)
        except Exception:
            _log.exception("%s failed; it is tried again at its next time", self._name)
