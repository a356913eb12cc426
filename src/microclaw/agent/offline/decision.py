"""A parsed sentence, the open question about it, and the decision at one step of a turn: call a tool, answer, or ask.

Plain values, no IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.language.times import When
from microclaw.agent.models.protocol import DeviceContext, KnownDevice, Message, ToolReturn, UserText
from microclaw.conversion import convert
from microclaw.events import Choice
from microclaw.text import without_fences

Values: TypeAlias = dict[str, int | str | bool]
PinSlot: TypeAlias = Literal["pin", "pin_2", "pin_3", "pin_4", "pin_5", "pin_6", "pin_7", "pin_8"]
_OtherPinSlot: TypeAlias = Literal["pins", "button_pin", "dial_pin", "sensor_pin", "entry_pin"]
Slot: TypeAlias = PinSlot | _OtherPinSlot | Literal["room", "milli", "device", "confirmed", "words", "number"]
PIN_SLOTS: Final[tuple[PinSlot, ...]] = get_args(PinSlot)

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)


class Parse(Struct, frozen=True):
    """The kind of a sentence, its `values` (whole numbers and words), and `when`, the time of a schedule.

    `confirmed`: the user said yes to it. `undoes` are changes to revert first; `replaces` is the program whose name
    this one takes, and `removes` the one that is stopped to make room. `parts` are the schedules of a sentence with two
    times.
    """

    kind: str
    values: Values = field(default_factory=dict)
    when: When | None = None
    confirmed: bool = False
    undoes: tuple[int, ...] = ()
    replaces: str | None = None
    removes: str | None = None
    parts: tuple[Parse, ...] = ()

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that the sentence names, in order, without those of a button, a potentiometer or a sensor."""
        pins = list[int]()
        for slot in PIN_SLOTS:
            pin = self.number(slot)
            if pin is not None:
                pins.append(pin)
        return tuple(pins)

    def on_pins(self, pins: Sequence[int]) -> Parse:
        """Return the parse for these pins instead, or for the LED if there are none."""
        target: Values = dict(zip(PIN_SLOTS, pins, strict=False)) or {"thing": "led"}
        others = {name: value for name, value in self.values.items() if name not in (*PIN_SLOTS, "thing")}
        return replace(self, values=others | target)

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return None

    def word(self, name: str) -> str | None:
        value = self.values.get(name)
        if isinstance(value, str):
            return value
        return None


WORDS: Final = "{words}"
"""The hole in a wish that was read in part: for the words that it lacks."""

CORRECT: Final = "correct"
"""The tool that takes changes back and sets pins instead, with one question."""


class Act(Struct, frozen=True):
    """A call of one tool. `words` is a sentence with exactly this meaning, if the tool changes something.

    `also` are calls that are made with it, after it: one round of a turn has several calls.
    """

    tool: str
    arguments: Mapping[str, Any]
    words: str = ""
    code_origin: str | None = None
    also: tuple[Act, ...] = ()


class Say(Struct, frozen=True):
    """The end of the turn with a text. `code` is set if the request was not done; `asks` names a missing slot.

    `suggested` are sentences of which a yes or a number chooses one. `refers`: it is about the last act, or nothing.
    `template` is the sentence with a hole for the answer (unfinished.py), if `asks` is "words". `choices` are the
    answers if neither of these gives them. `part` is what was read of a wish, with the hole WORDS for more words.
    `does_less`: what is suggested is less than what was said.
    """

    text: str
    code: str | None = None
    next_step: str | None = None
    asks: Slot | None = None
    suggested: tuple[str, ...] = ()
    refers: bool = False
    template: str = ""
    choices: tuple[Choice, ...] = ()
    part: str = ""
    does_less: bool = False


Decision: TypeAlias = Act | Say


class ToolFields(Struct, frozen=True):
    """The result of a tool as fields."""

    tool: str
    ok: bool
    fields: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.fields.get("device", "the device"))

    @property
    def proof(self) -> tuple[str, str]:
        """The kind and text of its first evidence; ("accepted", "") if it has none."""
        for item in self.fields.get("evidence", ()):
            return str(item["kind"]), str(item["text"])
        return "accepted", ""


