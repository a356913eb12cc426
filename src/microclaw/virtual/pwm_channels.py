"""The chip's PWM channels and timers, as its drivers share them out: one channel a pin, one timer a frequency.

As MicroPython's ports/esp32 machine_pwm.c does it: pins of one frequency share a timer of their group.
"""

from __future__ import annotations

from msgspec import Struct

from microclaw.errors import PinRefused
from microclaw.hardware.boards.profile import PwmUnit


class _Channel(Struct):
    group: int
    frequency_hz: int


class PwmChannels:
    """The channel of each pin that has one. The board's lock guards it."""

    def __init__(self, unit: PwmUnit) -> None:
        self._unit = unit
        self._channels: dict[int, _Channel] = {}

    def take(self, pin: int, frequency_hz: int) -> None:
        """Give the pin a channel of this frequency, in place of its own. Raises PinRefused if none is left."""
        unit = self._unit
        if not unit.lowest_hz <= frequency_hz <= unit.highest_hz():
            text = f"PWM of {frequency_hz:,} Hz: the chip has {unit.lowest_hz:,} to {unit.highest_hz():,} Hz"
            raise PinRefused(text, next_step="choose another frequency")
        groups = sorted(range(unit.groups), key=lambda group: frequency_hz not in self._frequencies(group, pin))
        for group in groups:
            frequencies = self._frequencies(group, pin)
            has_channel = len(frequencies) < unit.channels
            has_timer = frequency_hz in frequencies or len({*frequencies}) < unit.timers
            if has_channel and has_timer:
                self._channels[pin] = _Channel(group, frequency_hz)
                return
        step = "give several pins one frequency, or end the PWM of one"
        if all(len(self._frequencies(group, pin)) == unit.channels for group in groups):
            raise PinRefused(f"out of PWM channels:{unit.groups * unit.channels}", next_step=step)
        raise PinRefused(f"out of PWM timers:{unit.groups * unit.timers}", next_step=step)

    def release(self, pin: int) -> None:
        """Take the pin's channel back, if it has one."""
        self._channels.pop(pin, None)

    def _frequencies(self, group: int, pin: int) -> list[int]:
        """Return the frequency of each other pin's channel of the group."""
        others = (channel for number, channel in self._channels.items() if number != pin)
        return [channel.frequency_hz for channel in others if channel.group == group]
