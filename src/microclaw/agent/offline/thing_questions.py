"""Answers questions about a thing that the user calls by its name: its state, why, what is next, what if.

The pin of a thing is what the sentence says, what is recorded, or what the user said of it earlier in the chat. The
facts are the board's levels, its programs, the changes and the schedules. What the user said is quoted as such. None of
these questions acts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.actions import ACTIONS
from microclaw.agent.offline.boards import PinTarget, board_of, device_of, pin_target
from microclaw.agent.offline.decision import (
    Act,
    CannotDo,
    Context,
    Decider,
    Decision,
    Parse,
    Say,
    ToolFields,
    Values,
    capitalize,
)
from microclaw.agent.offline.earlier_sentences import (
    Mention,
    find_mentions,
    has_word,
    is_name,
    mentions_of_pin,
    topic_words,
)
from microclaw.agent.offline.everyday_questions import quantities_in
from microclaw.agent.offline.questions import (
    change_words,
    changes_of_pin,
    done_changes,
    program_on,
    running_programs,
    tool_fields,
)
from microclaw.hardware.boards.feature_status import VIRTUALS
from microclaw.hardware.boards.pins import boot_pin

_MAX_SHOWN: Final = 5
_LEVELS: Final = ("low", "high")
_BUTTON: Final = frozenset({"button", "boot", "key", "pressed", "press"})
_LED: Final = frozenset({"led", "light", "lights"})
_LOG_LINE: Final = re.compile(r"^[\d.]+ s (\S+): (.*)$", re.M)


class Subject(NamedTuple):
    """The thing of a question: its words, its pin if that is known, and what the user said of it, newest first."""

    words: str
    pin: int | None
    mentions: Sequence[Mention]

    @property
    def quoted(self) -> str:
        """A sentence with what the user said last of the thing, or nothing."""
        if not self.mentions:
            return ""
        return f" You said: {self.mentions[0].quoted}."


def subject_of(context: Context) -> Subject:
    """Return the thing that the question is about."""
    words = topic_words(context.parse.word("topic") or "")
    shown = _thing_words(context.parse.word("topic") or "", words)
    pin = context.parse.number("pin")
    if pin is not None:
        mentions = mentions_of_pin(pin, context.earlier)
        sentences = [mention.sentence for mention in mentions]
        return Subject(f"pin {pin}", pin, find_mentions(words, sentences) or mentions)
    board = board_of(context)
    button_pin = boot_pin(board)
    if names_button(words) and button_pin is not None:
        return Subject("button", button_pin, ())
    mentions = find_mentions(words, context.earlier)
    for index, mention in enumerate(mentions):
        if mention.pin is not None:
            return Subject(shown, mention.pin, mentions[index:])
    if words and set(words) <= _LED and board.led is not None:
        return Subject("LED", board.led.pin, mentions)
    return Subject(shown, None, mentions)


def names_button(words: Sequence[str]) -> bool:
    """Return True for words that mean the button of the board."""
    return bool(words) and set(words) <= _BUTTON


def _thing_words(topic: str, words: Sequence[str]) -> str:
    """Return the thing as the user calls it, if that is short, else only its words that matter."""
    name = re.sub(r"^(?:the|my|our|that|this|a|an|any) ", "", topic)
    if is_name(name):
        return name
    return " ".join(words) or "that"


def next_call(context: Context, calls: Sequence[Act]) -> Act | None:
    """Return the first of the calls that has no result yet."""
    if len(context.results) >= len(calls):
        return None
    return calls[len(context.results)]


def reading_calls(context: Context, *tools: str) -> list[Act]:
    """Return the calls of these tools, on the board of the sentence if the tool is one of a board's."""
    calls = list[Act]()
    for tool in tools:
        if tool in ("time", "schedule-list"):
            calls.append(Act(tool, {}))
        elif tool == "list-changes":
            calls.append(Act(tool, context.on_device(limit=200)))
        elif tool == "read-logs":
            calls.append(Act(tool, context.on_device(lines=200)))
        else:
            calls.append(Act(tool, context.on_device()))
    return calls


def log_lines(context: Context) -> list[tuple[str, str]]:
    """Return what programs printed, the oldest first: the program and its line."""
    text = str(tool_fields(context, "read-logs").get("lines") or "")
    return [(match[1], match[2]) for match in _LOG_LINE.finditer(text)]


def sensor_calls(context: Context, quantities: Sequence[str]) -> dict[str, Act]:
    """Return the call that reads each of these quantities; nothing for one that no sensor here measures."""
    calls = dict[str, Act]()
    for quantity in quantities:
        try:
            call = _read_quantity(context, quantity, ())
        except CannotDo:
            continue
        if isinstance(call, Act):
            calls[quantity] = call
    return calls


