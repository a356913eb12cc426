"""Reads what our code printed on a board. Nothing of it is believed: each value has a form and a size, or is refused.

It runs no code on the board. A text is cleaned where it is shown.
"""

from __future__ import annotations

from typing import Any, Final

from microclaw.errors import DeviceError
from microclaw.text import clean_text
from microclaw.validation import read_json

MAX_BYTES: Final = 1 << 32
"""Of flash, memory and files: what a 32-bit chip can address."""
_MAX_WHY: Final = 120
START_AFRESH: Final = "run it again; if it stays so, start afresh: microclaw flash --erase"


def read_rows(answer: str) -> list[Any]:
    """The JSON value of each line. ValueError, as of the functions below, for what is not of the right form."""
    return [read_json(line) for line in answer.split("\n") if line.strip()]


def whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"no whole number from {low} to {high}")
    return value


def short_text(value: object, max_chars: int) -> str:
    if not isinstance(value, str) or len(value) > max_chars:
        raise ValueError(f"no text of at most {max_chars} characters")
    return value


def nonsense(about: str, exc: Exception) -> DeviceError:
    """What to raise for such a ValueError, or for a member that is not there."""
    why = clean_text(str(exc), one_line=True, limit=_MAX_WHY)
    return DeviceError(f"the board answered nonsense about {about}: {why}", next_step=START_AFRESH)
