"""Notices that a model asks a second time for an act that this turn has done. It runs nothing.

An act counts as the same while nothing came between that may have changed its effect: pin 4 high, low, high are three
acts; high, high is one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from microclaw.agent.acts import outcome_of
from microclaw.auth.gate import Effect
from microclaw.models.protocol import ToolCall
from microclaw.operations.tool import ToolResult, bounded_json
from microclaw.validation import read_object

_CHANGES_ALL: Final = "undo"
_SAYS: Final = "you did that already in this turn, so it was not done again; `result` is what came of it"


class Repeats:
    """The acts that this turn has done, by what they are about."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, ...], tuple[str, ToolResult]] = {}

    def answer_to(self, call: ToolCall) -> ToolResult | None:
        """The answer to a call that is not to run, as it did already; None for every other one."""
        subject, asked = _read(call)
        done, result = self._done.get(subject, ("", None))
        if result is None or done != asked:
            return None
        fields = {"success": result.ok, "repeated": True, "message": _SAYS, "result": _parsed(result.content)}
        return ToolResult(bounded_json(fields), ok=True, foreign=result.foreign)

    def returned(self, call: ToolCall, effect: Effect, result: ToolResult) -> None:
        """Take note of a call that ran. One that failed may be tried again, unless it may have been done after all."""
        outcome = outcome_of(effect, result)
        if effect is Effect.READ or outcome not in ("done", "unknown"):
            return
        subject, asked = _read(call)
        if call.name == _CHANGES_ALL:
            self._done.clear()
        elif subject[0] == "app":  # it may have set any pin
            self._done = {key: done for key, done in self._done.items() if key[0] != "pin"}
        self._done.pop(subject, None)
        if outcome == "done" or effect is Effect.ONCE:
            self._done[subject] = (asked, result)


def _read(call: ToolCall) -> tuple[tuple[str, ...], str]:
    """What a call is about, and the call in one written form."""
    fields = _parsed(call.arguments or "{}")
    if not isinstance(fields, dict):
        return (call.name, call.arguments), call.arguments
    given = {key: value for key, value in fields.items() if value is not None}
    asked = f"{call.name} {json.dumps(given, sort_keys=True)}"
    for kind, key in (("app", "appName"), ("pin", "pin")):
        if key in given:
            return (kind, str(given.get("device", given.get("deviceIp", ""))), str(given[key])), asked
    return (call.name, asked), asked


def _parsed(text: str) -> Any:
    try:
        return read_object(text)
    except ValueError:
        return text
