"""Taking an act back: before what was meant instead, with one question for both, or after a "no" and nothing else.

Decides only; no IO.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from microclaw.errors import UndoElsewhere
from microclaw.offline.decision import CORRECT, Act, Context, Decision, Result, Say, capital
from microclaw.offline.last_act import TAKE_BACK, LastAct
from microclaw.offline.parse import Parse

Decide: TypeAlias = Callable[[Context], Decision]
_MAX_CORRECTED: Final = 16  # changes that one call reverts (apps/tools/correcting.py)
_UNDO_STEP: Final = re.compile(r"\bapp undo (\d+)")
_PIN_TOOLS: Final = ("gpio-set", "pwm-set")


def offered(act: LastAct) -> Parse | Say:
    """The question whether an act that is done shall be reverted, after a "no" and nothing else."""
    if act.schedule is not None:
        return Parse(TAKE_BACK, {"told": act.told, "number": act.schedule})
    if act.changes:
        return Parse(TAKE_BACK, {"told": act.told}, undoes=act.changes[::-1])
    return Say(f"{act.told}. I do not know how to take that back.", "ambiguous", "say what each pin is to do")


def take_back(at: Context) -> Decision:
    """ "No" after an act that is done: it asks, and takes exactly that act back."""
    if not at.parse.confirmed:
        return Say(f"{at.parse.word('told')}. Shall I undo it?", "confirm", "yes, undo it", "confirmed")
    number = at.parse.number("number")
    if number is not None:
        if not at.results:
            return Act("schedule-remove", {"schedule": number}, "undo")
        return Say(f"Undone: schedule {number} is removed.")
    if not at.results:
        return Act(CORRECT, {"undo": list(at.parse.undoes)}, "undo")
    proofs = "; ".join(one.proof[1] for one in at.results if one.proof[1] and one.proof[0] != "accepted")
    told = "; ".join(str(one.fields.get("message", "undone")) for one in at.results)
    return Say(f"{capital(told)}.{f' {capital(proofs)}.' if proofs else ''}")


def undone_elsewhere(at: Context) -> Context:
    """The question where undo found nothing of this conversation: for what was done elsewhere, with its changes."""
    last = at.results[-1] if at.results and at.parse.kind == "undo" else None
    if last is None or last.ok or last.fields.get("error") != UndoElsewhere.code:
        return at
    numbers = tuple(map(int, _UNDO_STEP.findall(str(last.fields.get("next", "")))))
    parse = Parse(TAKE_BACK, {"told": capital(str(last.fields.get("message", "")))}, undoes=numbers)
    return replace(at, parse=parse, results=()) if 0 < len(numbers) <= _MAX_CORRECTED else at


def first_calls(parse: Parse) -> list[tuple[str, dict[str, Any]]]:
    """The calls that come before those of the sentence itself: what it corrects is reverted, its program stopped."""
    if parse.kind == TAKE_BACK:
        return []
    calls: list[tuple[str, dict[str, Any]]] = [("undo", {"change": number}) for number in parse.undoes]
    return [*calls, *([("uninstall-wasm-app", {"appName": parse.stops})] if parse.stops else [])]


def after_the_first(at: Context, decide: Decide) -> Decision:
    """The sentence's own decision once the first calls are made. What cannot be done makes none of them."""
    first = first_calls(at.parse)
    before = {tool for tool, _ in first}
    own = tuple(result for result in at.results if result.tool not in before)
    done = len(at.results) - len(own)
    if done >= len(first):
        decision = decide(replace(at, results=own))
        if first and isinstance(decision, Say):
            told = "; ".join(capital(str(one.fields.get("message", "done"))) for one in at.results if one not in own)
            return replace(decision, text=f"{told}. {decision.text}")
        return decision
    planned = decide(replace(at, results=own))
    if isinstance(planned, Say):
        return planned
    if at.parse.undoes and planned.tool in (*_PIN_TOOLS, "gpio-get"):
        return planned if planned.tool == "gpio-get" else _instead(at, decide, planned, own)
    tool, arguments = first[done]
    if tool == "uninstall-wasm-app":
        arguments = at.on_device(**arguments)
    return Act(tool, arguments, f"undo, then {planned.words}")


def _instead(at: Context, decide: Decide, planned: Decision, results: tuple[Result, ...]) -> Act:
    """The one call that takes the wrong act back and sets the pins that were meant, `planned` first."""
    acts: list[Act] = []
    while isinstance(planned, Act) and planned.tool in _PIN_TOOLS:
        acts.append(planned)
        results = (*results, Result(planned.tool, True, planned.arguments))
        planned = decide(replace(at, results=results))
    pins = [{name: value for name, value in act.arguments.items() if name != "device"} for act in acts]
    arguments: dict[str, Any] = {"undo": list(at.parse.undoes), "pins": pins}
    if "device" in acts[0].arguments:
        arguments["device"] = acts[0].arguments["device"]
    return Act(CORRECT, arguments, f"undo, then {acts[0].words}")
