"""Programs that models tried to put on devices, read from the journal: each source's hash, and its diagnostics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from microclaw.agent.turn_journal import INTERRUPTED, result_from
from microclaw.store.journal import EffectRow, EffectState, Journal
from microclaw.text import without_fences
from microclaw.validation import read_object

DEPLOY_TOOL = "deploy-wasm-app"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One program of a turn; `number` counts the turn's programs for that app from 1."""

    at_ms: int
    turn: str
    number: int
    app: str
    device: str | None
    source_sha256: str
    state: EffectState
    error: str | None
    message: str | None
    diagnostics: tuple[str, ...]


async def latest_attempts(journal: Journal, limit: int) -> tuple[Attempt, ...]:
    """Newest first."""
    return tuple(reversed(attempts_of(await journal.of_tool(DEPLOY_TOOL, limit))))


def attempts_of(rows: Iterable[EffectRow]) -> tuple[Attempt, ...]:
    """The attempts among effects, in their order; a call without source code is not counted."""
    attempts = []
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        asked = _fields(row.arguments)
        source, app = asked.get("sourceCode"), asked.get("appName")
        if row.tool != DEPLOY_TOOL or not isinstance(source, str) or not isinstance(app, str):
            continue
        turn = (row.turn, app)
        counted[turn] = counted.get(turn, 0) + 1
        failed = row.state in ("failed", "dropped")
        failure = _fields(result_from(row.result).content) if failed and row.result else {}
        refused = row.state == "dropped" and failure.get("error") != INTERRUPTED  # before anything was done
        attempts.append(
            Attempt(
                row.planned_ms,
                row.turn,
                counted[turn],
                app,
                _text(asked.get("device")),
                hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest(),
                "failed" if refused else row.state,
                _text(failure.get("error")),
                None if (message := _text(failure.get("message"))) is None else without_fences(message),
                tuple(str(text) for text in failure.get("diagnostics", ())),
            )
        )
    return tuple(attempts)


def _fields(text: str | None) -> dict[str, Any]:
    """The JSON object in a text; empty for anything else."""
    try:
        return read_object(text or "{}")
    except ValueError:
        return {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
