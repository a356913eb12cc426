"""Programs that models tried to put on devices, read from the journal: each source's hash, and its diagnostics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from microclaw.agent.acts import DEPLOY_TOOL, fields_of
from microclaw.agent.turn_journal import INTERRUPTED, result_from
from microclaw.apps.results import Attempt
from microclaw.store.journal import EffectRow, Journal
from microclaw.text import without_fences


async def latest_attempts(journal: Journal, limit: int) -> list[Attempt]:
    """Newest first."""
    return attempts_of(await journal.of_tool(DEPLOY_TOOL, limit))[::-1]


def attempts_of(rows: Iterable[EffectRow]) -> list[Attempt]:
    """The attempts among effects, in their order; a call without source code is not counted."""
    attempts = []
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        asked = fields_of(row.arguments)
        source, app = asked.get("sourceCode"), asked.get("appName")
        if row.tool != DEPLOY_TOOL or not isinstance(source, str) or not isinstance(app, str):
            continue
        turn = (row.turn, app)
        counted[turn] = counted.get(turn, 0) + 1
        failed = row.state in ("failed", "dropped")
        failure = fields_of(result_from(row.result).content) if failed and row.result else {}
        refused = row.state == "dropped" and failure.get("error") != INTERRUPTED  # before anything was done
        attempts.append(
            Attempt(
                at_ms=row.planned_ms,
                turn=row.turn,
                number=counted[turn],
                app=app,
                device=_text(asked.get("device")),
                source_sha256=hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest(),
                state="failed" if refused else row.state,
                error=_text(failure.get("error")),
                message=None if (message := _text(failure.get("message"))) is None else without_fences(message),
                diagnostics=[str(text) for text in failure.get("diagnostics", ())],
            )
        )
    return attempts


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
