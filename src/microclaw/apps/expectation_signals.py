"""The lines of expectations about PWM, addressable LEDs and servos. Knows no other lines."""

from __future__ import annotations

from typing import Final

from microclaw.apps.colors import COLOR_NAMES, Color, Rgb
from microclaw.apps.expectation_tokens import SHARE, TokenReader
from microclaw.apps.expectations import (
    Check,
    LedAt,
    LedEffect,
    LedPhase,
    LedWithin,
    PwmAt,
    PwmFrequency,
    PwmPeriod,
    PwmRamp,
    ServoAt,
    Window,
)

MIN_DUTY_POINTS: Final = 0.5
MAX_DUTY_POINTS: Final = 2.5
"""Of an exact duty: a step of 8 bits is 0.39; a servo turns 45 degrees in 2.3 points."""
SERVO_RANGES_US: Final = ((500.0, 2500.0), (544.0, 2400.0))
"""The pulses of 0 and 180 degrees: microclaw's servo (firmware/fw/microclaw.py), Arduino's Servo."""
SERVO_SLACK_DEG: Final = 5.0
_MAX_LED: Final = 4095
_MAX_PULSE_US: Final = 20_000.0


class SignalReader(TokenReader):
    """What stands in a line about a pin that is driven by more than levels."""

    def _pwm_line(self) -> tuple[Check, ...]:
        """pwm N: PART, PART [from TIME] [until TIME]"""
        pin = self._pin("pwm")
        self._take(":")
        window = self._window_ahead()
        checks = [self._pwm_part(pin, window)]
        while self._try(","):
            checks.append(self._pwm_part(pin, window))
        self._window()
        return tuple(checks)

    def _pwm_part(self, pin: int, window: Window) -> Check:
        if self._try("period"):
            return PwmPeriod(pin, self._duration(), self._share(SHARE), window)
        value = self._number("a duty in percent, or a frequency in Hz")
        if self._try("Hz"):
            return PwmFrequency(pin, value, self._share(SHARE))
        self._try("%")
        if not 0 <= value <= 100:
            raise self.error(f"{value:g} is no duty", "write 0 % to 100 %")
        if self._try("at"):
            at_ms = self._duration()
            return PwmAt(pin, value, at_ms, self._duty_points(value))
        self._arrow()
        end = self._percent()
        word = self._one_of("within", "in")
        within_ms = self._duration()
        return PwmRamp(pin, value, end, within_ms, self._share(SHARE) if word == "in" else None, window)

    def _duty_points(self, percent: float) -> float:
        """How far a duty may be off: 5 % of it where the text gives none, but a step of 8 bits or two in any case."""
        return 100 * self._share(min(MAX_DUTY_POINTS, max(MIN_DUTY_POINTS, SHARE * percent)) / 100)

    def _led_line(self) -> tuple[Check, ...]:
        """led N[I]: COLOR at TIME, COLOR within TIME, COLOR for TIME [from TIME] [until TIME]"""
        pin, index = self._led()
        self._take(":")
        window = self._window_ahead()
        checks = [self._led_part(pin, index, window)]
        while self._try(","):
            checks.append(self._led_part(pin, index, window))
        self._window()
        return tuple(checks)

    def _led_part(self, pin: int, index: int | None, window: Window) -> Check:
        color = self._color()
        match self._one_of("at", "within", "for"):
            case "at":
                return LedAt(pin, index, color, self._duration())
            case "within":
                return LedWithin(pin, index, color, self._duration())
            case _:
                return LedPhase(pin, index, color, self._duration(), self._share(SHARE), window)

    def _led_effect(self) -> LedEffect:
        """led N[I] -> COLOR"""
        pin, index = self._led()
        self._arrow()
        return LedEffect(pin, index, self._color())

    def _led(self) -> tuple[int, int | None]:
        """The pin, and which LED of its chain; None: all of them."""
        pin = self._pin("led")
        if not self._try("["):
            return pin, None
        index = self._whole("an LED's number, from 0", _MAX_LED)
        self._take("]")
        return pin, index

    def _color(self) -> Color:
        """A name, or RED,GREEN,BLUE with a tolerance of each part's whole range."""
        if self._kind() != "number":
            return Color(self._one_of(*COLOR_NAMES))
        parts: list[int] = []
        for part in ("red", "green", "blue"):
            if parts:
                self._take(",")
            parts.append(self._whole(f"a part of {part}", 255))
        rgb: Rgb = (parts[0], parts[1], parts[2])
        return Color(None, rgb, 255 * self._share(SHARE))

    def _servo_line(self) -> tuple[Check, ...]:
        """servo N: ANGLE deg at TIME, PULSE us at TIME, off at TIME"""
        pin = self._pin("servo")
        self._take(":")
        checks = [self._servo_part(pin)]
        while self._try(","):
            checks.append(self._servo_part(pin))
        return tuple(checks)

    def _servo_part(self, pin: int) -> Check:
        if self._try("off"):
            self._take("at")
            return ServoAt(pin, (0.0,), self._duration(), 1.0)
        value = self._number("an angle, as 90 deg, or a pulse, as 1500 us")
        if self._one_of("deg", "degrees", "us") == "us":
            if not 0 < value <= _MAX_PULSE_US:
                raise self.error(f"{value:g} us is no pulse of a servo", "write 500 us to 2500 us")
            slack = value * self._share(SHARE)
            self._take("at")
            return ServoAt(pin, (value,), self._duration(), slack)
        if not 0 <= value <= 180:
            raise self.error(f"{value:g} is no angle of a servo", "write 0 deg to 180 deg")
        self._take("at")
        pulses = tuple(least + (most - least) * value / 180 for least, most in SERVO_RANGES_US)
        least, most = SERVO_RANGES_US[0]
        return ServoAt(pin, pulses, self._duration(), (most - least) * SERVO_SLACK_DEG / 180)

    def _window_ahead(self) -> Window:
        """The `from` and `until` at the line's end are of all its parts."""
        here = self._index
        for index in range(here, len(self._tokens)):
            if self._tokens[index].text in ("from", "until"):
                self._index = index
                window = self._window()
                self._index = here
                return window
        return Window()

    def _window(self) -> Window:
        from_ms, until_ms = 0.0, None
        if self._try("from"):
            from_ms = self._duration(zero=True)
        if self._try("until"):
            until_ms = self._duration()
            if until_ms <= from_ms:
                raise self.error("it ends before it begins", "write: from 2 s until 5 s")
        return Window(from_ms, until_ms)

    def _pin(self, word: str = "pin") -> int:
        self._take(word)
        return self._whole("a pin number", 63)

    def _arrow(self) -> None:
        if not (self._try("->") or self._try("→")):
            raise self._wrong("->")