class Context(Struct, frozen=True):
    """A parsed sentence: its text, the devices, the device that it names, and the tool results so far.

    `refers`: it is about the last act. `earlier` are the user's earlier sentences of the chat, the newest first.
    """

    parse: Parse
    sentence: str
    device_context: DeviceContext
    named_device: KnownDevice | None = None
    results: tuple[ToolFields, ...] = ()
    refers: bool = False
    earlier: tuple[str, ...] = ()

    @property
    def device(self) -> KnownDevice | None:
        """The device that it is for, or None if there may be several."""
        return self.named_device or self.device_context.meant

    def on_device(self, **arguments: Any) -> dict[str, Any]:
        """Return the arguments of a tool call, with the device if the sentence names it."""
        if self.named_device:
            return {**arguments, "device": self.named_device.name}
        return arguments


Decider: TypeAlias = Callable[[Context], Decision]


class CannotDo(Exception):
    """Raised when a sentence cannot be done; its one argument is the answer."""

    args: tuple[Say]


def ask(
    text: str,
    next_step: str | None = None,
    slot: Slot | None = None,
    *,
    code: str = "ambiguous",
    suggested: tuple[str, ...] = (),
) -> CannotDo:
    """Build a question to the user instead of a guess.

    `slot`: the value that a short answer fills. `suggested`: all sentences that answer it.
    """
    return CannotDo(Say(text, code, next_step, slot, suggested))


def all_at_once(acts: Sequence[Act]) -> Act:
    """Return these calls as one act: more than one round each would pass the limit of a turn."""
    return replace(acts[0], also=tuple(acts[1:]))


def read_turn(messages: Sequence[Message]) -> tuple[str, tuple[ToolFields, ...], tuple[Message, ...]]:
    """Return the user's latest text, the tool results since, and the messages before it.

    A result is shown to the user and read by rules, so it has no fences. A correction becomes the results of its steps.
    """
    start = 0
    for index, message in enumerate(messages):
        if isinstance(message, UserText):
            start = index
    text = ""
    results = list[ToolFields]()
    for message in messages[start:]:
        if isinstance(message, UserText):
            text = message.text
        elif isinstance(message, ToolReturn):
            results += _fields_of(message)
    return text, tuple(results), tuple(messages[:start])


def _fields_of(result: ToolReturn) -> list[ToolFields]:
    """Return the fields of a result; of a correction the fields of its steps."""
    fields = _decode(result.content)
    if result.name != CORRECT or result.failed:
        return [ToolFields(result.name, not result.failed, fields)]
    steps = list[ToolFields]()
    for undo in fields.get("undone", ()):
        steps.append(ToolFields("undo", ok=True, fields=undo))
    for change in fields.get("pins", ()):
        tool = "pwm-set" if "duty" in change else "gpio-set"
        steps.append(ToolFields(tool, ok=True, fields=change))
    return steps


def _decode(content: str) -> dict[str, Any]:
    """Return the JSON object of a result without fences, or its text as "message" if it is not a JSON object."""
    text = content
    try:
        if "<untrusted-" in text:
            text = _STRING.sub(lambda string: json.dumps(without_fences(json.loads(string[0]))), text)
        return _without_marks(convert(json.loads(text), dict[str, Any]))
    except (ValueError, RecursionError):
        return {"message": without_fences(content)}


def _without_marks(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a cut result without the text at the end of a cut list of objects ("... 9 more")."""
    if "cut" not in fields:
        return fields
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            fields[name] = [row for row in value if isinstance(row, dict)]
    return fields


def capitalize(text: str) -> str:
    """Return the text as the start of a sentence, without a full stop; a name like virtual-1 stays as it is."""
    first = text.split(" ", 1)[0].rstrip(":,")
    if first.isalpha():
        text = text[:1].upper() + text[1:]
    return text.rstrip(".")


def number_sentences(suggested: Sequence[str]) -> str:
    """Return the sentences that the user may choose from, with their numbers."""
    return "; ".join(f"{number}: {sentence}" for number, sentence in enumerate(suggested, start=1))


def plain_line(line: object) -> str:
    """Return a line of memory as a sentence without its full stop."""
    return str(line).removeprefix("- ").strip().rstrip(".")
