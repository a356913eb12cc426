"""Names as people say them and as they are written ("virtual one": virtual-1). It recognises nothing."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

MAX_NAMES: Final = 100
MAX_NAME_WORDS: Final = 6
MAX_WORD_CHARS: Final = 24
_ONES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


class SpokenNames(Struct, frozen=True):
    """Names as they are written; `pins` are a person's own names for pins ("fan")."""

    devices: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()


def spoken_words(name: str) -> tuple[str, ...]:
    """A name's words as they are said ("virtual-1": virtual one); empty where it cannot be said."""
    parts = re.findall(r"[a-z']+|\d+", name.lower().replace("_", " "))
    words = [word for part in parts for word in (_number(part) if part.isdigit() else [part])]
    fits = len(words) <= MAX_NAME_WORDS and all(len(word) <= MAX_WORD_CHARS for word in words)
    return tuple(words) if fits and any(not part.isdigit() for part in parts) else ()


class NamesAsWritten:
    """Knows the names that are not written as they are said ("virtual one" or "virtual 1": virtual-1)."""

    def __init__(self, names: SpokenNames) -> None:
        known = [(spoken_words(name), name) for name in (*names.devices, *names.programs, *names.pins)]
        said = {" ".join(words): name for words, name in known[:MAX_NAMES] if words}
        said |= {re.sub(r"[\s_-]+", " ", name.lower()): name for name in said.values()}
        self._patterns = [
            (re.compile(rf"(?<![\w']){re.escape(words)}(?![\w'])"), name)
            for words, name in sorted(said.items(), key=lambda pair: -len(pair[0]))
            if words != name.lower()
        ]

    def transcript(self, heard: str) -> str:
        for pattern, name in self._patterns:
            heard = pattern.sub(name.replace("\\", r"\\"), heard)
        return heard.replace("a.m.", "am").replace("p.m.", "pm")


def _number(digits: str) -> list[str]:
    """A number's words; from 100 on, and with a leading zero, digit by digit."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    tens, ones = divmod(int(digits), 10)
    return [_ONES[int(digits)]] if int(digits) < 20 else [_TENS[tens - 2], *([_ONES[ones]] if ones else [])]
