"""One step of the dialogue: the person's words, the open question and tools' answers become the next decision.

A sentence that fits a template is acted on. A loose parse that would change something names its action and waits for a
yes; one that only reads from a device is answered at once. This module calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.language.yes_no import plain, said_no, said_yes
from microclaw.models.protocol import AssistantReply, DeviceContext, ModelRequest, UserText
from microclaw.offline import schedules
from microclaw.offline.actions import ACTIONS
from microclaw.offline.apps import APPS, ON_BOARDS, is_of_all
from microclaw.offline.boards import answered_device, decide_for_each
from microclaw.offline.decision import (
    Act,
    CannotDo,
    Context,
    Decision,
    Parse,
    Question,
    Result,
    Say,
    failure,
    this_turn,
)
from microclaw.offline.last_act import (
    DialogueState,
    act_after,
    state_after,
    undoable_after,
)
from microclaw.offline.memory import EXAMPLES as MEMORY_EXAMPLES
from microclaw.offline.memory import MEMORY
from microclaw.offline.pins import board_of
from microclaw.offline.programs import PROGRAMS, as_light
from microclaw.offline.reading import SentenceReader, numbered
from microclaw.offline.references import corrected
from microclaw.offline.sentences import MAX_SENTENCE_CHARS, Sentences, english

_READING_TOOLS: Final = frozenset(
    {"gpio-get", "adc-read", "i2c-read", "i2c-scan", "list-devices", "query-wasm-apps", "device-info", "device-status"}
    | {"schedule-list", "recall", "time"}
)
_ASKS_NOTHING: Final = _READING_TOOLS | {ON_BOARDS}  # or asks by itself, with the same words
_OF_ONE_DEVICE: Final = frozenset({"query-wasm-apps", "device-info", "device-status", "i2c-scan"})
_ONE_CALL: Final = frozenset({"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices"})
_REMIND: Final = re.compile(
    r"(?:please )?(?:remind|tell|alert|notify|warn) me(?: to| that| about|:)? (.+)", re.I | re.S
)


class Understanding(Struct, frozen=True):
    """A sentence's parse (None if it is not to be acted on), and the decision that follows."""

    parse: Parse | None
    decision: Decision
    confirms: bool = False  # a yes, or a number, to what was asked
    refers: bool = False  # it speaks of the last act
    state: DialogueState = field(default_factory=DialogueState)  # what is kept with the decision, if it is an answer


def understand(request: ModelRequest) -> Understanding:
    """The next step of the turn that the messages end with."""
    said, results, before = this_turn(request.messages)
    last = before[-1] if before else None
    state = state_after(last)
    if isinstance(last, AssistantReply) and last.question_expired:
        state = replace(state, act=None, suggested=())
        if state.question is not None and state.question.slot == "confirmed" and said_yes(said):
            return Understanding(
                None, Say("That question is too old.", "ambiguous", f"say it again: {state.question.said}")
            )
        state = replace(state, question=None)
    if (state.question is not None or state.suggested) and said_no(said):
        return _declined(state)
    chosen = _chosen(said, state.suggested)
    if isinstance(chosen, Say):
        return Understanding(None, chosen, state=state)
    known = request.device_context or DeviceContext()
    completed = _completed(said, state.question, known, results)
    confirms = chosen is not None or (completed is not None and completed.parse.confirmed)
    reader = SentenceReader(chosen or said, known, results, state.act, state.undoable)
    found = completed or reader.read()
    decision = found if isinstance(found, Say) else _decide(found)
    at = found if isinstance(found, Context) else None
    kept = DialogueState()
    if isinstance(decision, Say):
        # A question about the last act, and what is about nothing, leave it the last act.
        act = state.act if found.refers and at is None else act_after(at, decision, state.act)
        undoable = undoable_after(at, results, state.undoable)
        kept = DialogueState(_question(at, decision), act, undoable, decision.suggested)
    return Understanding(at.parse if at is not None else None, decision, confirms, found.refers, kept)


def _completed(
    said: str, question: Question | None, known: DeviceContext, results: tuple[Result, ...]
) -> Context | None:
    """The sentence of the open question with the value that was asked for; None if this answers no question."""
    if question is None or len(said) > MAX_SENTENCE_CHARS:
        return None
    device = answered_device(said, known) if question.slot == "device" else None
    parse = question.parse if device is not None else question.completed(said)
    device = device or next((one for one in known.devices if one.name == question.device), None)
    named = device is not None
    return Context(parse, question.said, known, device or known.meant, named, results) if parse is not None else None


