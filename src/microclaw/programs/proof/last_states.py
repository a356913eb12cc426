"""What the wired parts showed at the end of a trial, as far as the program moved them. Kept with the proof."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from microclaw.devices.registry.calls import LedChange
from microclaw.hardware.screens.screen import Screen, pack_data
from microclaw.programs.proof.record import Record
from microclaw.wire.board_replies import PartScreen

MAX_SCREEN_BYTES: Final = 200_000
"""Of all pictures of a proof; those that do not fit are left out."""
MAX_LEDS: Final = 1_024


class LastStates(Struct, frozen=True):
    """The last values of parts by their ids and names, their last pictures, and the last colors by the chain's pin.

    `texts` are those that were read from the pictures.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    screens: dict[str, PartScreen] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    colors: dict[str, list[str]] = field(default_factory=dict)


def last_states(record: Record) -> LastStates:
    """Return what the parts showed last; what they showed before the program moved them is left out."""
    states = LastStates()
    for row in record.shown:
        if row.t_ms > 0:
            states.values.setdefault(row.part, {})[row.name] = row.value
    last_changes: dict[int, LedChange] = {}
    for change in record.leds:
        last_changes[change.pin] = change
    for pin, change in last_changes.items():
        colors = [f"{red:02x}{green:02x}{blue:02x}" for red, green, blue in change.colors[:MAX_LEDS]]
        states.colors[str(pin)] = colors
    _add_screens(states, record)
    return states


def _add_screens(states: LastStates, record: Record) -> None:
    last: dict[str, Screen] = {}
    for shown in record.screens:
        if shown.t_ms > 0:
            last[shown.part] = shown.screen
    left_bytes = MAX_SCREEN_BYTES
    for part, screen in last.items():
        data = pack_data(screen)
        left_bytes -= len(data)
        if left_bytes < 0:
            continue
        states.screens[part] = PartScreen(screen.kind, screen.width, screen.height, data, screen.mark)
        reading = record.screen_reader.read(screen)
        if reading is not None and reading.text:
            states.texts[part] = reading.text
