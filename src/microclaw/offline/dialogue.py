"""One step of the dialogue: the person's words, the open question and tools' answers become the next decision.

A sentence is read as it is meant in its chat: a fact, boards, the last act, else a template, which is acted on;
else the nearest ones are asked about. This module calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from microclaw.errors import UndoElsewhere
from microclaw.events import NOTHING_WAITS
from microclaw.language.quantities import is_no, is_yes, normalize_quantities, without_commas
from microclaw.language.times import SUN, When, format_when, open_question, spoken_duration
from microclaw.models.protocol import DeviceContext, KnownDevice, ModelRequest, UserText
from microclaw.offline import boards, follow_ups
from microclaw.offline.actions import ACTIONS
from microclaw.offline.apps import APPS, IT
from microclaw.offline.decision import (
    Act,
    CannotDo,
    Context,
    Decider,
    Decision,
    Parse,
    Say,
    capital,
    number_sentences,
    turn_of,
)
from microclaw.offline.dialogue_state import DialogueState, LastAct, Question, act_after, state_after, undoable_after
from microclaw.offline.memory import MEMORY, names_to_pins, parse_memory
from microclaw.offline.programs import PROGRAMS, as_light
from microclaw.offline.sentences import MAX_SENTENCE_CHARS, REMINDER, english

ADD_A_MODEL: Final = (
    "for any sentence set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a free local model "
    "(Ollama: OPENAI_BASE_URL=http://localhost:11434/v1), then start the host again"
)
_NOTHING: Final = "Nothing was done in this chat just now that this can be about, so I did nothing."
_OF_PINS: Final = frozenset({"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc"})  # with a pin: nothing else
_NO_FACT: Final = ("read_sensor_every", "cancel_schedule")  # "note the humidity every minute", "forget the alarm"
_ONE_CALL: Final = frozenset({"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices"})
_PINS: Final = re.compile(r"(?:(?:on|at|the|its?|it is|it's) )*(?:pin )?\d{1,3}(?: also pin \d{1,3})*")
_PERCENT: Final = re.compile(r"(?:(?:at|to|make it) )*(-?\d+) milli percent")
_AT_THE_END: Final = re.compile(r"\S in \d+ ms\b(?! from)")
_REMIND: Final = re.compile(r"(?is)(?:please )?(?:remind|tell|alert|notify|warn) me(?: to| that| about|:)? (.+)")


class ParsedSentence(Struct, frozen=True):
    """A sentence's parse (None if it is not to be acted on), and the decision that follows."""

    parse: Parse | None
    decision: Decision
    confirms: bool = False  # a yes, or a number, to what was asked
    refers: bool = False  # it speaks of the last act
    state: DialogueState = field(default_factory=DialogueState)  # what is kept with the decision, if it is an answer


def understand(request: ModelRequest) -> ParsedSentence:
    """Return the next step of the turn that the messages end with."""
    said, results, before = turn_of(request.messages)
    state = state_after(before[-1] if before else None)
    if (state.question is not None or state.suggested) and is_no(said):
        # An act that was done can still be corrected.
        act = state.act if state.act is not None and state.act.done else None
        next_state = DialogueState(act=act, undoable=state.undoable)
        return ParsedSentence(None, Say("Then it stays as it is."), state=next_state)
    chosen = _chosen(said, state.suggested)
    if isinstance(chosen, Say):
        return ParsedSentence(None, chosen, state=state)
    known = request.device_context or DeviceContext()
    question = state.question if len(said) <= MAX_SENTENCE_CHARS else None
    completed = None
    if question is not None:
        completed = _completed(said, question, known)
    reading = completed or _read(chosen or said, known, state)
    context: Context | None = None
    if isinstance(reading, Context):
        context = _asking_undo(replace(reading, results=results))
        decision = _decide(context)
    else:
        decision = reading
    next_state = DialogueState()
    if isinstance(decision, Say):
        # A question about the last act, and a sentence about nothing, leave the last act as it is.
        if reading.refers and context is None:
            act = state.act
        else:
            act = act_after(context, decision, state.act)
        undoable = undoable_after(context, results, state.undoable)
        next_state = DialogueState(_question(context, decision), act, undoable, decision.suggested)
    confirms = chosen is not None or (completed is not None and completed.parse.confirmed)
    parse = None if context is None else context.parse
    return ParsedSentence(parse, decision, confirms=confirms, refers=reading.refers, state=next_state)


