"""Pin timelines of a client's own calls, kept to be read as resources. Bounded; nothing is stored."""

from __future__ import annotations

import secrets
from typing import Any, Final

MAX_TRIALS: Final = 64
TRIAL_TOOLS: Final = frozenset({"try-program", "deploy-wasm-app"})


class Trials:
    """The newest timelines by id. Full: the oldest goes. An id is for who made it alone."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, dict[str, Any]]] = {}

    def keep(self, owner: str, tool: str, result: dict[str, Any]) -> str | None:
        """Its id; None for a result without a timeline."""
        edges = [edge for evidence in result["evidence"] for edge in evidence["edges"]]
        if tool not in TRIAL_TOOLS or not edges:
            return None
        content = result["content"]
        trial_id = secrets.token_hex(4)
        self._kept[trial_id] = (
            owner,
            {
                "trial": trial_id,
                "tool": tool,
                "summary": content.get("summary") or content.get("trial") or content.get("message"),
                "edges": edges,
                "pins": by_pin(edges),
            },
        )
        if len(self._kept) > MAX_TRIALS:
            self._kept.pop(next(iter(self._kept)))
        return trial_id

    def get(self, owner: str, trial_id: str) -> dict[str, Any] | None:
        kept = self._kept.get(trial_id)
        return kept[1] if kept is not None and kept[0] == owner else None

    def of(self, owner: str) -> list[dict[str, Any]]:
        return [trial for whose, trial in self._kept.values() if whose == owner]


def by_pin(edges: list[list[float]]) -> dict[str, list[list[float]]]:
    """[[t_ms, pin, level], ...] as {pin: [[t_ms, level], ...]}."""
    pins: dict[str, list[list[float]]] = {}
    for t_ms, pin, level in edges:
        pins.setdefault(str(int(pin)), []).append([t_ms, level])
    return pins
