"""The journal of one turn, through which its calls run: replies and results. It asks no model.

A model's reply is on the disk before one of its effects may start and before the model is asked again. After a crash
the turn is read back: no reply is asked for again, and an effect that had started is repeated only if that is harmless.

A reply that follows by rule from the person's words (`literal`) is the same when it is asked for again: it waits for
the first effect that starts. Where that may be done twice, start and end need no writes of their own: they go with the
change that it makes (apps/change_log.py) and with the turn's answer.

An act of a message that was sent more than OLD_S ago is not done (old_orders.py asks about it).

A call can be stopped as long as it has changed nothing, its compiler included; what has begun is finished.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias, TypeVar

import msgspec

from microclaw.agent.toolbox import EndedError
from microclaw.auth.gate import Effect
from microclaw.errors import MicroclawError, OutcomeUnknown, after_acceptance
from microclaw.events import OLD_S
from microclaw.models.protocol import ModelReply, ToolCall
from microclaw.operations.tool import Begin, ToolResult, result_of_error
from microclaw.store.journal import EffectKey, Journal, TurnRow, Work
from microclaw.text import format_duration

OUTCOME_UNKNOWN: Final = OutcomeUnknown.code
OLD_ORDER: Final = "old_order"

T = TypeVar("T")
Run: TypeAlias = Callable[[Begin], Awaitable[ToolResult]]


class TurnCancelled(MicroclawError, code="cancelled"):
    def __init__(self, what: str = "what had begun is finished, nothing more is started") -> None:
        super().__init__(f"cancelled: {what}", next_step="microclaw app list shows what is running")


class ReplyRow(msgspec.Struct, frozen=True, tag_field="kind", tag="reply"):
    """A reply of the model."""

    reply: ModelReply


class ReadRow(msgspec.Struct, frozen=True, tag_field="kind", tag="read"):
    """The result of a call without effect; `index` is the call's position in the reply before it."""

    index: int
    result: ToolResult


Row: TypeAlias = ReplyRow | ReadRow


