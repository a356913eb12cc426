"""Runs a call of a tool so that it can be stopped as long as it has changed nothing; what has begun is finished."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from microclaw.agent.asking import TurnCancelled
from microclaw.auth.gate import Effect
from microclaw.operations.tool import Begin, ToolResult, result_of_error


class StoppableCalls:
    """One call after the other: of a turn, or of a program (api/tool_routes.py)."""

    def __init__(self) -> None:
        self.stopped = False
        self._harmless: asyncio.Timeout | None = None  # of a running call that has changed nothing yet

    def stop(self) -> None:
        """End the running call, its compiler included, unless it has begun to change something. None begins later."""
        self.stopped = True
        if self._harmless is not None and not self._harmless.expired():
            self._harmless.reschedule(0)

    async def run(self, effect: Effect, begin: Begin, call: Callable[[Begin], Awaitable[ToolResult]]) -> ToolResult:
        """The result of `call`, which awaits its argument right before it changes anything; `begin` is awaited then.

        The result says `cancelled` when it was stopped before.
        """

        async def begin_unless_stopped() -> None:
            if self.stopped:
                raise TurnCancelled()
            if effect is not Effect.READ and self._harmless is not None:
                self._harmless.reschedule(None)
                self._harmless = None
            await begin()

        try:
            async with asyncio.timeout(0 if self.stopped else None) as self._harmless:
                return await call(begin_unless_stopped)
        except TimeoutError:
            if not self.stopped:
                raise
            return result_of_error(TurnCancelled("it had changed nothing yet"))
        finally:
            self._harmless = None
