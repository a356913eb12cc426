"""A parsed sentence, the open question about it, and the decision at one step of a turn: call a tool, answer, or ask.

Plain values, no IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import Struct, convert, field
from msgspec.structs import replace

from microclaw.language.times import When
from microclaw.language.yes_no import plain, said_yes
from microclaw.models.protocol import DeviceContext, KnownDevice, Message, ToolReturn, UserText
from microclaw.text import without_fences

Values: TypeAlias = dict[str, int | str | bool]
PinSlot: TypeAlias = Literal["pin", "pin_2", "pin_3", "pin_4", "pin_5", "pin_6", "pin_7", "pin_8"]
Slot: TypeAlias = PinSlot | Literal["pins", "button_pin", "milli", "device", "confirmed"]
PIN_SLOTS: Final[tuple[PinSlot, ...]] = get_args(PinSlot)

_PINS: Final = re.compile(r"(?:(?:on|at|the|its?|it is|it's) )*(?:pin )?\d{1,3}(?: also pin \d{1,3})*")
_PERCENT: Final = re.compile(r"(?:(?:at|to|make it) )*(-?\d+) milli percent")


class Parse(Struct, frozen=True):
    """`values`: whole numbers and words; `when`: the time of a schedule.

    `confirmed`: the person said yes to it. `undoes` are changes to revert first; `replaces` is the program whose name
    this one takes.
    """

    kind: str
    values: Values = field(default_factory=dict)
    when: When | None = None
    confirmed: bool = False
    undoes: tuple[int, ...] = ()
    replaces: str | None = None

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that are named, in order; not that of a button."""
        return tuple(pin for slot in PIN_SLOTS if (pin := self.number(slot)) is not None)

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def word(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


class Question(Struct, frozen=True):
    """The question of the last answer: a slot of the parse of `said`. It is stored with that answer."""

    slot: Slot
    parse: Parse
    said: str
    device: str | None = None  # where the sentence named one
    reading: str = ""  # the sentence that a yes stands for

    def completed(self, answer: str) -> Parse | None:
        """The parse with the value that was asked for; None if the answer is a sentence of its own."""
        text = plain(answer)
        percent, numbers = _PERCENT.fullmatch(text), re.findall(r"\d+", text) if _PINS.fullmatch(text) else []
        match self.slot:
            case "confirmed":
                is_meant = said_yes(answer) or text == plain(f"yes {self.reading}")
                return replace(self.parse, confirmed=True) if is_meant else None
            case "milli" if percent:
                values: Values = {"milli": int(percent[1])}
            case "pins" if numbers:
                values = dict.fromkeys(PIN_SLOTS, "") | dict(zip(PIN_SLOTS, map(int, numbers), strict=False))
            case "device" | "milli" | "pins":
                return None  # the dialogue knows the devices' names
            case slot if len(numbers) == 1:
                values = {slot: int(numbers[0])}
            case _:
                return None
        return replace(self.parse, values={**self.parse.values, **values})


CORRECT: Final = "correct"
"""The tool that takes changes back and sets pins instead, with one question."""


class Act(Struct, frozen=True):
    """Call one tool. `words` is a sentence with exactly this meaning, for what changes something."""

    tool: str
    arguments: Mapping[str, Any]
    words: str = ""
    code_origin: str | None = None


class Say(Struct, frozen=True):
    """End the turn with a text. `code` is set when the request was not done; `asks` names a missing slot.

    `suggested` are sentences of which a yes or a number chooses one. `refers`: it is about the last act, or nothing.
    """

    text: str
    code: str | None = None
    next_step: str | None = None
    asks: Slot | None = None
    suggested: tuple[str, ...] = ()
    refers: bool = False


Decision: TypeAlias = Act | Say


class Result(Struct, frozen=True):
    """A tool's result as fields."""

    tool: str
    ok: bool
    fields: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.fields.get("device", "the device"))

    @property
    def proof(self) -> tuple[str, str]:
        """Kind and text of its first evidence; ("accepted", "") when it has none."""
        for item in self.fields.get("evidence", ()):
            return str(item["kind"]), str(item["text"])
        return "accepted", ""


class Context(Struct, frozen=True):
    """A parsed sentence: its text, the devices, the device that it names, and the tool results so far."""

    parse: Parse
    said: str
    device_context: DeviceContext
    named: KnownDevice | None = None
    results: tuple[Result, ...] = ()
    refers: bool = False  # it is about the last act

    @property
    def device(self) -> KnownDevice | None:
        """The device that it is for; None where several could be."""
        return self.named or self.device_context.meant

    def on_device(self, **arguments: Any) -> dict[str, Any]:
        """A tool call's arguments, with the device when the sentence names it."""
        return {**arguments, "device": self.named.name} if self.named else arguments


class CannotDo(Exception):
    """Raised when a sentence cannot be done; its one argument is the answer, a Say."""


def ask(text: str, next_step: str | None = None, slot: Slot | None = None, *, code: str = "ambiguous") -> CannotDo:
    """A question to the person instead of a guess. `slot`: the value that a short answer fills."""
    return CannotDo(Say(text, code, next_step, slot))


def turn_of(messages: Sequence[Message]) -> tuple[str, tuple[Result, ...], tuple[Message, ...]]:
    """The person's latest text, the tool results since, and the messages before it."""
    start = max((i for i, m in enumerate(messages) if isinstance(m, UserText)), default=-1)
    if start < 0:
        return "", (), ()
    first = messages[start]
    assert isinstance(first, UserText)
    returns = [read_return(m) for m in messages[start:] if isinstance(m, ToolReturn)]
    return first.text, tuple(part for one in returns for part in _parts(one)), tuple(messages[:start])


def _parts(result: Result) -> tuple[Result, ...]:
    """A correction that was made, as the results of what it is made of; any other result as it is."""
    if result.tool != CORRECT or not result.ok:
        return (result,)
    undone = (Result("undo", True, fields) for fields in result.fields.get("undone", ()))
    pins = (Result("pwm-set" if "duty" in one else "gpio-set", True, one) for one in result.fields.get("pins", ()))
    return (*undone, *pins)


def read_return(returned: ToolReturn) -> Result:
    """A tool's JSON result as fields; text that is not a JSON object becomes the message."""
    try:
        fields = convert(json.loads(returned.content), dict[str, Any])
    except (ValueError, RecursionError):
        fields = {"message": returned.content}
    return Result(returned.name, not returned.failed, _unfenced(fields))


def _unfenced(value: Any) -> Any:
    """A tool's result as the answer shows it to a person: rules read it, no model."""
    match value:
        case str():
            return without_fences(value)
        case list():
            return [_unfenced(item) for item in value]
        case dict():
            return {_unfenced(key): _unfenced(item) for key, item in value.items()}
        case _:
            return value


def capital(text: str) -> str:
    """The text as the start of a sentence, without a full stop; a name like virtual-1 stays as it is."""
    first = text.split(" ", 1)[0].rstrip(":,")
    return (text[:1].upper() + text[1:] if first.isalpha() else text).rstrip(".")


def numbered(suggested: Sequence[str]) -> str:
    """Sentences to choose from by their number."""
    return "; ".join(f"{n}: {one}" for n, one in enumerate(suggested, start=1))


def plain_line(line: object) -> str:
    """A line of memory as a sentence without its full stop."""
    return str(line).removeprefix("- ").strip().rstrip(".")
