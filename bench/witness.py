"""The state of a virtual board after a sentence: levels, edges, duty, programs, log lines. It hears no answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.wanted import Want
from microclaw.events import Edge
from microclaw.interfaces.cli.child import BoardControl
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies

READINGS = {  # odd values, so that no program says them by chance
    "temperature": ("bme280", "temperature_c", 23.7),
    "humidity": ("bme280", "humidity_pct", 51.4),
    "pressure": ("bme280", "pressure_hpa", 1003.2),
    "voltage": ("ina219", "voltage_v", 4.93),
    "current": ("ina219", "current_ma", 87.4),
    "power": ("ina219", "power_mw", 430.9),  # what the board makes of the other two
}
ADC_VOLTS = 1.37

_AWAY = {"voltage": 1.0}  # how far from a limit is clearly beyond it, in the unit of the reading
_LONG_MS = 1000
_POLL_S = 0.03
_SETTLE_S = 0.25
_LONGEST_LOG_S = 65.0  # a line a minute is seen; what comes less often is not waited for
_SLACK_S = 4.0  # programs look at their sensors once a second; the machine may be busy
# of times: the machine may be busy, board time is real time
_TOLERANCE = 0.2
_TOLERANCE_MS = 25.0
_PERCENT = 2.55
_WIRED = frozenset({8, 9})  # the I2C bus: reading a sensor is no change


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of the board's records and pins when the sentence was said."""

    edges: int
    changes: int
    lines: int
    roles: dict[int, str]
    levels: dict[int, int]
    apps: frozenset[str]
    busy: frozenset[int]  # pins of a program that ran before: their changes are not the sentence's


