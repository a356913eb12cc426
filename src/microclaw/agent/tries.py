"""Programs that models tried to put on devices, read from the journal: each source's hash, and its diagnostics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from microclaw.agent.effects import INTERRUPTED
from microclaw.store.journal import EffectRow, EffectState, Journal

DEPLOY_TOOL = "deploy-wasm-app"


@dataclass(frozen=True, slots=True)
class Try:
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


async def latest_tries(journal: Journal, limit: int) -> tuple[Try, ...]:
    """Newest first."""
    return tuple(reversed(tries_of(await journal.of_tool(DEPLOY_TOOL, limit))))


def tries_of(rows: Iterable[EffectRow]) -> tuple[Try, ...]:
    """The tries among effects, in their order; a call that named no source is none."""
    tries = []
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        asked = _fields(row.arguments)
        source, app = asked.get("sourceCode"), asked.get("appName")
        if row.tool != DEPLOY_TOOL or not isinstance(source, str) or not isinstance(app, str):
            continue
        turn = (row.key.turn, app)
        counted[turn] = counted.get(turn, 0) + 1
        told = _fields(row.result) if row.state in ("failed", "dropped") else {}
        refused = row.state == "dropped" and told.get("error") != INTERRUPTED  # before anything was done
        tries.append(
            Try(
                row.planned_ms,
                row.key.turn,
                counted[turn],
                app,
                _text(asked.get("device")),
                hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest(),
                "failed" if refused else row.state,
                _text(told.get("error")),
                _text(told.get("message")),
                tuple(str(text) for text in told.get("diagnostics", ())),
            )
        )
    return tuple(tries)


def _fields(text: str | None) -> dict[str, Any]:
    """A JSON object; empty for anything else, as a model may write anything."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
