"""Reads the characters that digits of seven segments show."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.screens.screen import DOT, Screen

UNREAD: Final = "\ufffd"
"""The place of a character that cannot be read."""
_SEGMENTS: Final = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd", "6": "afgedc", "7": "abc",
    "8": "abcdefg", "9": "abcdfg", "A": "abcefg", "b": "cdefg", "C": "adef", "c": "deg", "d": "bcdeg", "E": "adefg",
    "F": "aefg", "G": "acdef", "H": "bcefg", "h": "cefg", "i": "c", "I": "ef", "J": "bcde", "L": "def", "n": "ceg",
    "o": "cdeg", "P": "abefg", "r": "eg", "t": "defg", "U": "bcdef", "u": "cde", "-": "g", "_": "d", "=": "dg",
    "°": "abfg", "'": "f", '"': "bf", "?": "abeg", " ": "",
}  # fmt: skip
"""The lit segments of each character; letters as the usual libraries draw them."""
_OTHER_SHAPES: Final = {"6": "fgedc", "7": "fabc", "9": "abcfg"}
"""Other shapes of digits. The 6 without its top is b too, and is read so."""


def _pattern(segments: str) -> int:
    pattern = 0
    for segment in segments:
        pattern |= 1 << ord(segment) - ord("a")
    return pattern


_CHARACTERS: Final[dict[int, str]] = {}
for _shapes in (_SEGMENTS, _OTHER_SHAPES):
    for _character, _lit in _shapes.items():
        _CHARACTERS.setdefault(_pattern(_lit), _character)


def read_digits(screen: Screen) -> str:
    """Return the text of a screen of digits; UNREAD stands for segments that are no character."""
    text = ""
    for digit in screen.data:
        text += _CHARACTERS.get(digit & ~DOT, UNREAD)
        if digit & DOT:
            text += screen.mark
    return text.strip()