class Witness:
    """Reads one board through its control socket; `mark()` before the sentence, `sees(want)` after it."""

    def __init__(self, board: BoardControl) -> None:
        self._board = board

    def prepare(self, inputs: Sequence[int]) -> None:
        """A new boot with known readings and high inputs: nothing of an earlier sentence is left."""
        self._board.ask(control.Power("reset"))
        for sensor, name, value in (READINGS[quantity] for quantity in READINGS if quantity != "power"):
            self._board.ask(control.SetSensor(sensor, {name: value}))
        for pin in inputs:
            self._board.ask(control.SetInput(pin, 1))
        for pin in range(1, 11):
            if pin not in inputs:
                self._board.ask(control.SetAdc(pin, ADC_VOLTS))

    def mark(self) -> Mark:
        edges = self._board.edges(0)
        pins = self._pins()
        return Mark(
            edges.cursor,
            self._board.ask(control.Pwm()).next,
            self._next_line(),
            {row.pin: row.role for row in pins.values()},
            {row.pin: row.level for row in pins.values()},
            frozenset(self._apps()),
            frozenset(pin for app in self._board.ask(control.Apps()).apps for pin in app.pins),
        )

    def changed(self, mark: Mark) -> set[int]:
        """Pins that were driven since: edges, duty, or a pin that became an output; -1 for a program come or gone."""
        moved = {row.pin for row in self._edges(mark)} | {row.pin for row in self._changes(mark)}
        driven = {
            row.pin
            for row in self._pins().values()
            if row.role in ("output", "pwm") and mark.roles.get(row.pin) != row.role
        }
        if frozenset(self._apps()) != mark.apps:
            programs = {-1}
        else:
            programs = set()
        return ((moved | driven) - _WIRED - mark.busy) | programs

    def unchanged(self, mark: Mark) -> bool:
        time.sleep(_SETTLE_S)
        return not self.changed(mark)

    def sees(self, want: Want, mark: Mark) -> str:
        """The missing part, in a few words; empty where the board shows what was wanted."""
        match want.kind:
            case "level":
                return self._level(want)
            case "duty":
                return self._duty(want)
            case "pulse":
                return self._pulse(want, mark, int(want.values[0]))
            case "times" | "blinks_for":
                return self._bounded_blink(want, mark)
            case "blink":
                return self._blink(want, mark)
            case "fade":
                pin = want.pins[0]
                rising = self._until(lambda: len([c for c in self._changes(mark) if c.pin == pin]) >= 8)
                if rising:
                    return ""
                return f"the duty of pin {pin} does not go on changing"
            case "button":
                return self._button(want)
            case "rule" | "thermostat":
                return self._rule(want, mark)
            case "log":
                return self._log(want, mark)
            case "lights":
                return self._lights(want, mark)
            case "removed":
                return "" if self._until(lambda: not self._apps()) else "a program is left"
            case _:
                raise ValueError(f"no evidence kind {want.kind!r}")

    def _level(self, want: Want) -> str:
        row = self._pins()[want.pins[0]]
        if row.role == "output" and row.level == int(want.values[0]):
            return ""
        return f"pin {row.pin} is {row.role} at {row.level}"

    def _duty(self, want: Want) -> str:
        row = self._pins()[want.pins[0]]
        percent = float(want.values[0])
        right = row.role == "pwm" and abs(row.duty / _PERCENT - percent) <= 1
        if right:
            return ""
        return f"pin {row.pin} is {row.role} with duty {row.duty / _PERCENT:.0f} %"

    def _pulse(self, want: Want, mark: Mark, for_ms: int) -> str:
        pin = want.pins[0]
        began = len(self._of_pin(mark, pin))
        edges = self._wait_edges(mark, pin, 2, for_ms / 1000 + _SLACK_S)
        if len(edges) < 2 or edges[0].level != 1 or edges[1].level != 0:
            return f"pin {pin} shows no pulse ({began} edges)"
        lasted = edges[1].t_ms - edges[0].t_ms
        if _near(lasted, for_ms):
            return ""
        return f"the pulse on pin {pin} lasted {lasted:.0f} ms"

    def _bounded_blink(self, want: Want, mark: Mark) -> str:
        pin = want.pins[0]
        number = int(want.values[0])
        times = number if want.kind == "times" else 0
        if times:
            limit_s = 2 * times + _SLACK_S
        else:
            limit_s = number / 1000 + _SLACK_S
        quiet_since = time.monotonic()
        count = -1
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            edges = self._of_pin(mark, pin)
            if len(edges) != count:
                quiet_since = time.monotonic()
                count = len(edges)
            if count > 1 and time.monotonic() - quiet_since > 1.5:
                break
            time.sleep(_POLL_S)
        edges = self._of_pin(mark, pin)
        ons = sum(edge.level for edge in edges)
        if times:
            if ons == times:
                return ""
            return f"pin {pin} went on {ons} times"
        if edges:
            lasted = edges[-1].t_ms - edges[0].t_ms
        else:
            lasted = 0.0
        ended = time.monotonic() - quiet_since > 1
        if ons > 1 and ended and 0.6 * number <= lasted <= 1.2 * number:
            return ""
        return f"it lasted {lasted:.0f} ms"

    def _blink(self, want: Want, mark: Mark) -> str:
        pin = want.pins[0]
        periods = [int(value) for value in want.values] or [2000]
        limit_s = 2.5 * max(periods) / 1000 + _SLACK_S
        ons: list[float] = []
        end = time.monotonic() + limit_s
        enough = 3 if max(periods) > _LONG_MS else 6
        while len(ons) < enough and time.monotonic() < end:
            ons = [edge.t_ms for edge in self._of_pin(mark, pin) if edge.level]
            time.sleep(_POLL_S)
        gaps = sorted(b - a for a, b in pairwise(ons))
        if len(gaps) < 2:
            return f"pin {pin} does not blink"
        period = gaps[len(gaps) // 2]
        right = not want.values or any(_near(period, wanted) for wanted in periods)
        if right:
            return ""
        return f"pin {pin} blinks every {period:.0f} ms"

    def _button(self, want: Want) -> str:
        button, pin = want.pins
        rest = self._pins()[pin].level
        self._board.ask(control.SetInput(button, 0))
        pressed = self._until(lambda: self._pins()[pin].level != rest)
        self._board.ask(control.SetInput(button, 1))
        released = pressed and self._until(lambda: self._pins()[pin].level == rest)
        right = pressed and (released or self._pins()[pin].level == 1) and rest == 0
        if right:
            return ""
        return f"pin {pin} does not follow the button on pin {button}"

    def _rule(self, want: Want, mark: Mark) -> str:
        """Once on the side where nothing is to happen, once on the other."""
        said = re.fullmatch(r"(\w+)(?: (above|below))? (-?[\d.]+)>(\d+)", want.subject)
        if said is None:
            raise ValueError(f"no rule: {want.subject!r}")
        quantity = said[1]
        side = said[2] or "below"
        limit = float(said[3])
        pin = int(said[4])
        away = _AWAY.get(quantity, 5.0) * (1 if side == "above" else -1)
        level = 1 if want.kind == "thermostat" else want.values[0]
        self._set(quantity, limit - away)
        pulse = re.fullmatch(r"pulse(\d+)", str(level))
        if pulse is None and not self._until(lambda: self._is_output(pin, 1 - int(level))):
            return f"pin {pin} is on with {quantity} at {limit - away:g}"
        if pulse is not None:
            # The board's own weather may have been on the rule's side: what it did then is not looked at.
            self._until(lambda: self._is_output(pin, 0))
            mark = self.mark()
            time.sleep(1.3)
            if any(edge.level for edge in self._of_pin(mark, pin)):
                return f"pin {pin} went on with {quantity} at {limit - away:g}"
        self._set(quantity, limit + away)
        if pulse is not None:
            return self._pulse(want_pin(pin), mark, int(pulse[1]))
        if not self._until(lambda: self._is_output(pin, int(level))):
            return f"pin {pin} is not {level} with {quantity} at {limit + away:g}"
        return ""

    def _log(self, want: Want, mark: Mark) -> str:
        value = READINGS[want.subject][2]
        if want.values:
            period_s = int(want.values[0]) / 1000
        else:
            period_s = 10.0
        if period_s > _LONGEST_LOG_S:
            return self._one_line(want.subject, value, mark)
        lines: list[replies.LogRow] = []
        end = time.monotonic() + min(2 * period_s, _LONGEST_LOG_S) + _SLACK_S
        while len(lines) < 2 and time.monotonic() < end:
            page = self._board.ask(control.ReadLog(since=mark.lines))
            lines = [row for row in page.rows if row.app and says(row.text, value)]
            time.sleep(_POLL_S)
        if len(lines) < 2:
            return f"the log has {len(lines)} lines with {value:g}"
        gap = lines[1].t_ms - lines[0].t_ms
        if not want.values or _near(gap, 1000 * period_s):
            return ""
        return f"a line every {gap:.0f} ms"

    def _one_line(self, quantity: str, value: float, mark: Mark) -> str:
        """Of a log that is slower than can be waited for: its first line, and no second one soon after."""
        if not self._until(lambda: self._lines(value, mark) > 0):
            return f"the log has no line with {value:g}"
        time.sleep(_SLACK_S)
        lines = self._lines(value, mark)
        if lines == 1:
            return ""
        return f"{lines} lines of {quantity} within seconds"

    def _lines(self, value: float, mark: Mark) -> int:
        page = self._board.ask(control.ReadLog(since=mark.lines))
        return sum(bool(row.app) and says(row.text, value) for row in page.rows)

    def _lights(self, want: Want, mark: Mark) -> str:
        """Every light has been on at some time; whether two were on at once is not looked at."""
        on: dict[int, float] = {}
        end = time.monotonic() + 14 + _SLACK_S
        while len(on) < len(want.pins) and time.monotonic() < end:
            on = {edge.pin: edge.t_ms for edge in self._edges(mark) if edge.pin in want.pins and edge.level}
            time.sleep(_POLL_S)
        if len(on) == len(want.pins):
            return ""
        return f"only pins {sorted(on)} were on"

    def _is_output(self, pin: int, level: int) -> bool:
        row = self._pins()[pin]
        return row.role == "output" and row.level == level

    def _set(self, quantity: str, value: float) -> None:
        sensor, name, _ = READINGS[quantity]
        self._board.ask(control.SetSensor(sensor, {name: value}))

    def _until(self, shown: Callable[[], bool]) -> bool:
        end = time.monotonic() + _SLACK_S
        while not shown():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True

    def _wait_edges(self, mark: Mark, pin: int, count: int, limit_s: float) -> list[Edge]:
        end = time.monotonic() + limit_s
        while len(edges := self._of_pin(mark, pin)) < count and time.monotonic() < end:
            time.sleep(_POLL_S)
        return edges

    def _of_pin(self, mark: Mark, pin: int) -> list[Edge]:
        """Its edges since, but for a first one that only says that an output begins low."""
        edges = [row for row in self._edges(mark) if row.pin == pin]
        if edges and not edges[0].level:
            return edges[1:]
        return edges

    def _edges(self, mark: Mark) -> Sequence[Edge]:
        return self._board.edges(mark.edges).edges

    def _changes(self, mark: Mark) -> Sequence[replies.PwmRow]:
        return self._board.ask(control.Pwm(since=mark.changes)).rows

    def _pins(self) -> dict[int, replies.PinRow]:
        return {row.pin: row for row in self._board.ask(control.Pins()).pins}

    def _apps(self) -> list[str]:
        return [row.name for row in self._board.ask(control.Apps()).apps]

    def _next_line(self) -> int:
        page = self._board.ask(control.ReadLog())
        while page.more:
            page = self._board.ask(control.ReadLog(since=page.next))
        return page.next


def want_pin(pin: int) -> Want:
    return Want("pulse", str(pin))


def says(text: str, value: float) -> bool:
    """True if a number of the text is this value, whatever thousandths of its unit it is in."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]
    return any(abs(number - value * scale) <= 0.02 * value * scale for number in numbers for scale in (1, 1000, 0.001))


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= max(_TOLERANCE * wanted, _TOLERANCE_MS)
