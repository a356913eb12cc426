"""Taking an act back: before what was meant instead, with one question for both, or after a "no" and nothing else.

Decides only; no IO.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from msgspec.structs import replace

from microclaw.boards.pins import check_pin
from microclaw.boards.profile import PinUse
from microclaw.errors import PinRefused, UndoElsewhere
from microclaw.offline.decision import CORRECT, Act, Context, Decision, Result, Say, ask, capital
from microclaw.offline.last_act import TAKE_BACK, LastAct
from microclaw.offline.parse import Parse
from microclaw.offline.pins import board_of

Decide: TypeAlias = Callable[[Context], Decision]
_MAX_CORRECTED: Final = 16  # changes that one call reverts (apps/tools/correcting.py)
_UNDO_STEP: Final = re.compile(r"\bapp undo (\d+)")
_PIN_USES: Final[Mapping[str, PinUse]] = {"gpio-set": "output", "pwm-set": "pwm"}


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


def corrected(at: Context, decide: Decide) -> Decision:
    """The sentence's own decision; of a correction the one call that takes the wrong act back and sets the right pins.

    What cannot be done takes nothing back.
    """
    if not at.parse.undoes or at.parse.kind == TAKE_BACK:
        return decide(at)
    own = tuple(result for result in at.results if result.tool != "undo")
    planned, results = decide(replace(at, results=own)), own
    if isinstance(planned, Say):
        told = "".join(f"{capital(str(r.fields.get('message', 'done')))}. " for r in at.results if r.tool == "undo")
        return replace(planned, text=f"{told}{planned.text}")
    if planned.tool == "gpio-get":  # of a toggle
        return planned
    acts: list[Act] = []
    while isinstance(planned, Act):
        if planned.tool not in _PIN_USES:
            raise ask("I do not take the last act back by that.", "undo, then say the whole sentence")
        try:
            check_pin(board_of(at), planned.arguments["pin"], _PIN_USES[planned.tool])
        except PinRefused as exc:
            raise ask(f"{capital(exc.message)}. Nothing was changed.", exc.next_step) from exc
        acts.append(planned)
        results = (*results, Result(planned.tool, True, planned.arguments))
        planned = decide(replace(at, results=results))
    pins = [{name: value for name, value in act.arguments.items() if name != "device"} for act in acts]
    arguments = at.on_device(undo=list(at.parse.undoes), pins=pins)
    return Act(CORRECT, arguments, f"undo, then {acts[0].words}")
