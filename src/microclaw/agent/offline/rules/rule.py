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
_IS_HIGH: Final = {"button": "is up", "door": "is open", "motion": "sees motion", "pin": "is high"}
_IS_LOW: Final = {"button": "is down", "door": "is closed", "motion": "sees no motion", "pin": "is low"}


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

    @property
    def state_words(self) -> str:
        verbs = _IS_HIGH if self.level else _IS_LOW
        return f"{NOUNS[self.part]}pin {self.pin} {verbs[self.part]}"


HYSTERESIS_MILLI: Final = 500
MEASURE_MS: Final = 1000
"""A measured quantity is read so often."""
LOOK_MS: Final = 20
"""A pin is looked at this often; two looks must agree."""


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

    @property
    def state_words(self) -> str:
        return self.words


Condition: TypeAlias = PinTrigger | ValueTrigger


class Together(Struct, frozen=True):
    """Several conditions, of which all come to hold, or any one of them."""

    conditions: tuple[Condition, ...]
    is_any: bool = False

    @property
    def words(self) -> str:
        joint = " or " if self.is_any else " and "
        return joint.join(condition.state_words for condition in self.conditions)

    @property
    def state_words(self) -> str:
        return self.words


class EveryTrigger(Struct, frozen=True):
    """The start of the program, and each `ms` after it."""

    ms: int


Trigger: TypeAlias = PinTrigger | ValueTrigger | Together | EveryTrigger | None
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


class Count(Struct, frozen=True):
    """Print how often the trigger came, since the program began."""

    @property
    def words(self) -> str:
        return "count it"


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


