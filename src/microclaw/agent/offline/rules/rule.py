"""A rule: what begins it, what must hold, and what it does, in order. `words` says a rule as a sentence.

The sentence is read as the same rule again (reader.py).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.agent.language.times import spoken_duration

NOUNS: Final = {
    "button": "the button on ",
    "door": "the door contact on ",
    "motion": "the motion sensor on ",
    "pin": "",
}
_HIGH: Final = {"button": "is released", "door": "opens", "motion": "sees motion", "pin": "goes high"}
_LOW: Final = {"button": "is pressed", "door": "closes", "motion": "sees no motion", "pin": "goes low"}


class PinTrigger(Struct, frozen=True):
    """A pin that comes to a level. `part` is what the sentence says is wired there."""

    pin: int
    level: int
    part: str = "pin"

    @property
    def pulls_up(self) -> bool:
        """True if its pin is high while nothing happens: a contact connects it to ground, "goes low" begins high."""
        return self.part in ("button", "door") or not self.level

    @property
    def words(self) -> str:
        verbs = _HIGH if self.level else _LOW
        return f"{NOUNS[self.part]}pin {self.pin} {verbs[self.part]}"


HYSTERESIS_MILLI: Final = 500
MEASURE_MS: Final = 1000
"""A measured quantity is read so often."""


class ValueTrigger(Struct, frozen=True):
    """A measured quantity that comes to be above or below a limit, in thousandths of its unit."""

    quantity: str
    is_above: bool
    milli: int

    @property
    def sign(self) -> str:
        """The comparison with the limit, in C and in Python."""
        if self.is_above:
            return ">"
        return "<"

    @property
    def back_milli(self) -> int:
        """The limit at which it counts again."""
        if self.is_above:
            return self.milli - HYSTERESIS_MILLI
        return self.milli + HYSTERESIS_MILLI

    @property
    def limit_words(self) -> str:
        side = "above" if self.is_above else "below"
        return f"{side} {self.milli / 1000:g}"

    @property
    def words(self) -> str:
        return f"the {self.quantity.replace('_', ' ')} is {self.limit_words}"


class EveryTrigger(Struct, frozen=True):
    """The start of the program, and each `ms` after it."""

    ms: int


Trigger: TypeAlias = PinTrigger | ValueTrigger | EveryTrigger | None
"""None is the start of the program."""


class Turn(Struct, frozen=True):
    """Switch a pin, for `for_ms` if that is not 0. The pin None is the board's LED."""

    pin: int | None
    to: Literal["on", "off", "toggle"]
    for_ms: int = 0

    @property
    def words(self) -> str:
        place = place_words(self.pin)
        if self.to == "toggle":
            return f"toggle {place}"
        span = f" for {spoken_duration(self.for_ms)}" if self.for_ms else ""
        return f"turn {self.to} {place}{span}"


class Blink(Struct, frozen=True):
    """Switch a pin on and off `times` times. It is on for half a period each time."""

    pin: int | None
    times: int
    half_ms: int

    @property
    def words(self) -> str:
        return f"blink {place_words(self.pin)} {self.times} times with a period of {spoken_duration(2 * self.half_ms)}"


class Morse(Struct, frozen=True):
    """Blink SOS on a pin."""

    pin: int | None

    @property
    def words(self) -> str:
        return f"blink SOS on {place_words(self.pin)}"


class Police(Struct, frozen=True):
    """Light two pins in turn, once each."""

    pin: int
    pin_2: int

    @property
    def words(self) -> str:
        return f"turn on pin {self.pin} and pin {self.pin_2} in turn"


class Fade(Struct, frozen=True):
    """Bring a pin from dark to full brightness within `ms`."""

    pin: int | None
    ms: int

    @property
    def words(self) -> str:
        return f"fade {place_words(self.pin)} in over {spoken_duration(self.ms)}"


class Wait(Struct, frozen=True):
    ms: int

    @property
    def words(self) -> str:
        return f"wait {spoken_duration(self.ms)}"


class Warn(Struct, frozen=True):
    """Print a warning with the measured value."""

    @property
    def words(self) -> str:
        return "print a warning"


class Highest(Struct, frozen=True):
    """Print a quantity, and the highest or lowest value of the last day."""

    quantity: str
    is_high: bool

    @property
    def sign(self) -> str:
        """The comparison of a value with the highest or lowest one until then, in C and in Python."""
        if self.is_high:
            return ">"
        return "<"

    @property
    def most_word(self) -> str:
        if self.is_high:
            return "highest"
        return "lowest"

    @property
    def words(self) -> str:
        return f"read the {self.quantity.replace('_', ' ')} and print the {self.most_word} of the day"


Act: TypeAlias = Turn | Blink | Morse | Police | Fade | Wait | Warn | Highest


class Rule(Struct, frozen=True):
    """What to do at the trigger, at most once in `gap_ms` if that is not 0, and only while a pin has a level.

    `holds`: the pin of the only act is on while the trigger's level lasts.
    """

    trigger: Trigger
    acts: tuple[Act, ...]
    only_while: PinTrigger | None = None
    gap_ms: int = 0
    holds: bool = False

    @property
    def words(self) -> str:
        text = " then ".join(act.words for act in self.acts)
        trigger = self.trigger
        if isinstance(trigger, EveryTrigger):
            text = f"{text} every {spoken_duration(trigger.ms)}"
        elif self.holds and isinstance(trigger, PinTrigger):
            level = "high" if trigger.level else "low"
            text = f"{text} while pin {trigger.pin} is {level}"
        elif trigger is not None:
            text = f"when {trigger.words} {text}"
        if self.only_while is not None:
            level = "high" if self.only_while.level else "low"
            text += f" but only while pin {self.only_while.pin} is {level}"
        if self.gap_ms:
            text += f" at most every {spoken_duration(self.gap_ms)}"
        return text


def place_words(pin: int | None) -> str:
    if pin is None:
        return "the LED"
    return f"pin {pin}"