def sensor_words(context: Context, quantities: Sequence[str]) -> str:
    """Return the readings of the last results, one for each quantity, as sentences that begin with a space."""
    text = ""
    results = context.results[len(context.results) - len(quantities) :]
    for quantity, result in zip(quantities, results, strict=True):
        answer = _read_quantity(context, quantity, (result,))
        if isinstance(answer, Say):
            text += f" {answer.text}"
    return text


def _read_quantity(context: Context, quantity: str, results: tuple[ToolFields, ...]) -> Decision:
    """Return the call that reads the quantity, or the answer with its result. Raises CannotDo without a sensor."""
    reading = Parse("read_sensor", {"quantity": quantity})
    return ACTIONS["read_sensor"](replace(context, parse=reading, results=results))


def _readings(context: Context) -> Decision:
    """Read each quantity of the sentence."""
    quantities = (context.parse.word("quantities") or "").split()
    texts = list[str]()
    for number, quantity in enumerate(quantities):
        decision = _read_quantity(context, quantity, context.results[number : number + 1])
        if isinstance(decision, Act) or decision.code is not None:
            return decision
        texts.append(decision.text)
    return Say(" ".join(texts))


def _ask_pin(context: Context, subject: Subject) -> Say:
    """Ask for the pin of a thing that nobody named before."""
    sentence = context.sentence.strip(" .!?")
    text = f"Which pin is the {subject.words} on? I know no pin of that name, and you told me none in this chat."
    template = f"{sentence} on pin {{pin:{subject.words}}}?"
    return Say(text, "ambiguous", "say only that, as in: pin 4", "words", template=template)


def tell_thing_state(context: Context) -> Decision:
    """Tell the level of a thing's pin, what drives it, and which schedule names it."""
    subject = subject_of(context)
    if subject.pin is None:
        return _ask_pin(context, subject)
    target = _target(context, subject.pin)
    calls = [
        *reading_calls(context, "query-wasm-apps"),
        Act("gpio-get", context.on_device(pin=target.pin)),
        *reading_calls(context, "schedule-list"),
    ]
    call = next_call(context, calls)
    if call is not None:
        return call
    programs = programs_on(context, target.pin)
    driver = "No program of this host uses it."
    if programs:
        driver = f"It is used by {' and '.join(programs)}."
    due = _due_rows(context, target.pin, ())
    times = f" Next: {'; '.join(due)}." if due else " No schedule names it."
    return Say(f"{_level_words(context, subject)}. {driver}{times}{subject.quoted}")


def _target(context: Context, pin: int) -> PinTarget:
    """Return the pin as what a sentence means. Raises CannotDo if the board lacks it."""
    values: Values = {"pin": pin}
    led = board_of(context).led
    if led is not None and led.pin == pin:
        values["thing"] = "led"
    return pin_target(replace(context, parse=Parse("read_pin", values)))


def _level_words(context: Context, subject: Subject) -> str:
    """Return "The fan (pin 5 of virtual-1) is off: its pin is low"."""
    fields = tool_fields(context, "gpio-get")
    level = int(fields["level"])
    target = _target(context, subject.pin or 0)
    state = "on" if level == target.active_level else "off"
    name = f"The {subject.words} (pin {target.pin} of {fields['device']})"
    if subject.words == f"pin {target.pin}":
        name = f"Pin {target.pin} of {fields['device']}"
    text = f"{name} is {state}: its pin is {_LEVELS[level]}"
    if target.active_level:
        return text
    return f"{text}, and low turns it on"


def programs_on(context: Context, pin: int) -> list[str]:
    return [str(row.get("name")) for row in running_programs(context) if pin in (row.get("pins") or ())]


def _due_rows(context: Context, pin: int | None, words: Sequence[str]) -> list[str]:
    """Return the schedules that name the pin or one of the words, each with when it is due, the next one first."""
    rows = list[str]()
    schedules = tool_fields(context, "schedule-list").get("schedules", ())
    for row in sorted(schedules, key=lambda schedule: str(schedule.get("next_ms"))):
        what = str(row.get("what"))
        is_named = has_word(words, what)
        if pin is not None:
            is_named = re.search(rf"\bpin {pin}\b", what) is not None
        if row.get("state") != "over" and row.get("next") and is_named:
            rows.append(f"{row['next']}: {what} (schedule {row['schedule']})")
    return rows[:_MAX_SHOWN]


