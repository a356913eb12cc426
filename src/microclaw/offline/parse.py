"""A parsed sentence (kind and values) and the open question about it. Plain values, no IO."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.language.times import When
from microclaw.language.yes_no import plain, said_yes

Values: TypeAlias = dict[str, int | str | bool]
PinSlot: TypeAlias = Literal["pin", "pin_2", "pin_3", "pin_4", "pin_5", "pin_6", "pin_7", "pin_8"]
Slot: TypeAlias = PinSlot | Literal["pins", "button_pin", "milli", "device", "confirmed"]
PIN_SLOTS: Final[tuple[PinSlot, ...]] = get_args(PinSlot)

_PINS: Final = re.compile(r"(?:(?:on|at|the|its?|it is|it's) )*(?:pin )?\d{1,3}(?: also pin \d{1,3})*")
_PERCENT: Final = re.compile(r"(?:(?:at|to|make it) )*(-?\d+) milli percent")


class Parse(Struct, frozen=True):
    """`values`: whole numbers and words; `when`: the time of a schedule.

    `loose`: no template fits it as it stands. `confirmed`: the person said yes to it. `undoes` are changes
    to revert first; `replaces` is the program that this one takes the name of.
    """

    kind: str
    values: Values = field(default_factory=dict)
    loose: bool = False
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
        if self.slot == "confirmed":
            is_meant = said_yes(answer) or text == plain(f"yes {self.reading}")
            return replace(self.parse, confirmed=True) if is_meant else None
        if self.slot == "device":
            return None  # the dialogue knows the devices' names
        if self.slot == "milli":
            percent = _PERCENT.fullmatch(text)
            return self._with({"milli": int(percent[1])}) if percent else None
        numbers = re.findall(r"\d+", text) if _PINS.fullmatch(text) else []
        if self.slot == "pins" and numbers:
            pins = {f"pin_{n}" if n > 1 else "pin": int(number) for n, number in enumerate(numbers, start=1)}
            others = {name: value for name, value in self.parse.values.items() if not name.startswith("pin")}
            return replace(self.parse, values={**others, **pins})
        return self._with({self.slot: int(numbers[0])}) if len(numbers) == 1 else None

    def _with(self, values: dict[str, int]) -> Parse:
        return replace(self.parse, values={**self.parse.values, **values})
