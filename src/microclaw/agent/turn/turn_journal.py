"""The journal of one turn, through which its calls run: replies and results. It asks no model.

A model's reply is on the disk before one of its effects may start and before the model is asked again. After a crash
the turn is read back: no reply is asked for again, and an effect that had started is repeated only if that is harmless.

A reply that follows by rule from the person's words (`literal`) is the same when it is asked for again, so it is
written only when the first effect starts. If that effect may be done twice, its start and end need no writes of their
own: they are written with the change that it makes (programs/changes/change_log.py) and with the turn's answer.

An act of a message that was sent more than OLD_S ago is not done (old_orders.py asks about it).

A call can be stopped until it changes something, its compiler included; a change that has begun is finished.
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

from microclaw.agent.models.protocol import ModelReply, ToolCall
from microclaw.agent.turn.toolbox import EndedError
from microclaw.conversion import convert
from microclaw.errors import MicroclawError, OutcomeUnknown, after_acceptance
from microclaw.events import OLD_S
from microclaw.host.operations.operation import Effect
from microclaw.host.operations.tool import Begin, ToolResult, result_of_error
from microclaw.host.store.journal import EffectKey, Journal, TurnRow, Work
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
    """The journal of a turn. `age_s` is the age of its message.

    `message_id` None: the turn is never resumed, so only its effects are stored.
    """

    journal: Journal
    turn_id: str
    message_id: int | None = None
    age_s: float = 0.0
    stopped: bool = False
    # The reply whose calls run is literal.
    is_literal: bool = False
    # The results of calls from before a crash.
    results: dict[EffectKey, ToolResult] = field(default_factory=dict)
    _open: set[EffectKey] = field(default_factory=set)
    # The timeout of a running call that has changed nothing yet.
    _harmless: asyncio.Timeout | None = None
    _position: int = 0
    # The rows that are not on the disk yet; `_has_ended` if the end of an effect is among them.
    _waiting: list[Work] = field(default_factory=list)
    _has_ended: bool = False

    async def read_back(self) -> tuple[ModelReply, ...]:
        """Return the replies from before a crash, in order, and load the results of their calls."""
        assert self.message_id is not None
        stored_rows = await self.journal.rows(self.message_id)
        self._position = 0
        if stored_rows:
            self._position = stored_rows[-1].position + 1
        replies: list[ModelReply] = []
        for stored_row in stored_rows:
            row: Row = convert(json.loads(stored_row.body), Row)
            if isinstance(row, ReplyRow):
                replies.append(row.reply)
            else:
                self.results[EffectKey(self.turn_id, len(replies) - 1, row.index)] = row.result
        for effect in await self.journal.of_turn(self.turn_id):
            if effect.result is None:
                self._open.add(effect.key)
            else:
                self.results[effect.key] = convert(json.loads(effect.result), ToolResult)
        return tuple(replies)

    def add(self, row: Row) -> None:
        """Add a row. It is written with the next effect that starts, or by `flush`."""
        if isinstance(row, ReplyRow):
            self.is_literal = row.reply.literal
        if self.message_id is not None:
            self._waiting.append(self.journal.build_row(TurnRow(self.message_id, self._position, encode(row))))
            self._position += 1

    async def flush(self) -> None:
        """Write all waiting rows to the disk."""
        if self._waiting:
            with self.take_waiting_rows() as works:
                await self.journal.write(works)

    @contextmanager
    def take_waiting_rows(self) -> Iterator[Sequence[Work]]:
        """Yield the waiting rows for a transaction that is committed inside; after an error they wait again."""
        works = self._waiting
        self._waiting = []
        try:
            yield works
        except Exception:
            self._waiting = [*works, *self._waiting]
            raise
        self._has_ended = False

    def stop(self) -> None:
        """Cancel the work in `until_stopped` unless it has begun to change something. Nothing begins later."""
        self.stopped = True
        if self._harmless is not None and not self._harmless.expired():
            self._harmless.reschedule(0)

    async def call(self, key: EffectKey, call: ToolCall, effect: Effect, run: Run) -> ToolResult:
        """Run a call and store its states. `run` awaits its argument right before it changes anything.

        A call that had started before a crash and may happen only once, or is old by now, is not run: its result is
        `outcome_unknown`. The result of a call that `stop` ended says `cancelled`.
        Raises OutcomeUnknown if the store fails after the act was done.
        """
        if self._has_ended or not (self.is_literal or effect is Effect.READ):
            await self.flush()
        if effect is Effect.READ:
            result = await self._run_until_stopped(run, self._check_stopped)
            self.add(ReadRow(key.position, result))
            return result
        return await self._change(key, call, effect, run)

    async def _change(self, key: EffectKey, call: ToolCall, effect: Effect, run: Run) -> ToolResult:
        """Run a call that is not only a read, and store its start and end."""
        has_begun = key in self._open
        is_by_rule = self.is_literal and effect is Effect.IDEMPOTENT
        row = (key, call.name, call.arguments, effect.value)
        starting = partial(self.journal.build_start, *row, message_id=self.message_id)

        async def begin() -> None:
            nonlocal has_begun
            await self._check_stopped()
            if self._harmless is not None:
                self._harmless.reschedule(None)
                self._harmless = None
            if not has_begun:
                has_begun = True
                self._waiting.append(starting())
                if not is_by_rule:
                    await self.flush()

        is_old = self.age_s > OLD_S
        if has_begun and (is_old or effect is Effect.ONCE):
            result = outcome_unknown(call)
        elif is_old:
            result = result_of_error(old_order(self.age_s))
        else:
            result = await self._run_until_stopped(run, begin)
        if not has_begun:
            dropped = None if result.ok else encode(result)
            self._waiting.append(starting(dropped=dropped))
        may_be_done = has_begun or result.ok
        if may_be_done:
            self._waiting.append(self.journal.build_end(key, encode(result), ok=result.ok))
        self._has_ended = True
        if self.message_id is None or not is_by_rule:
            guard = after_acceptance(call.name) if may_be_done else nullcontext()
            with guard:
                await self.flush()
        return result

    async def _check_stopped(self) -> None:
        if self.stopped:
            raise TurnCancelled()

    async def _run_until_stopped(self, run: Run, begin: Begin) -> ToolResult:
        try:
            return await self.until_stopped(run(begin))
        except TurnCancelled:
            return result_of_error(TurnCancelled("it had changed nothing yet"))

    async def until_stopped(self, work: Awaitable[T], deadline: float | None = None) -> T:
        """Return the result of `work`.

        Raises TurnCancelled if `stop` ended it, TimeoutError at the event loop's time `deadline`.
        """
        try:
            end = 0 if self.stopped else deadline
            async with asyncio.timeout_at(end) as self._harmless:
                return await work
        except TimeoutError:
            if self.stopped:
                raise TurnCancelled() from None
            raise
        finally:
            self._harmless = None


def outcome_unknown(call: ToolCall) -> ToolResult:
    """Return the result of a call that a crash interrupted."""
    message = f"the host stopped while {call.name} was running: outcome unknown, it may have been done or not"
    return result_of_error(EndedError(message, OUTCOME_UNKNOWN, "look whether it happened, then say whether to do it"))


def old_order(age_s: float) -> EndedError:
    """Build the error of an act that was ordered `age_s` ago."""
    age = format_duration(age_s * 1000, decimals=0)
    return EndedError(
        f"that was sent {age} ago, so it is not done", OLD_ORDER, "say it again if it is still to be done"
    )


def encode(value: Row | ToolResult) -> str:
    """Return a value as JSON, even if its text is not valid Unicode, which msgspec's own encoder refuses."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))