class Measure(Struct, frozen=True):
    """Print several quantities in one line."""

    quantities: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line, with the form of each value."""
        return ", ".join(f"{quantity} %.2f" for quantity in self.quantities)

    @property
    def words(self) -> str:
        names = " and the ".join(self.quantities).replace("_", " ")
        return f"read the {names} and print them"


Act: TypeAlias = Turn | Blink | Morse | Police | Fade | Wait | Warn | Count | Highest | Measure


def act_length_ms(act: Act) -> int:
    """Return how long an act takes that switches a pin for a time, blinks or waits."""
    if isinstance(act, Blink):
        return act.times * 2 * act.half_ms
    if isinstance(act, Wait):
        return act.ms
    if isinstance(act, Turn):
        return act.for_ms
    return 0


class Rule(Struct, frozen=True):
    """What to do at the trigger, at most `gap_times` in `gap_ms` if that is not 0, and only while a condition holds.

    `holds`: the pin of the only act is on while the trigger's conditions last. With `again_ms` the acts are done again
    and again instead, once in that time; at the end their pins are off.
    `held_ms`: its conditions must last so long before the acts begin. `nth`: only every nth time begins them.
    `delay_ms`: the acts begin so long after that; until they are done nothing begins them again.
    `until`: its only act, which turns a pin on, ends as soon as this holds, also if it holds from the start.
    """

    trigger: Trigger
    acts: tuple[Act, ...]
    only_while: Condition | None = None
    gap_ms: int = 0
    gap_times: int = 1
    holds: bool = False
    held_ms: int = 0
    nth: int = 1
    again_ms: int = 0
    delay_ms: int = 0
    until: Condition | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of its trigger."""
        if isinstance(self.trigger, Together):
            return self.trigger.conditions
        if isinstance(self.trigger, Condition):
            return (self.trigger,)
        return ()

    @property
    def turned_pin(self) -> int | None:
        """The pin of its only act, if that switches one."""
        act = self.acts[0]
        if isinstance(act, Turn):
            return act.pin
        return None

    @property
    def pause_ms(self) -> int:
        """Nothing begins the acts again for so long."""
        if not self.delay_ms:
            return self.gap_ms
        return max(self.gap_ms, self.delay_ms + sum(map(act_length_ms, self.acts)))

    @property
    def end_look_ms(self) -> int:
        """What ends its act is looked at this often."""
        if isinstance(self.until, ValueTrigger):
            return MEASURE_MS
        return LOOK_MS

    @property
    def look_ms(self) -> int:
        """Its conditions are looked at this often."""
        if self.measures:
            return MEASURE_MS
        return LOOK_MS

    @property
    def is_any(self) -> bool:
        """True if one of its conditions is enough."""
        return isinstance(self.trigger, Together) and self.trigger.is_any

    @property
    def measures(self) -> bool:
        """True if its trigger has a measured quantity, which is read less often than a pin."""
        return bool(self.measured)

    @property
    def measured(self) -> list[str]:
        """The quantities of its trigger, each once."""
        names = [condition.quantity for condition in self.conditions if isinstance(condition, ValueTrigger)]
        return list(dict.fromkeys(names))

    @property
    def alert(self) -> str:
        """The line that a warning prints, with the form of each measured value."""
        text = f"alert: {self.trigger_words}"
        if self.measured:
            text += ": " + ", ".join(["%.2f"] * len(self.measured))
        return text

    @property
    def inputs(self) -> list[PinTrigger]:
        """The pins that it reads."""
        conditions = [*self.conditions, self.only_while, self.until]
        return [condition for condition in conditions if isinstance(condition, PinTrigger)]

    @property
    def quantities(self) -> list[str]:
        """The quantities that it measures, each once."""
        names = self.measured
        for thing in (self.only_while, self.until, *self.acts):
            if isinstance(thing, ValueTrigger | Highest):
                names.append(thing.quantity)
            elif isinstance(thing, Measure):
                names += thing.quantities
        return list(dict.fromkeys(names))

    @property
    def words(self) -> str:
        text = self._act_words
        trigger = self.trigger
        if isinstance(trigger, EveryTrigger):
            text = f"{text} every {spoken_duration(trigger.ms)}"
        elif self.holds and self.held_ms:
            text = f"{self._begin_words} {text} while it {self._staying_words}"
        elif self.holds and trigger is not None:
            text = f"{text} while {trigger.state_words}"
        elif trigger is not None:
            text = f"{self._begin_words} {text}"
        if self.only_while is not None:
            text += f" but only while {self.only_while.state_words}"
        if self.gap_ms:
            text += f" at most {self._gap_words} {spoken_duration(self.gap_ms)}"
        return text

    @property
    def trigger_words(self) -> str:
        """What begins it, as a statement."""
        if self.trigger is None or isinstance(self.trigger, EveryTrigger):
            return ""
        if self.held_ms:
            state = self.trigger.state_words.replace(" is ", " stays ")
            return f"{state} for {spoken_duration(self.held_ms)}"
        return self.trigger.words

    @property
    def _gap_words(self) -> str:
        if self.gap_times > 1:
            return f"{self.gap_times} times per"
        return "every"

    @property
    def _act_words(self) -> str:
        act = self.acts[0]
        if isinstance(act, Blink) and self.again_ms == 2 * act.half_ms:
            return f"blink {place_words(act.pin)} every {spoken_duration(act.half_ms)}"
        text = " then ".join(act.words for act in self.acts)
        if self.until is not None:
            joint = "or until" if act_length_ms(act) else "until"
            text += f" {joint} {self.until.state_words}"
        if self.delay_ms:
            text = f"wait {spoken_duration(self.delay_ms)} then {text}"
        if self.again_ms:
            text += f" every {spoken_duration(self.again_ms)}"
        return text

    @property
    def _staying_words(self) -> str:
        """How its only condition lasts, without its noun."""
        words = self.conditions[0].state_words
        state = words.partition(" is ")[2]
        if state:
            return f"stays {state}"
        return "sees" + words.partition(" sees")[2]

    @property
    def _begin_words(self) -> str:
        if self.nth > 1:
            ordinal = {2: "2nd", 3: "3rd"}.get(self.nth, f"{self.nth}th")
            return f"every {ordinal} time {self.trigger_words}"
        return f"when {self.trigger_words}"


def place_words(pin: int | None) -> str:
    if pin is None:
        return "the LED"
    return f"pin {pin}"
