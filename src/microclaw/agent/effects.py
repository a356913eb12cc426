"""Tool calls that change something, journaled planned, started, done. Runs one call; decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from microclaw.models.protocol import ToolCall
from microclaw.policy.gate import Effect
from microclaw.store.journal import EffectKey, UnfinishedEffect
from microclaw.tools.tool import ToolResult


class EffectJournal(Protocol):
    """What a turn needs of the journal (store.journal)."""

    async def planned(self, key: EffectKey, tool: str, arguments: str, effect: str) -> None: ...

    async def started(self, key: EffectKey) -> None: ...

    async def done(self, key: EffectKey, result: str, *, ok: bool) -> None: ...

    async def unfinished(self) -> Sequence[UnfinishedEffect]: ...


async def run_journaled(
    journal: EffectJournal, key: EffectKey, call: ToolCall, effect: Effect, run: Callable[[], Awaitable[ToolResult]]
) -> ToolResult:
    """Run a call between its journal entries; a call without effect leaves none."""
    if effect is Effect.READ:
        return await run()
    await journal.planned(key, call.name, call.arguments, effect.value)
    await journal.started(key)
    result = await run()
    await journal.done(key, result.content, ok=result.ok)
    return result


async def settle(journal: EffectJournal) -> tuple[str, ...]:
    """Close what a crash left open, one sentence for each: nothing is run again."""
    sentences = []
    for left in await journal.unfinished():
        if not left.started:
            outcome = "had not started: nothing was done"
        elif left.effect == Effect.ONCE.value:
            outcome = "had started: outcome unknown, look before you ask for it again"
        else:
            outcome = "had started and may be unfinished: asking for it again is safe"
        sentences.append(f"{left.tool} {left.arguments[:120]}: {outcome}")
        await journal.done(left.key, f'{{"success":false,"error":"interrupted","message":"{outcome}"}}', ok=False)
    return tuple(sentences)