def _next_of(context: Context) -> Decision:
    """Tell when a schedule of the thing is due next, or what else may begin it."""
    subject = subject_of(context)
    call = next_call(context, reading_calls(context, "schedule-list", "query-wasm-apps"))
    if call is not None:
        return call
    words = topic_words(context.parse.word("topic") or "")
    due = _due_rows(context, subject.pin, words) or _due_rows(context, None, words)
    if due:
        return Say(f"Next: {'; '.join(due)}.{subject.quoted}")
    text = f"No schedule of this host names the {subject.words}."
    if subject.pin is not None:
        text = f"No schedule of this host names pin {subject.pin}, the {subject.words}."
        for program in programs_on(context, subject.pin):
            text += f" The program {program} uses that pin, at times of its own or when something happens."
    others = _all_due(context)
    if others:
        text += f" Scheduled: {'; '.join(others)}."
    return Say(f"{text}{subject.quoted}", next_step="what is scheduled")


def _why_state(context: Context) -> Decision:
    """Tell the state of a thing with all that is known of its reason: program, schedule, change, what is measured."""
    subject = subject_of(context)
    if subject.pin is None:
        return _ask_pin(context, subject)
    target = _target(context, subject.pin)
    calls = [Act("gpio-get", context.on_device(pin=target.pin))]
    calls += reading_calls(context, "query-wasm-apps", "schedule-list", "list-changes", "time", "read-logs")
    spoken = f"{context.sentence} {' '.join(mention.sentence for mention in subject.mentions[:1])}"
    sensors = sensor_calls(context, quantities_in(spoken))
    calls += sensors.values()
    call = next_call(context, calls)
    if call is not None:
        return call
    text = f"{_level_words(context, subject)}. {_reason(context, target.pin)}"
    due = _due_rows(context, target.pin, ())
    if due:
        text += f" Next: {'; '.join(due)}."
    text += f"{subject.quoted}{sensor_words(context, list(sensors))}"
    if context.parse.number("past"):
        text += " What was measured before is known only if a program wrote it into its log."
    return Say(text)


def _reason(context: Context, pin: int) -> str:
    """Return what drives the pin, with the last line of its program, or the last change of it."""
    program = program_on(context, _target(context, pin))
    if program is not None:
        text = f"It is used by {program}."
        names = programs_on(context, pin)
        last_line = ""
        for name, line in log_lines(context):
            if name in names:
                last_line = line
        if last_line:
            text += f' That printed last: "{last_line}".'
        return text
    changes = changes_of_pin(done_changes(context), pin)
    if changes:
        return f"No program runs on it. Its last change: {change_words(context, changes[0])}."
    return "No program of this host runs on it now, and no recorded change set it."


def _acts_on(context: Context) -> Decision:
    """List what was done with a thing's pin: changes, programs on it now, and schedules."""
    subject = subject_of(context)
    if subject.pin is None and not subject.mentions and subject.words != "that":
        return _ask_pin(context, subject)
    call = next_call(context, reading_calls(context, "time", "list-changes", "query-wasm-apps", "schedule-list"))
    if call is not None:
        return call
    changes = done_changes(context)
    programs = list[str]()
    if subject.pin is not None:
        programs = programs_on(context, subject.pin)
        changes = _of_pin_or_program(changes, subject.pin, programs)
    lines = [f"  {change_words(context, change)}" for change in changes[:_MAX_SHOWN]]
    for program in programs:
        lines.append(f"  running on it now: {program}")
    for row in _due_rows(context, subject.pin, ()):
        lines.append(f"  scheduled: {row}")
    for mention in subject.mentions[:_MAX_SHOWN]:
        lines.append(f"  you said: {mention.quoted}")
    if not lines:
        return Say(f"Nothing is recorded of {subject.words}: no change, no program and no schedule of this host.")
    return Say("\n".join([f"{capitalize(subject.words)}, the newest change first:", *lines]))


