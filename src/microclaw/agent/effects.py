"""Tool calls that change something, journaled planned, started, done; after a crash each is taken up where it was.

It runs one call and decides one thing: what a crash left half done is never done twice unless twice is the same.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol, TypeAlias

from microclaw.agent.turn_log import result_from_journal
from microclaw.auth.gate import Effect
from microclaw.models.protocol import ToolCall
from microclaw.store.journal import EffectKey, EffectRow, UnfinishedEffect
from microclaw.tools.tool import Begin, ToolResult

OUTCOME_UNKNOWN: Final = "outcome_unknown"
INTERRUPTED: Final = "interrupted"
_LOOK_FIRST: Final = "look whether it happened, then say whether to do it again"

Run: TypeAlias = Callable[[Begin], Awaitable[ToolResult]]


class EffectJournal(Protocol):
    """What a turn needs of the journal (store.journal)."""

    async def planned(self, key: EffectKey, tool: str, arguments: str, effect: str) -> None: ...

    async def started(self, key: EffectKey) -> None: ...

    async def done(self, key: EffectKey, result: str, *, ok: bool) -> None: ...

    async def get(self, key: EffectKey) -> EffectRow | None: ...

    async def unfinished(self) -> Sequence[UnfinishedEffect]: ...

    async def prune(self, before_ms: int) -> int: ...


async def run_journaled(journal: EffectJournal, key: EffectKey, call: ToolCall, effect: Effect, run: Run) -> ToolResult:
    """Run a call between its journal entries; a call without effect leaves none.

    `run` awaits what it is given right before it changes anything.
    """
    if effect is Effect.READ:
        return await run(_nothing)
    await journal.planned(key, call.name, call.arguments, effect.value)
    return await _run(journal, key, run, begun=False)


async def resume_journaled(
    journal: EffectJournal, key: EffectKey, call: ToolCall, effect: Effect, run: Run
) -> ToolResult:
    """What became of a call before the crash, or its run now.

    Finished: its result. Started and `once`: closed as a failure with OUTCOME_UNKNOWN. Anything else runs (again).
    """
    before = await journal.get(key) if effect is not Effect.READ else None
    if before is None:
        return await run_journaled(journal, key, call, effect, run)
    if before.state in ("planned", "started"):
        if before.state == "started" and before.effect == Effect.ONCE.value:
            return await _close_unknown(journal, key, call)
        return await _run(journal, key, run, begun=before.state == "started")
    return result_from_journal(before.result or "{}", ok=before.state == "done")


async def settle(journal: EffectJournal, resumed: Collection[str] = ()) -> tuple[str, ...]:
    """Close what a crash left open, one sentence for each: nothing is run again. The turns in `resumed` go on."""
    sentences = []
    for left in await journal.unfinished():
        if left.key.turn in resumed:
            continue
        if not left.started:
            outcome = "had not started: nothing was done"
        elif left.effect == Effect.ONCE.value:
            outcome = "had started: outcome unknown, look before you ask for it again"
        else:
            outcome = "had started and may be unfinished: asking for it again is safe"
        sentences.append(f"{left.tool} {left.arguments[:120]}: {outcome}")
        told = {"success": False, "error": INTERRUPTED, "message": outcome}
        await journal.done(left.key, json.dumps(told), ok=False)
    return tuple(sentences)


async def _run(journal: EffectJournal, key: EffectKey, run: Run, *, begun: bool) -> ToolResult:
    started = begun

    async def begin() -> None:
        nonlocal started
        if not started:
            await journal.started(key)
            started = True

    try:
        result = await run(begin)
    except Exception:  # a fault of ours: the turn ends with it, and the entry must not stay open
        await journal.done(key, '{"success":false,"error":"internal","message":"a fault inside the host"}', ok=False)
        raise
    if result.ok:
        await begin()
    await journal.done(key, result.content, ok=result.ok)
    return result


async def _close_unknown(journal: EffectJournal, key: EffectKey, call: ToolCall) -> ToolResult:
    message = f"the host stopped while {call.name} was running: outcome unknown, it may have been done or not"
    content = json.dumps({"success": False, "error": OUTCOME_UNKNOWN, "message": message, "next": _LOOK_FIRST})
    await journal.done(key, content, ok=False)
    return ToolResult(content, ok=False, error_code=OUTCOME_UNKNOWN, next_step=_LOOK_FIRST)


async def _nothing() -> None:
    pass