@dataclass(eq=False, slots=True)
class TurnJournal:
    """`message_id` None: the turn is never resumed, so only its effects are stored. `age_s`: of its message."""

    journal: Journal
    turn_id: str
    message_id: int | None = None
    age_s: float = 0.0
    stopped: bool = False
    is_literal: bool = False  # the reply whose calls run
    results: dict[EffectKey, ToolResult] = field(default_factory=dict)  # of calls from before a crash
    _open: set[EffectKey] = field(default_factory=set)
    _harmless: asyncio.Timeout | None = None  # of a running call that has changed nothing yet
    _position: int = 0
    _waiting: list[Work] = field(default_factory=list)  # not on the disk yet
    _has_ended: bool = False  # an effect whose end waits

    async def read_back(self) -> tuple[ModelReply, ...]:
        """The replies from before a crash, in order. Loads the results of their calls."""
        assert self.message_id is not None
        kept = await self.journal.rows(self.message_id)
        if kept:
            self._position = kept[-1].position + 1
        else:
            self._position = 0
        replies: list[ModelReply] = []
        for one in kept:
            row: Row = msgspec.convert(json.loads(one.body), Row)
            if isinstance(row, ReplyRow):
                replies.append(row.reply)
            else:
                self.results[EffectKey(self.turn_id, len(replies) - 1, row.index)] = row.result
        for effect in await self.journal.of_turn(self.turn_id):
            if effect.result is None:
                self._open.add(effect.key)
            else:
                self.results[effect.key] = msgspec.convert(json.loads(effect.result), ToolResult)
        return tuple(replies)

    def add(self, row: Row) -> None:
        """Add a row. It is written with the next effect that starts, or by `flush`."""
        if isinstance(row, ReplyRow):
            self.is_literal = row.reply.literal
        if self.message_id is not None:
            self._waiting.append(self.journal.adding(TurnRow(self.message_id, self._position, encode(row))))
            self._position += 1

    async def flush(self) -> None:
        """Write all that waits to the disk."""
        if self._waiting:
            with self.carried() as works:
                await self.journal.write(works)

    @contextmanager
    def carried(self) -> Iterator[Sequence[Work]]:
        """All that waits, for a transaction that is committed inside; when that fails it waits on."""
        works = self._waiting
        self._waiting = []
        try:
            yield works
        except Exception:
            self._waiting = [*works, *self._waiting]
            raise
        self._has_ended = False

    def stop(self) -> None:
        """End what runs in `until_stopped` unless it has begun to change something. Nothing begins later."""
        self.stopped = True
        if self._harmless is not None and not self._harmless.expired():
            self._harmless.reschedule(0)

    async def call(self, key: EffectKey, call: ToolCall, effect: Effect, run: Run) -> ToolResult:
        """Run a call and store its states. `run` awaits its argument right before it changes anything.

        A call that had started before a crash and may happen only once, or is old by now, is not run: its result is
        `outcome_unknown`. The result of one that `stop` ended says `cancelled`.
        Raises OutcomeUnknown if the store fails after the act was done.
        """
        if self._has_ended or not (self.is_literal or effect is Effect.READ):
            await self.flush()
        begun = key in self._open
        is_by_rule = self.is_literal and effect is Effect.IDEMPOTENT
        row = (key, call.name, call.arguments, effect.value)
        starting = partial(self.journal.starting, *row, message_id=self.message_id)

        async def begin() -> None:
            nonlocal begun
            if self.stopped:
                raise TurnCancelled()
            if effect is Effect.READ:
                return
            if self._harmless is not None:
                self._harmless.reschedule(None)
                self._harmless = None
            if not begun:
                begun = True
                self._waiting.append(starting())
                if not is_by_rule:
                    await self.flush()

        is_old = self.age_s > OLD_S and effect is not Effect.READ
        if begun and (is_old or effect is Effect.ONCE):
            result = outcome_unknown(call)
        elif is_old:
            result = result_of_error(old_order(self.age_s))
        else:
            try:
                result = await self.until_stopped(run(begin))
            except TurnCancelled:
                result = result_of_error(TurnCancelled("it had changed nothing yet"))
        if effect is Effect.READ:
            self.add(ReadRow(key.position, result))
            return result
        if not begun:
            self._waiting.append(starting(dropped=None if result.ok else encode(result)))
        may_be_done = begun or result.ok
        if may_be_done:
            self._waiting.append(self.journal.ending(key, encode(result), ok=result.ok))
        self._has_ended = True
        if self.message_id is None or not is_by_rule:
            with after_acceptance(call.name) if may_be_done else nullcontext():
                await self.flush()
        return result

    async def until_stopped(self, work: Awaitable[T], deadline: float | None = None) -> T:
        """The result of `work`. TurnCancelled when `stop` ended it, TimeoutError at the loop's time `deadline`."""
        try:
            async with asyncio.timeout_at(0 if self.stopped else deadline) as self._harmless:
                return await work
        except TimeoutError:
            if self.stopped:
                raise TurnCancelled() from None
            raise
        finally:
            self._harmless = None


def outcome_unknown(call: ToolCall) -> ToolResult:
    """The result of a call that a crash cut off."""
    message = f"the host stopped while {call.name} was running: outcome unknown, it may have been done or not"
    return result_of_error(EndedError(message, OUTCOME_UNKNOWN, "look whether it happened, then say whether to do it"))


def old_order(age_s: float) -> EndedError:
    """Build the error of an act that was ordered `age_s` ago."""
    age = format_duration(age_s * 1000, decimals=0)
    return EndedError(
        f"that was sent {age} ago, so it is not done", OLD_ORDER, "say it again if it is still to be done"
    )


def encode(value: Row | ToolResult) -> str:
    """JSON text, also of text that is not valid Unicode (msgspec's own encoder refuses it)."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))
