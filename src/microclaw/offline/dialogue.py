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
from microclaw.language.quantities import normalize_quantities, plain, said_no, said_yes
from microclaw.language.times import SUN, When, open_question, spoken, when_text
from microclaw.models.protocol import DeviceContext, KnownDevice, ModelRequest, UserText
from microclaw.offline import boards, last_act
from microclaw.offline.actions import ACTIONS
from microclaw.offline.apps import APPS, IT
from microclaw.offline.decision import Act, CannotDo, Context, Decider, Decision, Parse, Say, capital, numbered, turn_of
from microclaw.offline.last_act import DialogueState, Question, act_after, state_after, undoable_after
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


class Understanding(Struct, frozen=True):
    """A sentence's parse (None if it is not to be acted on), and the decision that follows."""

    parse: Parse | None
    decision: Decision
    confirms: bool = False  # a yes, or a number, to what was asked
    refers: bool = False  # it speaks of the last act
    state: DialogueState = field(default_factory=DialogueState)  # what is kept with the decision, if it is an answer


def understand(request: ModelRequest) -> Understanding:
    """The next step of the turn that the messages end with."""
    said, results, before = turn_of(request.messages)
    state = state_after(before[-1] if before else None)
    if (state.question is not None or state.suggested) and said_no(said):
        done = state.act if state.act is not None and state.act.done else None  # it can still be corrected
        kept = DialogueState(act=done, undoable=state.undoable)
        return Understanding(None, Say("Then it stays as it is."), state=kept)
    if isinstance(chosen := _chosen(said, state.suggested) if state.suggested else None, Say):
        return Understanding(None, chosen, state=state)
    known = request.device_context or DeviceContext()
    question = state.question if len(said) <= MAX_SENTENCE_CHARS else None
    if question is None:
        completed = None
    else:
        completed = _completed(said, question, known)
    found = completed or _read(chosen or said, known, state)
    at: Context | None = None
    if isinstance(found, Context):
        at = _asking_undo(replace(found, results=results))
        decision = _decide(at)
    else:
        decision = found
    kept = DialogueState()
    if isinstance(decision, Say):
        # A question about the last act, and what is about nothing, leave it the last act.
        if found.refers and at is None:
            act = state.act
        else:
            act = act_after(at, decision, state.act)
        undoable = undoable_after(at, results, state.undoable)
        question = None
        if at is not None and decision.asks is not None:
            device = at.named.name if at.named else None
            reading = (decision.next_step or "").removeprefix("yes, ")
            question = Question(decision.asks, at.parse, at.said, device, reading)
        kept = DialogueState(question, act, undoable, decision.suggested)
    confirms = chosen is not None or (completed is not None and completed.parse.confirmed)
    return Understanding(at.parse if at is not None else None, decision, confirms, found.refers, kept)


def _completed(said: str, question: Question, known: DeviceContext) -> Context | None:
    """The sentence of the open question with the value that was asked for; None if this does not answer it."""
    parse = question.parse
    named = _device(known, question.device)
    text = plain(said)
    values = dict[str, Any]()
    percent = _PERCENT.fullmatch(text)
    if _PINS.fullmatch(text):
        numbers = re.findall(r"\d+", text)
    else:
        numbers = []
    match question.slot:
        case "device" if device := boards.answered_device(said, known):
            named = device
        case "confirmed" if said_yes(said) or text == plain(f"yes {question.reading}"):
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


def _asking_undo(at: Context) -> Context:
    """Return the sentence as a question, if its undo found the newest act in another conversation; else as it is."""
    if at.results:
        last = at.results[-1]
    else:
        last = None
    if last is None or last.ok or last.fields.get("error") != UndoElsewhere.code:
        return at
    question = f"{capital(str(last.fields['message']))}. Shall I undo that?"
    undoes = tuple(last.fields["changes"])
    return replace(at, parse=Parse("undo", {"asks": question}, undoes=undoes), results=())


def _chosen(said: str, suggested: tuple[str, ...]) -> str | Say | None:
    """The suggested sentence that a number or a yes means; None for any other words."""
    text = plain(said)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not said_yes(said):
        return None
    if len(suggested) == 1:
        return suggested[0]
    return Say(f"Which one: {numbered(suggested)}?", "ambiguous", "its number")