def _question(context: Context | None, decision: Say) -> Question | None:
    """Return the question that the answer asks, to be stored with it."""
    if context is None or decision.asks is None:
        return None
    device = context.named.name if context.named else None
    reading = (decision.next_step or "").removeprefix("yes, ")
    return Question(decision.asks, context.parse, context.said, device, reading)


def _completed(said: str, question: Question, known: DeviceContext) -> Context | None:
    """Return the sentence of the open question with the value that it asked for, or None if this is not an answer."""
    parse = question.parse
    named = _device(known, question.device)
    text = without_commas(said)
    values = dict[str, Any]()
    percent = _PERCENT.fullmatch(text)
    numbers = re.findall(r"\d+", text) if _PINS.fullmatch(text) else []
    device = boards.answered_device(said, known) if question.slot == "device" else None
    match question.slot:
        case "device" if device:
            named = device
        case "confirmed" if is_yes(said) or text == without_commas(f"yes {question.reading}"):
            parse = replace(parse, confirmed=True)
        case "milli" if percent:
            values = {"milli": int(percent[1])}
        case "pins" if numbers:
            parse = parse.on_pins([int(number) for number in numbers])
        case slot if len(numbers) == 1 and "pin" in slot:
            values = {slot: int(numbers[0])}
        case _:
            return None
    return Context(replace(parse, values=parse.values | values), question.said, known, named)


def _asking_undo(context: Context) -> Context:
    """Return the sentence as a question, if its undo found the newest act in another conversation; else as it is."""
    last = context.results[-1] if context.results else None
    if last is None or last.ok or last.fields.get("error") != UndoElsewhere.code:
        return context
    question = f"{capital(str(last.fields['message']))}. Shall I undo that?"
    undoes = tuple(last.fields["changes"])
    return replace(context, parse=Parse("undo", {"asks": question}, undoes=undoes), results=())


def _chosen(said: str, suggested: tuple[str, ...]) -> str | Say | None:
    """Return the suggested sentence that a number or a yes means, or None for any other words."""
    text = without_commas(said)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not suggested or not is_yes(said):
        return None
    if len(suggested) == 1:
        return suggested[0]
    return Say(f"Which one: {number_sentences(suggested)}?", "ambiguous", "its number")