def _of_pin_or_program(
    changes: Sequence[Mapping[str, Any]], pin: int, programs: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return the changes that set the pin or that are about one of these programs."""
    matches = list[Mapping[str, Any]]()
    for change in changes:
        if changes_of_pin([change], pin) or has_word(programs, str(change.get("summary"))):
            matches.append(change)
    return matches


def _set_up(context: Context) -> Decision:
    """List what the user said about a thing, and what runs or is scheduled on its pins."""
    words = topic_words(context.parse.word("topic") or "")
    subject = subject_of(context)
    call = next_call(context, reading_calls(context, "query-wasm-apps", "schedule-list"))
    if call is not None:
        return call
    lines = list[str]()
    pins = set[int]()
    for mention in subject.mentions[:_MAX_SHOWN]:
        lines.append(f"  you said: {mention.quoted}")
        if mention.pin is not None:
            pins.add(mention.pin)
    for pin in sorted(pins):
        for program in programs_on(context, pin):
            lines.append(f"  running on pin {pin}: {program}")
    rows = dict.fromkeys(_due_rows(context, None, words))
    for pin in sorted(pins):
        rows |= dict.fromkeys(_due_rows(context, pin, ()))
    lines += [f"  scheduled: {row}" for row in rows]
    if not lines:
        text = f"You told me nothing of the {subject.words} in this chat, and no schedule names it."
        return Say(text, next_step="what is running; what is scheduled")
    if all(line.startswith("  you said") for line in lines):
        lines.append("  nothing runs or is scheduled on a pin that these sentences name")
    return Say("\n".join([f"For the {subject.words}:", *lines]))


def _what_if(context: Context) -> Decision:
    """Tell which running programs use the pin of a thing, or what the user said about a reading."""
    topic = context.parse.word("topic") or ""
    quantities = quantities_in(topic)
    subject = subject_of(context)
    if subject.pin is None and not quantities:
        return _ask_pin(context, subject)
    call = next_call(context, reading_calls(context, "query-wasm-apps"))
    if call is not None:
        return call
    device = device_of(context)
    if quantities:
        return _what_if_measured(context, quantities)
    pin = subject.pin or 0
    programs = programs_on(context, pin)
    if not programs:
        text = f"Nothing that runs on {device.name} uses pin {pin}, the {subject.words}: nothing happens."
        return Say(f"{text}{subject.quoted}")
    text = f"{' and '.join(programs)} on {device.name} uses pin {pin}, the {subject.words}, and reacts to it."
    return Say(f"{text}{subject.quoted}", next_step=f"its source: microclaw app show {programs[0]}")


def _what_if_measured(context: Context, quantities: Sequence[str]) -> Say:
    """Quote what the user said about the quantity, for the pins on which a program runs."""
    texts = dict[str, None]()
    for sentence in context.earlier:
        if not set(quantities_in(sentence)) & set(quantities):
            continue
        for mention in find_mentions(topic_words(sentence), (sentence,)):
            programs = programs_on(context, mention.pin) if mention.pin is not None else []
            if programs:
                texts[f"{' and '.join(programs)} (pin {mention.pin}), for which you said: {mention.quoted}"] = None
    if texts:
        return Say(f"These react to it: {'; '.join(tuple(texts)[:_MAX_SHOWN])}. Nothing was changed now.")
    names = [str(row.get("name")) for row in running_programs(context)]
    running = f" Running: {', '.join(names)}." if names else " No program runs."
    text = f"I know no rule about the {' and '.join(quantities)}: you said none in this chat that runs now."
    return Say(f"{text}{running} Nothing was changed.", next_step="what a program does: microclaw app show NAME")


def _power_cut(context: Context) -> Decision:
    """Tell what goes on without this host or after a power cut: programs on the board do, schedules need the host."""
    device = device_of(context)
    subject = subject_of(context)
    call = next_call(context, reading_calls(context, "query-wasm-apps", "schedule-list"))
    if call is not None:
        return call
    programs = ", ".join(map(_program_words, running_programs(context))) or "none now"
    text = "Programs run on the board itself, without this computer, as long as the board has power."
    if device.board.board_id in VIRTUALS:
        text = (
            f"{device.name} is a virtual board: it lives on this computer and stops with it. "
            f"On a real board programs run without this computer."
        )
    text += f" {_after_power_cut(device)} On {device.name} now: {programs}."
    due = _all_due(context)
    if due:
        text += f" Schedules need this host to run: {'; '.join(due)}."
    else:
        text += " Nothing is scheduled; a schedule would need this host to run."
    return Say(f"{text}{subject.quoted}")


def _after_power_cut(device: KnownDevice) -> str:
    if "py" in device.kinds and device.board.board_id not in VIRTUALS:
        return "Programs in Python are in its flash and begin again from their start when the power comes back."
    return device.board.power_cut


def _all_due(context: Context) -> list[str]:
    rows = list[str]()
    for row in tool_fields(context, "schedule-list").get("schedules", ()):
        if row.get("state") != "over" and row.get("next"):
            rows.append(f"{row.get('what')} (schedule {row['schedule']}, next {row['next']})")
    return rows[:_MAX_SHOWN]


def _program_words(row: Mapping[str, Any]) -> str:
    pins = row.get("pins") or ()
    if not pins:
        return str(row.get("name"))
    return f"{row.get('name')} (pin {', '.join(map(str, pins))})"


THING_QUESTIONS: Final[Mapping[str, Decider]] = {
    "readings": _readings,
    "thing_state": tell_thing_state,
    "next_of": _next_of,
    "why_state": _why_state,
    "acts_on": _acts_on,
    "set_up": _set_up,
    "what_if": _what_if,
    "power_cut": _power_cut,
}
