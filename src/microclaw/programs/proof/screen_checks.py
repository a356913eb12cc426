"""The checks of what a display shows, against the pictures of a run. Runs nothing.

A picture may have text of a font that nobody here knows. So what is not found in it is either not there, if all that is
lit in the picture was read, or it is not known: then the check is untried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from microclaw.hardware.parts.oled_controller import WRONG_ROWS
from microclaw.hardware.screens.digits import UNREAD
from microclaw.hardware.screens.screen import Screen
from microclaw.hardware.screens.text_reading import MAX_PICTURES, ScreenReading
from microclaw.programs.proof.checks import START_MS, Windowed, met_if, too_short
from microclaw.programs.proof.expectations import JITTER_MS, Check, CheckResult, State
from microclaw.programs.proof.line_pattern import MAX_LINE_CHARS
from microclaw.programs.proof.record import Record, TrialWindow
from microclaw.text import count_text, time_text
from microclaw.wire.board_replies import PART_NOTE

_LETTER_OR_DIGIT: Final = rf"[^\W_]|{UNREAD}"
_BEGIN: Final = rf"(?:(?=\d)(?<![.,+-])|(?!\d))(?:(?=[^\W_])(?<![^\W_]|{UNREAD})|(?=[\W_]))"
_END: Final = rf"(?:(?<=\d)(?![.,]\d)|(?<!\d))(?:(?<=[^\W_])(?!{_LETTER_OR_DIGIT})|(?<=[\W_]))"
"""A word or a number is whole: "22" is not in "22.5" or "-22", "12" is not in "112"."""
_SEGMENT_SHAPES: Final = str.maketrans("OoSZBgIl", "0o528911")
"""Letters that look as digits do on seven segments."""
_TOO_MANY: Final = f"at most {MAX_PICTURES} pictures"
_ROWS: Final = "[0-9]+"
_SHORTER: Final = "a shorter trial, as: soak 0 s, or fewer pictures"
_WRONG_ROWS: Final = re.compile(
    rf"{re.escape(PART_NOTE)}(?P<part>\S+) \(\w+\): (?P<text>{WRONG_ROWS.format(rows=_ROWS, wired=_ROWS)})"
)
_RIGHT_SIZE: Final = "give the driver the size of the display, or wire one with that size"
_KNOWN_FONT: Final = "draw the text in a usual font of the library, or print it too and expect: log ~"


class ShownText(Struct, frozen=True):
    """A text that a display is to show in one of its lines: whole words and numbers of it.

    `pattern` is a regular expression; `literal` is the text, or None if the line of the expectations has a pattern.
    """

    pattern: str
    literal: str | None = None

    def is_in(self, line: str) -> bool:
        if self.literal is not None and self.literal not in line:
            return False
        return re.search(f"{_BEGIN}(?:{self.pattern}){_END}", line[:MAX_LINE_CHARS]) is not None

    def is_on_segments(self, line: str) -> bool:
        """Return True if seven segments show it, which have one shape for O and 0 and one case for each letter."""
        if self.literal is None:
            return self.is_in(line)
        wanted = re.escape(self.literal.translate(_SEGMENT_SHAPES).casefold())
        return ShownText(wanted).is_in(line.translate(_SEGMENT_SHAPES).casefold())


def literal_text(text: str) -> ShownText:
    """Return the text that stands in quotes."""
    return ShownText(re.escape(text), text)


class Picture(Struct, frozen=True):
    """What a display shows from a moment until another; None: the program has sent it nothing."""

    from_ms: float
    until_ms: float
    screen: Screen | None


class ScreenShows(State, frozen=True):
    """A display shows a text, or nothing at all (`text` None). `part` is the display's id; None: of the only one."""

    part: str | None
    text: ShownText | None

    def values(self, seen: Record) -> list[tuple[float, Screen | None]]:
        """Return its pictures, each with the time since when; None before the first one."""
        pictures: list[tuple[float, Screen | None]] = [(0.0, None)]
        for shown in seen.screens:
            if self.part in (None, shown.part):
                pictures.append((shown.t_ms, shown.screen))
        return pictures

    def in_window(self, seen: Record, window: TrialWindow) -> Iterator[Picture]:
        """Yield what it shows in a window, in order."""
        end_ms = seen.until(window)
        values = self.values(seen)
        ends = [t_ms for t_ms, _ in values[1:]]
        for (t_ms, screen), until_ms in zip(values, [*ends, end_ms], strict=True):
            from_ms = max(t_ms, window.from_ms)
            until_ms = min(until_ms, end_ms)
            if from_ms < until_ms or t_ms == end_ms:
                yield Picture(from_ms, until_ms, screen)

    def is_shown(self, seen: Record, screen: Screen | None) -> bool | None:
        """Return if a picture shows it; None if that is not known."""
        if self.text is None:
            return screen is None or screen.is_blank
        if screen is None:
            return False
        reading = seen.screen_reader.read(screen)
        if reading is None:
            return None
        for line in reading.lines:
            is_there = self.text.is_in(line.text)
            if screen.kind == "digits":
                is_there = self.text.is_on_segments(line.text)
            if is_there:
                return True
        if reading.is_whole:
            return False
        return None

    def shown_text(self, seen: Record, screen: Screen | None) -> str:
        """Return what a picture shows, in words."""
        if screen is None:
            return "the display was sent nothing"
        reading = seen.screen_reader.read(screen)
        if reading is None:
            return _TOO_MANY
        return _reading_text(reading, screen)

    def untried(self, seen: Record, screen: Screen | None) -> CheckResult:
        """Return the finding for a picture of which it is not known if it shows the text."""
        is_too_many = screen is not None and seen.screen_reader.read(screen) is None
        if is_too_many:
            return CheckResult("untried", f"{_TOO_MANY} are read of one trial", _SHORTER)
        wrong_size = _wrong_size(seen, self.part)
        if wrong_size is not None:
            return CheckResult("untried", wrong_size, _RIGHT_SIZE)
        return CheckResult("untried", self.shown_text(seen, screen), _KNOWN_FONT)