def _chosen(said: str, suggested: tuple[str, ...]) -> str | Say | None:
    """The suggested sentence that a number or a yes means; None for any other words."""
    text = plain(said)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not suggested or not said_yes(said):
        return None
    return suggested[0] if len(suggested) == 1 else Say(f"Which one: {numbered(suggested)}?", "ambiguous", "its number")


def _declined(state: DialogueState) -> Understanding:
    """A no to a question. An act that was done before it can still be corrected."""
    is_undo = state.question is not None and state.question.parse.kind == "undo"
    act = state.act if state.act is not None and state.act.done else None
    text = "Then it stays as it is." if is_undo else "Then nothing was done."
    return Understanding(None, Say(text), state=DialogueState(act=act, undoable=state.undoable))


def _question(at: Context | None, decision: Say) -> Question | None:
    """The question of the answer, to be kept with it."""
    if at is None or decision.asks is None:
        return None
    device = at.device.name if at.named and at.device else None
    return Question(decision.asks, at.parse, at.said, device, (decision.next_step or "").removeprefix("yes, "))


def count_kinds() -> int:
    """The number of kinds of sentence; loads them (about 150 ms the first time)."""
    return len(_examples(english()))


def one_call(text: str, device_context: DeviceContext) -> Decision | None:
    """The one tool call of a sentence, for a schedule that then needs no model; None if it takes a whole turn.

    Say, with a question or the reason, if the sentence cannot be done.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    found = understand(ModelRequest("", (UserText(text),), (), device_context=device_context))
    parse, decision = found.parse, found.decision
    if isinstance(decision, Say):
        return decision
    is_program = decision.tool == "deploy-wasm-app"
    if parse is None or parse.kind not in _ONE_CALL or is_program or "pin_2" in parse.values:
        return None
    return decision


def _decide(at: Context) -> Decision:
    """The next step; a loose parse that would change something asks first."""
    if at.each:
        return decide_for_each(at, _act)
    last = at.results[-1] if at.results else None
    # Of a board that is away: what this host knows. Of several boards one may be away.
    told = at.parse.kind == "pin_facts" or (last is not None and last.tool == "query-wasm-apps" and is_of_all(at))
    # Finding nothing to forget is an answer too.
    if last is not None and not last.ok and "removed" not in last.fields and not told:
        failed = failure(last)
        done = ", ".join(str(one.fields.get("pin")) for one in at.results[:-1])
        if at.parse.kind == "set_pin" and done:
            return replace(failed, text=f"{failed.text}. Set before that: pin {done}")
        return failed
    try:
        decision = corrected(at, _act)
        is_one = len(at.device_context.devices) > 1 and not is_of_all(at)
        if isinstance(decision, Act) and decision.tool in _OF_ONE_DEVICE and is_one:
            board_of(at)  # asks which device
    except CannotDo as exc:
        return exc.say
    if isinstance(decision, Say) or not at.parse.loose or decision.tool in _ASKS_NOTHING:
        return decision
    where = f" on {at.device.name}" if at.device is not None else ""
    text = f"{decision.words[:1].upper()}{decision.words[1:]}{where}?"
    meant = f"{decision.words}{where if at.named else ''}"
    return Say(text, "confirm_reading", f"yes, or say: {decision.words}", suggested=(meant,))


def _schedule(at: Context) -> Decision:
    return schedules.decide_schedule(at, _act)


def _act(at: Context) -> Decision:
    """The decision of the sentence's kind."""
    parse = as_light(at.parse, at)
    return _DECIDERS[parse.kind](replace(at, parse=parse))


def _help(_at: Context) -> Decision:
    examples = _examples(english())
    lines = "\n".join(f"  {example}" for example in examples)
    text = f"Without a model I know {len(examples)} kinds of sentence, in many wordings:\n{lines}"
    return Say(text, next_step="after an act also: no, pin 5; same on pin 6; faster; is it on; stop it")


_DECIDERS: Final[Mapping[str, Callable[[Context], Decision]]] = {
    **ACTIONS,
    **APPS,
    **PROGRAMS,
    **MEMORY,
    **schedules.SCHEDULES,
    "schedule": _schedule,
    "help": _help,
}


def _examples(sentences: Sentences) -> tuple[str, ...]:
    """One sentence of each kind."""
    return (*sentences.examples.values(), *schedules.EXAMPLES, *MEMORY_EXAMPLES)
