"""One step of the dialogue: the person's words, the open question and tools' answers become the next decision.

A sentence that fits a template is acted on. A loose parse that would change something names its action and waits for a
yes; one that only reads from a device is answered at once. This module calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.events import NOTHING_WAITS
from microclaw.language.foreign import is_in_other_letters
from microclaw.language.quantities import normalize_quantities
from microclaw.language.yes_no import plain, said_no, said_yes
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownDevice,
    ModelRequest,
    UserText,
)
from microclaw.offline import schedules
from microclaw.offline.actions import ACTIONS
from microclaw.offline.answers import QUESTIONS, past_of
from microclaw.offline.app_sentences import APPS, ON_BOARDS, is_of_all
from microclaw.offline.boards import chosen_boards, decide_for_each, for_each
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Result, Say, failure, this_turn
from microclaw.offline.device_names import no_such_number, unknown_device, with_written_names
from microclaw.offline.last_act import (
    TAKE_BACK,
    DialogueState,
    LastAct,
    Undoable,
    act_after,
    state_after,
    undoable_after,
)
from microclaw.offline.lights import LIGHTS, led_decider
from microclaw.offline.memory import EXAMPLES as MEMORY_EXAMPLES
from microclaw.offline.memory import MEMORY, is_for_the_board, parse_memory
from microclaw.offline.names import asked_name, names_to_pins, told_name
from microclaw.offline.parse import Parse, Question, Values
from microclaw.offline.pins import (
    answered_device,
    board_of,
    pads_to_pins,
    split_device,
    split_unit,
)
from microclaw.offline.program_orders import program_order
from microclaw.offline.programs import PROGRAMS
from microclaw.offline.references import corrected_fact, later, referred, with_target
from microclaw.offline.sentences import MAX_SENTENCE_CHARS, Sentences, english
from microclaw.offline.taking_back import after_the_first, first_calls, take_back, undone_elsewhere

ADD_A_MODEL: Final = (
    "for any sentence set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a free local model "
    "(Ollama: OPENAI_BASE_URL=http://localhost:11434/v1), then start the host again"
)
_ENGLISH_ONLY: Final = ("not_understood", f"say it in English, as in: turn on pin 4; {ADD_A_MODEL}")
_NOTHING: Final = "Nothing was done in this chat just now that this can be about"
_WHOLE_SENTENCE: Final = "say the whole sentence, as in: blink pin 2 every 200 ms"
_NO_PIN: Final = re.compile(r"\b(?:pin|gpio|io) (?:-\s?\d[\d.]*|\d+\.\d+)", re.I)
_PIN: Final = re.compile(r"\bpin \d+\b", re.IGNORECASE)
_OF_IT: Final = re.compile(r"(?:please )?\w+ (?:it|that|this)\b", re.IGNORECASE)
_READING_TOOLS: Final = frozenset(
    {"gpio-get", "adc-read", "i2c-read", "i2c-scan", "list-devices", "query-wasm-apps", "device-info", "device-status"}
    | {"schedule-list", "recall", "time"}
)
_ASKS_NOTHING: Final = _READING_TOOLS | {ON_BOARDS}  # or asks by itself, with the same words
_OF_ONE_DEVICE: Final = frozenset({"query-wasm-apps", "device-info", "device-status", "i2c-scan"})
_OF_PINS: Final = frozenset({"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc"})  # with a pin: nothing else
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
    context = completed = there = None
    device_context = request.device_context or DeviceContext()
    if open_question is not None and len(said) <= MAX_SENTENCE_CHARS:
        if open_question.is_declined(said):
            return _declined(open_question, act, state.undoable)
        there = (
            answered_device(with_written_names(said, device_context), device_context)
            if open_question.slot == "device"
            else None
        )
        completed = open_question.parse if there is not None else open_question.completed(said)
        if completed is not None and expired:
            again = open_question.reading or open_question.said
            return Understanding(None, Say("That question is too old.", "ambiguous", f"say it again: {again}"))
    if open_question is not None and completed is not None:
        named = there or next((d for d in device_context.devices if d.name == open_question.device), None)
        context = Context(
            completed, open_question.said, device_context, named or device_context.meant, named is not None, results
        )
    reading = (
        _Reading(context, False) if context is not None else _read(said, device_context, results, act, state.undoable)
    )
    found = reading.found
    if not isinstance(found, Say):
        found = undone_elsewhere(context or found)
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
    text = plain(said)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not suggested or not said_yes(said):
        return None
    return (
        suggested[0] if len(suggested) == 1 else Say(f"Which one: {_numbered(suggested)}?", "ambiguous", "its number")
    )


def _numbered(suggested: Sequence[str]) -> str:
    return "; ".join(f"{n}: {one}" for n, one in enumerate(suggested, start=1))


def _declined(question: Question, act: LastAct | None, undoable: Undoable) -> Understanding:
    """A no to a question. One to "Shall I undo it?" leaves the act, which can still be corrected."""
    is_undo = question.parse.kind == TAKE_BACK
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


class _Reading(Struct, frozen=True):
    """The parsed sentence with its context, or an answer if there is nothing to do."""

    found: Context | Say
    refers: bool = False  # to the last act, or to nothing
    suggested: tuple[str, ...] = ()


def _read(
    said: str,
    device_context: DeviceContext,
    results: tuple[Result, ...],
    act: LastAct | None,
    undoable: Undoable,
) -> _Reading:
    sentences, newest = english(), undoable[-1] if undoable else None
    if len(said) > MAX_SENTENCE_CHARS:
        return _not_understood(sentences, said[:MAX_SENTENCE_CHARS])
    parse = sentences.parse(said)
    if parse is not None and not parse.loose and parse.kind in _OF_PINS and parse.number("pin") is not None:
        return _Reading(Context(parse, said, device_context, device_context.meant, False, results))
    if (fact := corrected_fact(said, act)) is not None:
        return _Reading(Context(fact, said, device_context, device_context.meant, False, results), refers=True)
    memory = parse_memory(said) or (Parse("remember", {"text": said.strip().rstrip(".!")}) if told_name(said) else None)
    of_act = memory == Parse("forget") and act is not None and act.lines  # "forget it"
    if memory is not None and not of_act and not is_for_the_board(memory, said, sentences):
        return _Reading(Context(memory, said, device_context, device_context.meant, False, results))
    said = with_written_names(said, device_context)
    if (no_device := no_such_number(said, device_context)) is not None:
        return _Reading(no_device)
    choice = chosen_boards(said, device_context)
    if isinstance(choice, Say):
        return _Reading(choice)
    if choice is not None and choice.alone is None:
        each = for_each(choice, said, device_context, results)
        unknown = unknown_device(said, None, sentences.parse, device_context) if isinstance(each, Say) else None
        return _Reading(unknown or each)
    text, named = (choice.rest, choice.alone) if choice is not None else split_device(said, device_context)
    device = named or device_context.meant
    text = pads_to_pins(text, device.board if device else None)
    asked = asked_name(text, device_context)
    if asked is not None:
        values: Values = {"name": asked.name, "pin": asked.pin}
        where = Parse("pin_named", values | ({"where": asked.device} if asked.device else {}))
        return _Reading(Context(where, said, device_context, device, named is not None, results))
    if (ordered := program_order(text, device_context, named)) is not None:
        order, there = ordered
        if isinstance(order, Say):
            return _Reading(order)
        return _Reading(Context(order, said, device_context, there or device, there is not None, results))
    named_text, named = names_to_pins(text, device_context, named)
    recalls, text, device = named_text != text, named_text, named or device
    if act is not None and act.device is not None and all(d.name != act.device for d in device_context.devices):
        act = None  # its device is gone: "it" is nothing on another one
    if act is not None:
        there = named or next((d for d in device_context.devices if d.name == act.device), device_context.meant)
        found = _referred(text, act, there, elsewhere=named is not None and named.name != act.device)
        if isinstance(found, Say):
            return _Reading(found, refers=True)
        if isinstance(found, str):
            text = found
        elif found is not None:
            spoken = act.said if found.kind == "schedule" else text
            return _Reading(Context(found, spoken, device_context, there, there is not None, results), refers=True)
    parse = schedules.parse_schedule(text, sentences) or sentences.parse(text)
    bare, unit = split_unit(text)
    if unit is not None:
        without = sentences.parse(bare)
        parse = without if without is not None and without.kind == "read_sensor" else parse
        if parse is not None and parse.kind == "read_sensor":
            parse = replace(parse, values=parse.values | {"unit": unit})
    if (parse is None or parse.loose) and is_in_other_letters(said):
        return _Reading(Say("Without a model I understand only English.", *_ENGLISH_ONLY))
    if (said_yes(said) or said_no(said)) and (parse is None or parse.loose):
        text = "Nothing waits for a yes" if said_yes(said) else "There is nothing to undo"
        return _Reading(Say(f"{text} in this chat.", NOTHING_WAITS), refers=True)
    if (unknown := unknown_device(said, parse, sentences.parse, device_context)) is not None:
        return _Reading(unknown)
    if parse is None and act is None and sentences.reference(normalize_quantities(text).replace(",", "")) is not None:
        return _Reading(Say(f"{_NOTHING}, so I did nothing.", "ambiguous", _WHOLE_SENTENCE))
    if parse is None:
        return _not_understood(sentences, text)
    if parse.kind == "past":
        return _Reading(past_of(parse, act), refers=True)
    if parse.kind == "undo" and newest is not None and named is None:
        parse = replace(newest.undoing, values=newest.undoing.values | {"undo": True})
    found_at = Context(parse, text if recalls else said, device_context, device, named is not None, results)
    return _Reading(found_at)


def _referred(text: str, act: LastAct, device: KnownDevice | None, *, elsewhere: bool) -> Parse | Say | str | None:
    """Read a sentence about the last act, by itself or with an "it" in place of a pin; None for any other.

    A sentence for later comes back with the pin in the place of "it": its words are kept.
    """
    found = referred(text, act, device, elsewhere=elsewhere)
    if found is not None:
        return found
    parse = english().parse(text)
    if parse is not None and parse.kind == "schedule":
        return later(text, act)
    if parse is None or parse.loose or parse.number("pin") is not None:
        return None
    if parse.word("thing") != "it" and (parse.kind != "toggle_pin" or parse.word("thing") is not None):
        return None
    return with_target(parse, act)


def _decide(at: Context) -> Decision:
    """The next step; a loose parse that would change something asks first."""
    if at.each:
        return decide_for_each(at, lambda one: _decider(one)(one))
    last = at.results[-1] if at.results else None
    # Of a board that is away: what this host knows. Of several boards one may be away.
    told = at.parse.kind == "pin_facts" or (last is not None and last.tool == "query-wasm-apps" and is_of_all(at))
    # Finding nothing to forget is an answer too.
    if last is not None and not last.ok and "removed" not in last.fields and not told:
        failed, first = failure(last), len(first_calls(at.parse))
        if len(at.results) <= first:
            return replace(failed, text=f"{failed.text}. So nothing else was done")
        done = ", ".join(str(one.fields.get("pin")) for one in at.results[first:-1])
        if at.parse.kind == "set_pin" and done:
            return replace(failed, text=f"{failed.text}. Set before that: pin {done}")
        return failed
    try:
        decision = after_the_first(at, _decider(at))
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
    return schedules.decide_schedule(at, english(), lambda inner: _decider(inner)(inner))


def _decider(at: Context) -> Callable[[Context], Decision]:
    return led_decider(at) or _DECIDERS[at.parse.kind]


def _help(_at: Context) -> Decision:
    examples = _examples(english())
    lines = "\n".join(f"  {example}" for example in examples)
    text = f"Without a model I know {len(examples)} kinds of sentence, in many wordings:\n{lines}"
    return Say(text, next_step="after an act also: no, pin 5; same on pin 6; faster; is it on; stop it")


_DECIDERS: Final[Mapping[str, Callable[[Context], Decision]]] = {
    **ACTIONS,
    **APPS,
    **PROGRAMS,
    **LIGHTS,
    **MEMORY,
    **schedules.SCHEDULES,
    **QUESTIONS,
    TAKE_BACK: take_back,
    "schedule": _schedule,
    "help": _help,
}


def _not_understood(sentences: Sentences, text: str) -> _Reading:
    """The answer. What speaks of nothing that a sentence may be about leaves the last act as it is."""
    if no_pin := _NO_PIN.search(text):
        return _Reading(Say(f"There is no {no_pin[0]}, so I did nothing.", "ambiguous", "for example: turn on pin 4"))
    pins = _PIN.findall(text)
    examples = [_PIN.sub(pins[0], one, 1) if len(pins) == 1 else one for one in sentences.nearest(text)]
    shown = _numbered(examples) if len(examples) > 1 else "".join(examples)
    meant = f"Did you mean: {shown}?" if examples else "Ask: what can you do."
    of_act = not re.search(r"\d", text) and (not examples or _OF_IT.match(text) is not None)
    answer = Say(f"I did not understand that, so I did nothing. {meant}", "not_understood", ADD_A_MODEL)
    return _Reading(answer, of_act, tuple(examples))


def _examples(sentences: Sentences) -> tuple[str, ...]:
    """One sentence of each kind."""
    return (*sentences.examples.values(), *schedules.EXAMPLES, *MEMORY_EXAMPLES)
