"""Reads expectations from text, one a line. docs/proof.md has the grammar; a test reads its examples from there."""

from __future__ import annotations

import re
from typing import Final

from microclaw.apps.expectation_signals import SignalReader
from microclaw.apps.expectation_tokens import SHARE
from microclaw.apps.expectations import (
    MAX_ADC_V,
    AdcStimulus,
    Check,
    Duty,
    EdgeAt,
    EdgeCount,
    Effect,
    ExpectationLine,
    Expectations,
    Hold,
    Level,
    LevelAt,
    LogCount,
    LogEffect,
    LogEvery,
    Period,
    PhaseLength,
    PinEffect,
    PinStimulus,
    PwmEffect,
    Reaction,
    SensorStimulus,
    StayEffect,
    Stimulus,
    Window,
)
from microclaw.apps.line_pattern import LinePattern, parse_line_pattern
from microclaw.errors import ConfigError
from microclaw.text import code_lines

MAX_TEXT_CHARS = 16_384
_BEFORE_COMMENT = re.compile(r'(?:[^"#]|"(?:[^"\\]|\\.)*")*')
MAX_LINES = 100
MAX_STIMULI = 500
MAX_UPTIME_MS = 365 * 86_400_000.0
AT_SLACK_MS: Final = 20.0
SENSOR_UNITS: Final = {
    "temperature": "temperature_c",
    "humidity": "humidity_pct",
    "pressure": "pressure_hpa",
    "voltage": "voltage_v",
    "current": "current_ma",
    "power": "power_mw",
}
_EDGE = {"rises": 1, "falls": 0}
_LEVELS = {"high": 1, "low": 0}


def parse_expectations(text: str) -> Expectations:
    """Read the lines. Raises ConfigError with line, column and what to write instead."""
    if len(text) > MAX_TEXT_CHARS or len(rows := code_lines(text)) > MAX_LINES:
        raise ConfigError(
            f"the expectations are longer than {MAX_LINES} lines or {MAX_TEXT_CHARS:,} characters",
            next_step="keep one line for each thing that the program must do",
        )
    lines: list[ExpectationLine] = []
    stimuli: list[Stimulus] = []
    settings: dict[str, float] = {}
    for number, row in enumerate(rows, 1):
        reader = _Reader(number, row)
        if reader.at_end:
            continue
        match reader.statement():
            case (str() as name, float() as ms):
                if name in settings:
                    raise reader.error(f"{name} is there twice", "keep one of the two lines")
                settings[name] = ms
            case list() as given:
                stimuli += given
            case tuple() as checks:
                lines.append(ExpectationLine(number, _statement(row), checks))
    if not lines:
        raise ConfigError(
            "the expectations expect nothing of the program", next_step="write a line as: pin 2: period 1 s, duty 50 %"
        )
    if len(stimuli) > MAX_STIMULI:
        raise ConfigError(f"more than {MAX_STIMULI} stimuli", next_step="keep those that a check needs")
    stimuli.sort(key=lambda one: one.at_ms)
    return Expectations(
        text, tuple(lines), tuple(stimuli), settings.get("for"), settings.get("uptime"), settings.get("soak")
    )


def _statement(row: str) -> str:
    """The line without its comment; a # in quotes is none."""
    found = _BEFORE_COMMENT.match(row)
    return found[0].strip() if found is not None else row.strip()


