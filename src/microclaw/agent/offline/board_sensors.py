"""The sensor of a sentence: the part on its board that measures a quantity. It reads nothing."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.agent.offline.boards import board_of, device_of
from microclaw.agent.offline.decision import Context, ask
from microclaw.hardware.parts.reader import Part, Quantity, ValueRange, find_part, i2c_sensors_of, quantities
from microclaw.hardware.parts.wiring import WiredPart, Wiring, is_on_own_bus
from microclaw.programs.patterns.library import pattern_names

FIND_PROGRAMS: Final = "see which programs there are: microclaw app search"


class BoardSensor(Struct, frozen=True):
    """The sensor on a board for the quantity of a sentence. `name` is the quantity's name, `address` is on I2C."""

    name: str
    quantity: Quantity
    part: Part
    address: int

    @property
    def spoken_name(self) -> str:
        """The quantity's name as a sentence has it."""
        return self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """The part's name in capitals, as people write it."""
        return self.part.name.upper()

    @property
    def range(self) -> ValueRange:
        """The values that the part measures, in the unit of the quantity."""
        return self.part.measures[self.name]


def sensor_of(context: Context) -> BoardSensor:
    """Return the part on this board's I2C bus that measures the quantity of the sentence. Raises CannotDo."""
    name = context.parse.word("quantity") or "temperature"
    shown_name = name.replace("_", " ")
    quantity = quantities().get(name)
    wired = wired_sensor(context)
    if quantity is not None and wired is not None:
        # Only the board's own bus is read without a program.
        if wired.address is not None and is_on_own_bus(wired, board_of(context)):
            return BoardSensor(name, quantity, wired.facts, wired.address)
        pins = " and ".join(f"pin {pin}" for pin in wired.pins.values())
        step = FIND_PROGRAMS
        if reading_pattern(wired.facts) is not None:
            step = f"log the {shown_name} of the {wired.part} on {pins} every 10 s"
        raise ask(f"Only a program can read the {wired.part.upper()}, not the host.", step, code="not_possible")
    title = board_of(context).title
    part = context.parse.word("part")
    if part is not None:
        step = f"log the {shown_name} of the {part} on pin 4 every 10 s"
        if find_part(part).i2c is not None:
            step = "scan the i2c bus"
        raise ask(f"{title} has no {part.upper()} that measures {shown_name} and that this host knows of.", step)
    text = f"{title} has no sensor for {shown_name} that this host knows of."
    if i2c_sensors_of(name):
        raise ask(text, "scan the i2c bus")
    if context.parse.number("pin") is not None:
        raise ask(text, "read its voltage on an analog pin: read adc 4")
    raise ask(f"{text} Which pin is its analog output on?", "read its voltage: read adc 4", "pin")


def reading_pattern(facts: Part) -> str | None:
    """Return the pattern that reads a part on pins again and again, or None if there is none."""
    name = f"read_{facts.name}"
    if name in pattern_names():
        return name
    return None


def wired_sensor(context: Context) -> WiredPart | None:
    """Return the wired part that measures the quantity of the sentence, of the kind that it names; None without one."""
    name = context.parse.word("quantity") or "temperature"
    return find_sensor(device_of(context).wiring, name, context.parse.word("part"))


def find_sensor(wiring: Wiring, quantity: str, kind: str | None = None) -> WiredPart | None:
    """Return the first part by name that measures a quantity, of this kind if one is given.

    A part on the board's own I2C bus, which is read without a program, comes before the others. Of several of a kind it
    is the last: what a person recorded stands after what is soldered on.
    """
    sensors = []
    for part in reversed(wiring.measuring(quantity)):
        if kind in (None, part.part):
            sensors.append(part)
    if not sensors:
        return None
    return min(sensors, key=lambda part: (part.address is None or bool(part.pins), part.part))
