"""The last act that the change log does not hold: a schedule made or removed, a fact remembered or forgotten.

"undo", "delete it" and "no, the pump is on pin 17" right after it are about it, and not about an older change of a
board. Plain values, calls no tool itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.offline.decision import Act, Context, Decision, Result, Say
from microclaw.offline.names import told_name
from microclaw.offline.parse import Parse, Values

_TOOLS: Final = frozenset({"schedule-add", "schedule-remove", "remember", "forget"})
_LOGGED: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo", "act-on-boards"}
)
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
    """What `tool` made or removed: a schedule's number, or lines of memory. `age` counts the other answers since."""

    tool: str
    schedule: int | None = None
    lines: tuple[str, ...] = ()
    age: int = 0


def unlogged_after(at: Context | None, results: Sequence[Result], before: UnloggedAct | None) -> UnloggedAct | None:
    """The act after an answer; None once a board was changed."""
    for result in reversed(results):
        if not result.ok or result.tool not in _TOOLS | _LOGGED:
            continue
        if result.tool in _LOGGED:
            return None
        if result.tool == "schedule-remove" and "state" in result.fields:
            continue  # paused or resumed, and still there
        if result.tool.startswith("schedule"):
            number = result.fields.get("schedule")
            return UnloggedAct(result.tool, number if isinstance(number, int) else None)
        if result.tool == "forget":
            return UnloggedAct("forget", lines=tuple(_plain(one["line"]) for one in result.fields.get("removed", ())))
        if result.fields.get("new"):
            return UnloggedAct("remember", lines=(_plain(result.fields.get("line")),))
    if before is None or at is None or at.parse.kind in _ASIDES:
        return before
    return replace(before, age=before.age + 1)


def said_of_unlogged(said: str, act: UnloggedAct | None) -> Parse | Say | None:
    """What a sentence says of the act, or corrects in memory; None for every other sentence."""
    removes = _removed_it(said, act) if act is not None else None
    return removes or _corrected_fact(said, act)


def _removed_it(said: str, act: UnloggedAct) -> Parse | Say | None:
    """What "delete it" and "forget it" mean right after the act; None for every other sentence."""
    if act.age or not _REMOVE.fullmatch(normalize_quantities(said)):
        return None
    match act.tool:
        case "schedule-add" if act.schedule is not None:
            return Parse("cancel_schedule", {"number": act.schedule})
        case "remember":
            return Parse("forget", {"text": act.lines[0]})
        case "schedule-remove":
            return Say(f"Schedule {act.schedule} is removed already, so nothing was done.", None, "what is scheduled")
    return Say("That is forgotten already, so nothing was done.", None, "what do you remember")


def _corrected_fact(said: str, act: UnloggedAct | None) -> Parse | None:
    """The fact of "no, the pump is on pin 17", or right after the old one of "no, pin 17"; else None.

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


def undo_values(act: UnloggedAct) -> Values:
    """The values of an undo that is about the act."""
    if act.tool == "schedule-add" and act.schedule is not None:
        return {"schedule": act.schedule}
    if act.tool == "remember":
        return {"line": act.lines[0]}
    if act.tool == "forget":
        return {"stays": f'to remember it again, say: "remember that {"; ".join(act.lines)}"'}
    return {"stays": f"schedule {act.schedule} is removed; to have it again, say its sentence once more"}


def undo_unlogged(at: Context) -> Decision | None:
    """The next step of an undo of such an act; None where the undo is about the boards."""
    number, line, stays = at.parse.number("schedule"), at.parse.word("line"), at.parse.word("stays")
    if stays is not None and not at.parse.confirmed:
        text = f"Undo does not take that back: {stays}. Nothing was changed. Undo the last change of a board instead?"
        return Say(text, "confirm", "yes, undo the last change of a board", "confirmed")
    last = at.results[-1] if at.results else None
    if line is not None:
        if last is None:
            return Act("forget", {"text": line}, f"undo(remember: {line})", words=f"forget {line}")
        return Say(f"Undone: I do not remember any more that {line}.")
    if number is None:
        return None
    if last is None:
        return Act("schedule-list", {}, f"undo(schedule={number})")
    if last.tool == "schedule-remove":
        return Say(f"Undone: schedule {number} is removed.")
    waits = any(one["schedule"] == number and one.get("state") != "over" for one in last.fields.get("schedules", ()))
    if last.tool == "schedule-list" and waits:
        return Act("schedule-remove", {"schedule": number}, words=f"cancel schedule {number}")
    return None  # it has run since, and what it did is a change of a board


def _plain(line: object) -> str:
    return str(line).removeprefix("- ").strip().rstrip(".")