class _Reader(SignalReader):
    """The statements of one line."""

    def statement(self) -> tuple[Check, ...] | list[Stimulus] | tuple[str, float]:
        match self._peek():
            case "pin":
                checks = self._pin_line()
            case "when":
                checks = (self._reaction(),)
            case "pwm":
                checks = self._pwm_line()
            case "led":
                checks = self._led_line()
            case "servo":
                checks = self._servo_line()
            case "log":
                checks = (self._log_line(),)
            case "set" | "bounce" | "i2c" | "adc":
                return self._end(self._stimulus())
            case "for":
                self._take("for")
                return self._end(("for", self._duration()))
            case "uptime":
                self._take("uptime")
                return self._end(("uptime", self._duration(MAX_UPTIME_MS)))
            case "soak":
                self._take("soak")
                return self._end(("soak", self._duration(zero=True)))
            case _:
                raise self._wrong(
                    "pin N: ..., when pin N falls: ..., pwm N: ..., led N: ..., servo N: ..., log ..., set pin ..., "
                    "bounce, i2c, adc, for"
                )
        return self._end(checks)

    def _pin_line(self) -> tuple[Check, ...]:
        """pin N: PART, PART [from TIME] [until TIME]"""
        pin = self._pin()
        self._take(":")
        window = self._window_ahead()
        checks = [self._pin_part(pin, window)]
        while self._try(","):
            checks.append(self._pin_part(pin, window))
        self._window()
        return tuple(checks)

    def _pin_part(self, pin: int, window: Window) -> Check:
        word = self._peek()
        if word in _EDGE:
            self._take(word)
            self._take("at")
            at_ms = self._duration(zero=True)
            return EdgeAt(pin, _EDGE[word], at_ms, max(AT_SLACK_MS, self._share(SHARE) * at_ms))
        if word in _LEVELS:
            self._take(word)
            if self._try("for"):
                length_ms = self._duration()
                return PhaseLength(pin, _LEVELS[word], length_ms, self._share(SHARE), window)
            if self._try("at"):
                return LevelAt(pin, _LEVELS[word], self._duration())
            return Hold(pin, _LEVELS[word], window, self._condition())
        if word in ("never", "always"):
            self._take(word)
            level = _LEVELS[self._one_of("high", "low")]
            return Hold(pin, level if word == "always" else 1 - level, window, self._condition())
        if word == "period":
            self._take(word)
            return Period(pin, self._duration(), self._share(SHARE), window)
        if word == "duty":
            self._take(word)
            percent = self._percent()
            return Duty(pin, percent, self._share(SHARE) * 100, window)
        if self._kind() == "number":
            count = self._whole("a count", 1_000_000)
            unit = self._one_of("edges", "edge", "pulses", "pulse")
            return EdgeCount(pin, count, unit.startswith("pulse"), window)
        raise self._wrong(
            "period 1 s, duty 50 %, 6 edges, 3 pulses, high for 200 ms, rises at 5 s, high at 3 s, never high"
        )

    def _reaction(self) -> Reaction:
        """when pin N falls [while pin N high]: EFFECT within TIME [for TIME]"""
        self._take("when")
        pin = self._pin()
        trigger = Level(pin, _EDGE[self._one_of("falls", "rises")])
        condition = self._condition()
        self._take(":")
        effect = self._effect()
        if isinstance(effect, PinEffect | StayEffect) and effect.pin == pin:
            raise self.error("a pin cannot answer itself", "name the pin that the program drives")
        self._take("within" if not isinstance(effect, StayEffect) else "for")
        within_ms = self._duration()
        for_ms, tolerance = None, SHARE
        if isinstance(effect, PinEffect) and effect.level is not None and self._try("for"):
            for_ms, tolerance = self._duration(), self._share(SHARE)
        return Reaction(trigger, condition, effect, within_ms, for_ms, tolerance)

    def _effect(self) -> Effect:
        match self._peek():
            case "log":
                self._take("log")
                return LogEffect(self._pattern())
            case "pwm":
                pin = self._pin("pwm")
                self._arrow()
                percent = self._percent()
                return PwmEffect(pin, percent, self._duty_points(percent))
            case "led":
                return self._led_effect()
            case "pin":
                pin = self._pin()
                verb = self._one_of("rises", "falls", "toggles", "stays")
                return StayEffect(pin) if verb == "stays" else PinEffect(pin, _EDGE.get(verb))
            case _:
                raise self._wrong(
                    'pin N rises, pin N falls, pin N toggles, pin N stays, pwm N -> 40 %, led N -> red, log ~ "text"'
                )

    def _log_line(self) -> Check:
        """log every TIME ~ "..." | log [N times | never] ~ "..." [within TIME] [from TIME] [until TIME]"""
        self._take("log")
        if self._try("every"):
            every_ms = self._duration()
            tolerance = self._share(SHARE)
            return LogEvery(self._pattern(), every_ms, tolerance, self._window())
        count: int | None = None
        if self._try("never"):
            count = 0
        elif self._kind() == "number":
            count = self._whole("a count", 100_000)
            self._one_of("times", "time")
        pattern = self._pattern()
        if self._try("within"):
            return LogCount(pattern, count, Window(0.0, self._duration()))
        return LogCount(pattern, count, self._window())

    def _stimulus(self) -> list[Stimulus]:
        """set pin N = L at T[, T ...] | bounce pin N at T for T | i2c.SENSOR.QUANTITY = X at T | adc N = X V at T"""
        word = self._one_of("set", "bounce", "i2c", "adc")
        if word == "set":
            pin = self._pin()
            self._take("=")
            level = self._whole("a level", 1)
            return [PinStimulus(pin, level, at_ms) for at_ms in self._times()]
        if word == "bounce":
            pin = self._pin()
            self._take("at")
            at_ms = self._duration(zero=True)
            self._take("for")
            return [PinStimulus(pin, None, at_ms, self._duration(1000.0))]
        if word == "adc":
            adc_pin = self._whole("a pin", 63)
            self._take("=")
            volts = self._number("volts")
            if not 0 <= volts <= MAX_ADC_V:
                raise self.error(f"an ADC pin takes no {volts:g} V", f"give 0 to {MAX_ADC_V} V")
            self._try("V")
            return [AdcStimulus(adc_pin, volts, at_ms) for at_ms in self._times()]
        self._take(".")
        sensor = self._word("a sensor: bme280 or ina219")
        self._take(".")
        quantity = self._one_of(*SENSOR_UNITS)
        self._take("=")
        value = self._number("a number")
        return [SensorStimulus(sensor, SENSOR_UNITS[quantity], value, at_ms) for at_ms in self._times()]

    def _times(self) -> list[float]:
        self._take("at")
        times = [self._duration(zero=True)]
        while self._try(","):
            times.append(self._duration(zero=True))
        return times

    def _condition(self) -> Level | None:
        if not self._try("while"):
            return None
        return Level(self._pin(), _LEVELS[self._one_of("high", "low")])

    def _pattern(self) -> LinePattern:
        self._take("~")
        if self._kind() != "string":
            raise self._wrong('a pattern in quotes, as "temp .*"')
        try:
            pattern = parse_line_pattern(self._tokens[self._index].text[1:-1].replace('\\"', '"'))
        except ConfigError as exc:
            raise self.error(exc.message, exc.next_step or "") from exc
        self._index += 1
        return pattern
