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

from microclaw.language.yes_no import plain, said_yes
from microclaw.models.protocol import AssistantReply, DeviceContext, ModelRequest, UserText
from microclaw.offline import schedules
from microclaw.offline.actions import ACTIONS
from microclaw.offline.apps import APPS, ON_BOARDS, is_of_all
from microclaw.offline.boards import answered_device, decide_for_each
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Say, failure, this_turn
from microclaw.offline.last_act import (
    DialogueState,
    LastAct,
    Undoable,
    act_after,
    state_after,
    undoable_after,
)
from microclaw.offline.memory import EXAMPLES as MEMORY_EXAMPLES
from microclaw.offline.memory import MEMORY
from microclaw.offline.parse import Parse, Question
from microclaw.offline.pins import board_of
from microclaw.offline.programs import PROGRAMS, as_light
from microclaw.offline.reading import Reading, SentenceReader, numbered
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
    completes: bool = False  # it answers the open question
    refers: bool = False  # it speaks of the last act
    state: DialogueState = field(default_factory=DialogueState)  # what is kept with the decision, if it is an answer


def understand(request: ModelRequest) -> Understanding:
    """The next step of the turn that the messages end with."""
    said, results, before = this_turn(request.messages)
    last = before[-1] if before else None
    state = state_after(last)
    expired = isinstance(last, AssistantReply) and last.question_expired
    open_question, act = state.question, None if expired else state.act
    chosen = None if expired else _chosen(said, state.suggested)
    if isinstance(chosen, Say):
        return Understanding(None, chosen, completes=True, state=state)
    said = chosen or said
    completed = there = None
    device_context = request.device_context or DeviceContext()
    if open_question is not None and len(said) <= MAX_SENTENCE_CHARS:
        if open_question.is_declined(said):
            return _declined(open_question, act, state.undoable)
        there = answered_device(said, device_context) if open_question.slot == "device" else None
        completed = open_question.parse if there is not None else open_question.completed(said)
        if completed is not None and expired:
            again = open_question.reading or open_question.said
            return Understanding(None, Say("That question is too old.", "ambiguous", f"say it again: {again}"))
    if open_question is not None and completed is not None:
        named = there or next((d for d in device_context.devices if d.name == open_question.device), None)
        device = named or device_context.meant
        asked = Context(completed, open_question.said, device_context, device, named is not None, results)
        reading = Reading(asked)
    else:
        reading = SentenceReader(said, device_context, results, act, state.undoable).read()
    found = reading.found
    decision = found if isinstance(found, Say) else _decide(found)
    at = found if isinstance(found, Context) else None
    kept = DialogueState()
    if isinstance(decision, Say):
        # A question about the last act, and what is about nothing, leave it the last act.
        last_act = act if reading.refers and at is None else act_after(at, decision, act)
        undoable = undoable_after(at, results, state.undoable)
        kept = DialogueState(_question(at, decision), last_act, undoable, reading.suggested)
    parse = at.parse if at is not None else None
    return Understanding(parse, decision, completed is not None, reading.refers, kept)


def _chosen(said: str, suggested: tuple[str, ...]) -> str | Say | None:
    """The suggested sentence that a number or a yes means; None for any other words."""
    if not suggested:
        return None
    text = plain(said)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not said_yes(said):
        return None
    return suggested[0] if len(suggested) == 1 else Say(f"Which one: {numbered(suggested)}?", "ambiguous", "its number")


def _declined(question: Question, act: LastAct | None, undoable: Undoable) -> Understanding:
    """A no to a question. One to "Shall I undo it?" leaves the act, which can still be corrected."""
    is_undo = question.parse.kind == "undo"
    state = DialogueState(None, act if is_undo else None, undoable)
    text = "Then it stays as it is." if is_undo else "Then nothing was done."
    return Understanding(None, Say(text), completes=True, state=state)


def _question(at: Context | None, decision: Say) -> Question | None:
    """The question of the answer, to be kept with it."""
    if at is None or decision.asks is None:
        return None
    device = at.device.name if at.named and at.device else None
    reading = at.said
    if decision.asks == "confirmed":
        is_whole = decision.code == "confirm_reading"  # then the question is the sentence
        reading = decision.text.rstrip("?") if is_whole else (decision.next_step or "").removeprefix("yes, ")
    return Question(decision.asks, at.parse, at.said, device, reading)


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
    if isinstance(decision, Say) or not at.parse.loose or at.parse.confirmed or decision.tool in _ASKS_NOTHING:
        return decision
    where = f" on {at.device.name}" if at.device is not None else ""
    text = f"{decision.words[:1].upper()}{decision.words[1:]}{where}?"
    return Say(text, "confirm_reading", f"yes, or say: {decision.words}", "confirmed")


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