def one_call(text: str, device_context: DeviceContext) -> Decision | None:
    """The one tool call of a sentence, for a schedule that then needs no model; None if it takes a whole turn.

    Say, with a question or the reason, if the sentence cannot be done.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    found = understand(ModelRequest("", (UserText(text),), (), device_context=device_context))
    parse = found.parse
    decision = found.decision
    if isinstance(decision, Say):
        return decision
    is_program = decision.tool == "deploy-wasm-app"
    if parse is None or parse.kind not in _ONE_CALL or is_program or "pin_2" in parse.values:
        return None
    return decision


def _decide(at: Context) -> Decision:
    """The next step: the decision of the sentence's kind, after a yes to the question that it asks before.

    A tool that failed ends it, with its own message. The answer to a correction begins with what was reverted.
    """
    if at.results:
        last = at.results[-1]
    else:
        last = None
    # Of a board that is away: what this host knows. Finding nothing to forget is an answer too.
    if last is not None and not last.ok and "removed" not in last.fields and at.parse.kind != "pin_facts":
        text = str(last.fields.get("message", "it failed"))
        code = str(last.fields.get("error", "tool_failed"))
        done = ", ".join(str(one.fields.get("pin")) for one in at.results[:-1] if one.tool == "gpio-set")
        if done:
            text = f"{text}. Set before that: pin {done}"
        return Say(text, code, last.fields.get("next"))
    question = at.parse.word("asks")
    if question is not None and not at.parse.confirmed:
        return Say(question, "confirm", "yes, undo it", "confirmed")
    try:
        parse = as_light(at.parse, at)
        answer = english().answers.get(parse.word("reason") or parse.kind)
        if answer is not None:
            return answer  # it is understood, and not done
        is_correction = bool(parse.undoes) and parse.kind != "undo"
        if is_correction and parse.kind not in ("set_pin", "toggle_pin", "dim_pin"):
            return Say("I do not undo the last act by that.", "ambiguous", "undo, then say the whole sentence")
        decision = _DECIDERS[parse.kind](replace(at, parse=parse))
    except CannotDo as exc:
        return exc.args[0]
    if isinstance(decision, Act) or not is_correction:
        return decision
    told = "".join(f"{capital(str(r.fields.get('message', 'done')))}. " for r in at.results if r.tool == "undo")
    return replace(decision, text=f"{told}{decision.text}")


def _schedule(at: Context) -> Decision:
    """Add the schedule, if its sentence can be done."""
    if at.results and at.results[-1].tool == "schedule-add":
        made = at.results[-1].fields
        told = f"Schedule {made.get('schedule')}: {made.get('what')}; next {made.get('next')}."
        return Say(told + (f" Careful: {made['warning']}." if made.get("warning") else ""))
    when = at.parse.when or When()
    what = at.parse.word("what") or ""
    if when.delay_ms is not None and when.delay_ms <= 0:
        step = f"leave the time out to do it now, or say: {what} in 10 seconds"
        return Say("That time is not ahead, so I did nothing.", "ambiguous", step)
    typed = {word.lower(): word for word in at.said.split()}
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
        meant = replace(meant, values=meant.values | {n: v for n, v in at.parse.values.items() if n == "pin"})
        is_paced = meant.kind in english().paces.keys() - {"read_sensor_every"} | {"pulse"} or what.startswith("fade ")
        if when.delay_ms and is_paced and _AT_THE_END.search(normalize_quantities(at.said)):
            time = spoken(when.delay_ms or 0)
            text = f'"In {time}" can be how long it takes, or a wait before it begins, so I did nothing.'
            return Say(text, "ambiguous", f"to wait say: in {time} {doing}")
        decision = _decide(replace(at, parse=meant))
        if isinstance(decision, Say) and decision.code is not None:
            return decision
        is_it = meant.kind == "remove_app" and meant.word("app") in IT  # resolved now, not when it is due
        if is_it and isinstance(decision, Act) and not decision.words:
            return decision
        if isinstance(decision, Act) and decision.words and meant.kind != "remove_on_pin":
            doing = decision.words
    values = {name: value for name, value in asdict(when).items() if value}
    shown = when_text(when)
    words = f"{doing} {shown}" if when.delay_ms is None else f"{shown} {doing}"  # "fade in 3 s" has two readings
    return Act("schedule-add", at.on_device(when=values, do=doing), words)


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
    if isinstance(chosen := boards.chosen_board(text, known), Say):
        return chosen
    text, named = chosen or (text, None)
    device = named or known.meant
    text, named = names_to_pins(boards.pads_to_pins(text, device.board if device else None), known, named)
    if state.act is not None:
        there = _device(known, state.act.device)
    else:
        there = None
    # "It" is nothing on a device that is gone.
    act = state.act if state.act is not None and (there is not None or state.act.device is None) else None
    if act is not None:
        try:
            meant = last_act.about_last_act(text, act, elsewhere=named is not None and named.name != act.device)
            if meant is None:
                found = last_act.with_target(text, act)
            else:
                found = (meant, text)
        except CannotDo as exc:
            return replace(exc.args[0], refers=True)
        if found is not None:
            return Context(*found, known, named or there or known.meant, refers=True)
    is_yes = said_yes(said)
    if is_yes or said_no(said):
        return Say(f"Nothing waits for a {'yes' if is_yes else 'no'} in this chat.", NOTHING_WAITS, refers=True)
    parse = english().parse(text)
    if parse is None and act is None and english().reference(plain(text)):
        return Say(_NOTHING, "ambiguous", "say the whole sentence, as in: blink pin 2 every 200 ms")
    if parse is None:
        return boards.unknown_device(text, known) or _not_understood(text, known, named)
    if state.undoable:
        newest = state.undoable[-1]
    else:
        newest = None
    if parse.kind == "undo" and newest is not None and named is None:
        parse = replace(newest, values=newest.values | {"undo": True})
    return Context(parse, text, known, named)


def _device(known: DeviceContext, name: str | None) -> KnownDevice | None:
    return next((device for device in known.devices if device.name == name), None)


def _not_understood(text: str, known: DeviceContext, named: KnownDevice | None) -> Say:
    """Ask for the nearest sentences. What speaks of nothing that is known leaves the last act as it is."""
    near = english().nearest(text)
    device = named or known.meant
    examples = tuple(f"{one} on {named.name}" if named else one for one in near.sentences)
    if near.is_same:
        if device is not None:
            where = f" on {device.name}"
        else:
            where = ""
        question = f"{capital(near.sentences[0])}{where}?"
        return Say(question, "confirm_reading", f"yes, or say: {examples[0]}", suggested=examples)
    if len(examples) > 1:
        shown = numbered(examples)
    else:
        shown = "".join(examples)
    if examples:
        meant = f"Did you mean: {shown}?"
    else:
        meant = "Ask: what can you do."
    refers = near.is_remote and re.search(r"\d", text) is None
    text = f"I did not understand that, so I did nothing. {meant}"
    return Say(text, "not_understood", ADD_A_MODEL, suggested=examples, refers=refers)