def _wrong_size(seen: Record, part_id: str | None) -> str | None:
    """Return the board's note that the program draws for a panel of another size, or None."""
    for line in seen.lines:
        match = _WRONG_ROWS.fullmatch(line.text)
        if line.app is None and match is not None and part_id in (None, match["part"]):
            return match["text"]
    return None


def _reading_text(reading: ScreenReading, screen: Screen) -> str:
    if screen.is_blank:
        return "the screen is blank"
    unread = "pixels that are no text of a known font"
    if screen.kind == "digits":
        unread = "segments that are no character"
    if not reading.text:
        if reading.is_whole:
            return "the screen shows no text"
        return f"the screen shows {unread}"
    text = f"the screen shows {reading.text!r}"
    if reading.is_whole:
        return text
    return f"{text} and {unread}"


class ScreenAt(Check, frozen=True):
    """A display shows it at a time."""

    subject: ScreenShows
    moment_ms: float

    def compare(self, seen: Record) -> CheckResult:
        screen = self.subject.value_at(seen, self.moment_ms)
        is_shown = self.subject.is_shown(seen, screen)
        if is_shown is None:
            return self.subject.untried(seen, screen)
        return met_if(is_shown, f"{self.subject.shown_text(seen, screen)} then", at_ms=self.moment_ms)


class ScreenOnce(Windowed, frozen=True):
    """A display shows it at some moment of the window."""

    subject: ScreenShows

    @property
    def moment_ms(self) -> float:
        return self.window.until_ms or 0.0

    def compare(self, seen: Record) -> CheckResult:
        unknown: Picture | None = None
        last: Picture | None = None
        for picture in self.subject.in_window(seen, self.window):
            is_shown = self.subject.is_shown(seen, picture.screen)
            if is_shown:
                return CheckResult("met", f"shown at {time_text(picture.from_ms)}", at_ms=picture.from_ms)
            if is_shown is None and unknown is None:
                unknown = picture
            last = picture
        if unknown is not None:
            return self.subject.untried(seen, unknown.screen)
        if last is None:
            return CheckResult("untried", "the trial ends before")
        text = f"{self.subject.shown_text(seen, last.screen)} at {time_text(last.until_ms)}"
        return CheckResult("not met", text, at_ms=last.until_ms)


class ScreenNever(Windowed, frozen=True):
    """A display shows it at no moment of the window. A display is dark at first, until the program draws."""

    subject: ScreenShows

    @property
    def moment_ms(self) -> float:
        return self.window.until_ms or 0.0

    @property
    def is_never(self) -> bool:
        return True

    def compare(self, seen: Record) -> CheckResult:
        unknown: CheckResult | None = None
        count = 0
        for picture in self.subject.in_window(seen, self.window):
            count += 1
            is_first_dark = self.subject.text is None and picture.screen is None
            is_shown = self.subject.is_shown(seen, picture.screen)
            if is_shown and not is_first_dark:
                text = f"{self.subject.shown_text(seen, picture.screen)} at {time_text(picture.from_ms)}"
                return CheckResult("not met", text, at_ms=picture.from_ms)
            if is_shown is None and unknown is None:
                unknown = self.subject.untried(seen, picture.screen)
        return unknown or CheckResult("met", f"never in {count_text(count, 'picture')}")


class ScreenEvery(Windowed, frozen=True):
    """A display shows it again and again: for at most this time it shows something else. It need not change."""

    subject: ScreenShows
    period_ms: float
    tolerance: float

    @property
    def seen_after_ms(self) -> float:
        return 3 * self.period_ms + START_MS

    def compare(self, seen: Record) -> CheckResult:
        until_ms = seen.until(self.window)
        if until_ms - self.window.from_ms < 2 * self.period_ms:
            return too_short(self.window, seen, f"2 times {time_text(self.period_ms)}")
        longest_ms = self.period_ms + max(self.tolerance * self.period_ms, JITTER_MS)
        last_ms = self.window.from_ms
        # A program may take so long before it shows something for the first time.
        allowed_ms = longest_ms + START_MS
        others: list[Picture] = []
        count = 0
        for picture in self.subject.in_window(seen, self.window):
            is_shown = self.subject.is_shown(seen, picture.screen)
            if not is_shown:
                others.append(picture)
            elif picture.from_ms - last_ms > allowed_ms:
                return self._gap(seen, others, last_ms, picture.from_ms)
            if is_shown:
                last_ms = picture.until_ms
                allowed_ms = longest_ms
                others = []
                count += 1
        if until_ms - last_ms > allowed_ms or not count:
            return self._gap(seen, others, last_ms, until_ms)
        return CheckResult("met", f"in {count_text(count, 'picture')}")

    def _gap(self, seen: Record, others: Sequence[Picture], from_ms: float, until_ms: float) -> CheckResult:
        """Return the finding for a time in which the display showed only these pictures."""
        for picture in others:
            if self.subject.is_shown(seen, picture.screen) is None:
                return self.subject.untried(seen, picture.screen)
        text = "the display was sent nothing"
        if others:
            text = self.subject.shown_text(seen, others[-1].screen)
        text = f"from {time_text(from_ms)} to {time_text(until_ms)} {text}"
        return CheckResult("not met", text, at_ms=from_ms)