def one_call(text: str, device_context: DeviceContext) -> Decision | None:
    """Return the only tool call of a sentence, for a schedule that then needs no model, or None if it takes a turn.

    Return Say, with a question or the reason, if the sentence cannot be done.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    found = understand(ModelRequest("", (UserText(text),), (), device_context=device_context))
    parse = found.parse
    decision = found.decision
    if isinstance(decision, Say):
        return decision
    if parse is None or parse.kind not in _ONE_CALL:
        return None
    if decision.tool == "deploy-wasm-app" or "pin_2" in parse.values:
        return None
    return decision


def _decide(context: Context) -> Decision:
    """Return the next step: the decision of the sentence's kind, after a yes to the question that it asks first.

    A failed tool ends the turn with its own message. The answer to a correction begins with what was reverted.
    """
    failure = _failure(context)
    if failure is not None:
        return failure
    question = context.parse.word("asks")
    if question is not None and not context.parse.confirmed:
        return Say(question, "confirm", "yes, undo it", "confirmed")
    try:
        parse = as_light(context.parse, context)
        answer = english().answers.get(parse.word("reason") or parse.kind)
        if answer is not None:
            return answer  # it is understood, and not done
        is_correction = bool(parse.undoes) and parse.kind != "undo"
        if is_correction and parse.kind not in ("set_pin", "toggle_pin", "dim_pin"):
            return Say("I do not undo the last act by that.", "ambiguous", "undo, then say the whole sentence")
        decision = _DECIDERS[parse.kind](replace(context, parse=parse))
    except CannotDo as exc:
        return exc.args[0]
    if isinstance(decision, Act) or not is_correction:
        return decision
    messages = [str(result.fields.get("message", "done")) for result in context.results if result.tool == "undo"]
    reverted = "".join(f"{capital(message)}. " for message in messages)
    return replace(decision, text=f"{reverted}{decision.text}")


def _failure(context: Context) -> Say | None:
    """Return the answer if the last tool failed, with the pins that were set before."""
    if not context.results or context.results[-1].ok:
        return None
    last = context.results[-1]
    # Finding nothing to forget is an answer too. The facts of a pin are known without the board.
    if "removed" in last.fields or context.parse.kind == "pin_facts":
        return None
    text = str(last.fields.get("message", "it failed"))
    code = str(last.fields.get("error", "tool_failed"))
    pins = ", ".join(str(result.fields.get("pin")) for result in context.results[:-1] if result.tool == "gpio-set")
    if pins:
        text = f"{text}. Set before that: pin {pins}"
    return Say(text, code, last.fields.get("next"))


def _schedule(context: Context) -> Decision:
    """Add the schedule, if its sentence can be done."""
    if context.results and context.results[-1].tool == "schedule-add":
        return _scheduled(context.results[-1].fields)
    when = context.parse.when or When()
    what = context.parse.word("what") or ""
    if when.delay_ms is not None and when.delay_ms <= 0:
        step = f"leave the time out to do it now, or say: {what} in 10 seconds"
        return Say("That time is not ahead, so I did nothing.", "ambiguous", step)
    typed = {word.lower(): word for word in context.said.split()}
    doing = " ".join(typed.get(word, word) for word in what.split())  # a reminder's names keep their capitals
    question = open_question(when)
    if question is not None:
        code = "not_possible" if when.clock in SUN else "ambiguous"
        return Say(question[0], code, f"{doing} {question[1]}")
    reminder = REMINDER.match(what)
    if reminder is not None:
        doing = doing if what != reminder[0] else "remind me: it is time"
    else:
        meant = english().parse(what)
        if meant is None:
            return Say("I do not understand what is to be done then.", "not_understood", "turn on pin 4 at 22:00")
        meant = replace(meant, values=meant.values | {n: v for n, v in context.parse.values.items() if n == "pin"})
        is_paced = meant.kind in english().paces.keys() - {"read_sensor_every"} | {"pulse"} or what.startswith("fade ")
        if when.delay_ms and is_paced and _AT_THE_END.search(normalize_quantities(context.said)):
            time = spoken_duration(when.delay_ms or 0)
            text = f'"In {time}" can be how long it takes, or a wait before it begins, so I did nothing.'
            return Say(text, "ambiguous", f"to wait say: in {time} {doing}")
        decision = _decide(replace(context, parse=meant))
        if isinstance(decision, Say) and decision.code is not None:
            return decision
        is_it = meant.kind == "remove_app" and meant.word("app") in IT  # resolved now, not when it is due
        if is_it and isinstance(decision, Act) and not decision.words:
            return decision
        if isinstance(decision, Act) and decision.words and meant.kind != "remove_on_pin":
            doing = decision.words
    values = {name: value for name, value in asdict(when).items() if value}
    shown = format_when(when)
    words = f"{doing} {shown}" if when.delay_ms is None else f"{shown} {doing}"  # "fade in 3 s" has two readings
    return Act("schedule-add", context.on_device(when=values, do=doing), words)


def _scheduled(fields: Mapping[str, Any]) -> Say:
    text = f"Schedule {fields.get('schedule')}: {fields.get('what')}; next {fields.get('next')}."
    if fields.get("warning"):
        text += f" Careful: {fields['warning']}."
    return Say(text)


_DECIDERS: Final[Mapping[str, Decider]] = {
    **ACTIONS,
    **APPS,
    **PROGRAMS,
    **MEMORY,
    "schedule": _schedule,
}


def _read(said: str, known: DeviceContext, state: DialogueState) -> Context | Say:
    """Read a sentence as it is meant in its chat."""
    if len(said) > MAX_SENTENCE_CHARS:
        return _not_understood(said[:MAX_SENTENCE_CHARS], known, None)
    parse = english().parse(said)
    memory = parse_memory(said)
    if parse is not None and parse.kind in _OF_PINS and parse.number("pin") is not None:
        return Context(parse, said, known)
    if memory is not None and (parse is None or parse.kind not in _NO_FACT):
        return Context(memory, said, known)
    text = boards.with_written_names(said, known)
    chosen = boards.chosen_board(text, known)
    if isinstance(chosen, Say):
        return chosen
    text, named = chosen or (text, None)
    device = named or known.meant
    text, named = names_to_pins(boards.pads_to_pins(text, device.board if device else None), known, named)
    act = state.act
    if act is not None and act.device is not None and _device(known, act.device) is None:
        # "It" means nothing on a device that was removed.
        act = None
    if act is not None:
        follow_up = _read_follow_up(text, known, named, act)
        if follow_up is not None:
            return follow_up
    if is_yes(said) or is_no(said):
        word = "yes" if is_yes(said) else "no"
        return Say(f"Nothing waits for a {word} in this chat.", NOTHING_WAITS, refers=True)
    parse = english().parse(text)
    if parse is None and act is None and english().reference(without_commas(text)):
        return Say(_NOTHING, "ambiguous", "say the whole sentence, as in: blink pin 2 every 200 ms")
    if parse is None:
        return boards.unknown_device(text, known) or _not_understood(text, known, named)
    newest = state.undoable[-1] if state.undoable else None
    if parse.kind == "undo" and newest is not None and named is None:
        parse = replace(newest, values=newest.values | {"undo": True})
    return Context(parse, text, known, named)


def _read_follow_up(text: str, known: DeviceContext, named: KnownDevice | None, act: LastAct) -> Context | Say | None:
    """Read a sentence about the last act. Return a question if it is not clear, and None for other sentences."""
    elsewhere = named is not None and named.name != act.device
    try:
        parse = follow_ups.about_last_act(text, act, elsewhere=elsewhere)
        if parse is None:
            with_target = follow_ups.with_target(text, act)
            if with_target is None:
                return None
            parse, text = with_target
    except CannotDo as exc:
        return replace(exc.args[0], refers=True)
    device = named or _device(known, act.device) or known.meant
    return Context(parse, text, known, device, refers=True)


def _device(known: DeviceContext, name: str | None) -> KnownDevice | None:
    return next((device for device in known.devices if device.name == name), None)


def _not_understood(text: str, known: DeviceContext, named: KnownDevice | None) -> Say:
    """Ask for the nearest sentences. A sentence far from all known ones leaves the last act as it is."""
    near = english().nearest(text)
    device = named or known.meant
    examples = tuple(f"{one} on {named.name}" if named else one for one in near.sentences)
    if near.is_same:
        where = f" on {device.name}" if device is not None else ""
        question = f"{capital(near.sentences[0])}{where}?"
        return Say(question, "confirm_reading", f"yes, or say: {examples[0]}", suggested=examples)
    question = "Ask: what can you do."
    if examples:
        choices = number_sentences(examples) if len(examples) > 1 else examples[0]
        question = f"Did you mean: {choices}?"
    refers = near.is_remote and re.search(r"\d", text) is None
    text = f"I did not understand that, so I did nothing. {question}"
    return Say(text, "not_understood", ADD_A_MODEL, suggested=examples, refers=refers)
