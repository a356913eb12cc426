"""The acts of a chat that the change log does not hold: a schedule made or removed, a fact remembered or forgotten.

"undo", "delete it" and "no, the pump is on pin 17" right after the last one are about it, and not about an older change
of a board. Plain values, calls no tool itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.offline.decision import Context, Result, Say
from microclaw.offline.names import told_name
from microclaw.offline.parse import Parse

_TOOLS: Final = frozenset({"schedule-add", "schedule-remove", "remember", "forget"})
_LOGGED: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo", "act-on-boards"}
    | {"set-program-times"}
)
_MAX_KEPT: Final = 8
_ASIDES: Final = frozenset(
    {"help", "greeting", "clock", "list_schedules", "recall"}
)  # after them "it" is still the act
_IT: Final = r"(?:it|that|this|that one|this one|the last one)"
_REMOVE: Final = re.compile(
    rf"(?:please )?(?:delete|remove|cancel|drop|forget|erase|clear|stop|get rid of) {_IT}(?: again)?(?: please)?"
)
_NO: Final = re.compile(
    r"(?i)^\s*(?:(?:no|nope|nah|oops|sorry|wait|actually|wrong|rather|i mean|i meant|i said)\b[\s,.:!]*)+"
)
_PIN: Final = re.compile(r"(?:(?:it|that) (?:is|was) |it's |that's |(?:i )?meant? |on |at )*(?:pin )?(\d{1,3})")


class UnloggedAct(Struct, frozen=True):
    """An act that `tool` made or removed: a schedule's number, or lines of memory. `age` counts other answers since.

    `changes` counts the acts on boards after it, which undo reverts first.
    """

    tool: str
    schedule: int | None = None
    lines: tuple[str, ...] = ()
    age: int = 0
    changes: int = 0


UnloggedActs: TypeAlias = tuple[UnloggedAct, ...]
"""The newest is last."""


def unlogged_after(at: Context | None, results: Sequence[Result], before: UnloggedActs) -> UnloggedActs:
    """The acts after an answer, without the one that "undo" reverted, or asked about."""
    *older, last = before or (UnloggedAct(""),)
    failed = any(not result.ok and "removed" not in result.fields for result in results)
    if at is not None and at.parse.values.get("undo") and not at.parse.confirmed and not failed:
        return tuple(older)
    aged = replace(last, age=last.age + 1)
    if changed := {result.tool for result in results if _is_change(result)}:
        changes = last.changes + (changed != {"undo"}) - ("undo" in changed)
        return (*older, replace(aged, changes=max(0, changes))) if before else ()
    if (made := _made(results)) is not None:
        return (*before, made)[-_MAX_KEPT:]
    if not before or at is None or at.parse.kind in _ASIDES:
        return before
    return tuple(older) if at.parse == taking_back(last) else (*older, aged)  # gone: a schedule that has run


def _is_change(result: Result) -> bool:
    made = result.fields.get("change") or result.fields.get("changes")
    return result.ok and bool(made) and result.tool in _LOGGED and result.fields.get("switch") != "restart"


def _made(results: Sequence[Result]) -> UnloggedAct | None:
    for result in reversed(results):
        if not result.ok or result.tool not in _TOOLS:
            continue
        if result.tool == "schedule-remove" and result.fields.get("state") != "removed":
            continue  # paused or resumed, and still there
        if result.tool.startswith("schedule"):
            number = result.fields.get("schedule")
            return UnloggedAct(result.tool, number if isinstance(number, int) else None)
        if result.tool == "forget":
            return UnloggedAct("forget", lines=tuple(_plain(one["line"]) for one in result.fields.get("removed", ())))
        if result.fields.get("new"):
            return UnloggedAct("remember", lines=(_plain(result.fields.get("line")),))
    return None


def said_of_unlogged(said: str, act: UnloggedAct | None) -> Parse | Say | None:
    """Read "delete it" right after the act, or the fact of "no, the pump is on pin 17"; else None."""
    if act is None or act.age or not _REMOVE.fullmatch(normalize_quantities(said)):
        return _corrected_fact(said, act)
    if act.tool in ("schedule-add", "remember"):
        return taking_back(act)
    what = "forgotten" if act.tool == "forget" else "removed"
    return Say(f"That is {what} already, so nothing was done.", None, "what do you remember; what is scheduled")


def taking_back(act: UnloggedAct) -> Parse:
    """The sentence that undoes the act; where nothing does, an undo that asks whether a board's change is meant."""
    if act.tool == "schedule-add" and act.schedule is not None:
        return Parse("cancel_schedule", {"number": act.schedule})
    if act.tool == "remember":
        return Parse("forget", {"text": act.lines[0]})
    again = f'say: "remember that {"; ".join(act.lines)}"' if act.lines else "say its sentence once more"
    return Parse("undo", {"again": again})


def _corrected_fact(said: str, act: UnloggedAct | None) -> Parse | None:
    """The new fact, also that of "no, pin 17" right after the old one.

    Its value "instead" is the old line of the same name, which goes.
    """
    rest = _NO.sub("", said).strip().rstrip(".!")
    if rest == said.strip().rstrip(".!"):
        return None
    line = act.lines[0] if act is not None and act.tool == "remember" and not act.age else None
    old, new = told_name(line) if line is not None else None, told_name(rest)
    if new is not None:
        same = old is not None and old.name == new.name
        return Parse("remember", {"text": rest, "instead": line} if same and line is not None else {"text": rest})
    pin = _PIN.fullmatch(normalize_quantities(rest))
    if line is None or old is None or pin is None or int(pin[1]) == old.pin:
        return None
    return Parse("remember", {"text": re.sub(rf"\b{old.pin}\b", pin[1], line, count=1), "instead": line})


def _plain(line: object) -> str:
    return str(line).removeprefix("- ").strip().rstrip(".")
