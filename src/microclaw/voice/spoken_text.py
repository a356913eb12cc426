"""An answer as it is said: cut into sentences while it is written, without what only an eye can use. Speaks nothing."""

from __future__ import annotations

import re
from typing import Final

MAX_SENTENCE_CHARS: Final = 240
MAX_SPOKEN_CHARS: Final = 700
"""About 45 s of speech."""
MORE: Final = "The rest is in the chat."
_NOT_AN_END: Final = re.compile(r"(?:\b(?:e\.g|i\.e|etc|approx|vs|Dr|Mr|Mrs|St)|\b[A-Za-z])\.$", re.I)
_END: Final = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n+")
_ASIDE: Final = re.compile(r"(?<=\w) (?=\()")
"""Where what is added in brackets begins."""
MIN_FIRST_CHARS: Final = 12
_SOFT_END: Final = re.compile(r"[,;:](?=\s)")
_FENCE: Final = re.compile(r"```.*?(?:```|\Z)", re.S)
_NEXT_LINE: Final = re.compile(r"^\s*next:.*$", re.M)
_TABLE_LINE: Final = re.compile(r"^\s*\|.*$", re.M)
_HEAD: Final = re.compile(r"^\s*(?:#{1,6}|[-*+>]|\d+[.)])\s+", re.M)
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)\s]*\)")
_URL: Final = re.compile(r"\b(?:https?|wss?)://\S+")
_MARKS: Final = re.compile(r"[*_`~]{1,3}(?=\S)|(?<=\S)[*_`~]{1,3}")
_UNSPEAKABLE: Final = re.compile(r"[^\w\s.,;:!?'\"()%+=/-]+")
_SPACE: Final = re.compile(r"\s+")
_UNITS: Final = {
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "mV": ("millivolt", "millivolts"),
    "V": ("volt", "volts"),
    "mA": ("milliampere", "milliamperes"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "hPa": ("hectopascal", "hectopascals"),
    "°C": ("degree", "degrees"),
    "%": ("percent", "percent"),
}
_QUANTITY: Final = re.compile(r"(?<![\w.])(-?\d+(?:[.,]\d+)*) ?(ms|min|mV|mA|kHz|Hz|KB|MB|hPa|°C|[shV%])(?!\w)")
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}\b)")
_TRAILING_ZEROS: Final = re.compile(r"(\d+\.\d*?[1-9])0+\b|(\d+)\.0+\b")
_NAME_NUMBER: Final = re.compile(r"(?<=[A-Za-z])[-_](?=\w)")


def for_the_ear(text: str) -> str:
    """The text without code, tables, marks and addresses, units in words; "" if nothing is left."""
    text = _TABLE_LINE.sub("", _NEXT_LINE.sub("", _FENCE.sub(" ", text)))
    text = _HEAD.sub("", _URL.sub("a link", _LINK.sub(r"\1", text)))
    text = _MARKS.sub("", text).replace("->", " to ").replace("→", " to ")
    text = _THOUSANDS.sub("", text)
    text = _QUANTITY.sub(_in_words, text)
    text = _NAME_NUMBER.sub(" ", text)
    text = _SPACE.sub(" ", _UNSPEAKABLE.sub(" ", text)).strip()
    return text if any(c.isalnum() for c in text) else ""


def _in_words(found: re.Match[str]) -> str:
    number = _TRAILING_ZEROS.sub(lambda m: m[1] or m[2], found[1])
    one, many = _UNITS[found[2]]
    return f"{number.replace('-', 'minus ')} {one if number == '1' else many}"


class SentenceCutter:
    """Takes pieces of a text and gives out each sentence as soon as it is whole.

    The first one ends before what is added in brackets: the engine then has something to say sooner.
    """

    def __init__(self) -> None:
        self._text = ""
        self._has_begun = False

    def feed(self, piece: str) -> list[str]:
        """The sentences that are whole with this piece, as they are to be said."""
        self._text += piece
        sentences: list[str] = []
        while (end := self._end()) is not None:
            sentence, self._text = self._text[:end], self._text[end:]
            if said := for_the_ear(sentence):
                self._has_begun = True
                sentences.append(said)
        return sentences

    def rest(self) -> list[str]:
        """What is left when the text is complete."""
        text, self._text = self._text, ""
        said = for_the_ear(text)
        return [said] if said else []

    def _end(self) -> int | None:
        """Where the first sentence ends. A program's text is passed over whole."""
        if (fence := self._text.find("```")) >= 0 and not self._text[:fence].strip():
            close = self._text.find("```", fence + 3)
            return close + 3 if close >= 0 else None
        limit = fence if fence >= 0 else len(self._text)
        aside = None if self._has_begun else _ASIDE.search(self._text, MIN_FIRST_CHARS, limit)
        for found in _END.finditer(self._text, 0, limit):
            if aside is not None and aside.start() < found.start():
                break
            sentence = self._text[: found.end()]
            is_end = found[0].startswith("\n") or not _NOT_AN_END.search(sentence.rstrip("\"')]"))
            if is_end and sentence.strip():
                return found.end()
        if aside is not None:
            return aside.end()
        if fence >= 0 and self._text[:fence].strip():
            return fence
        if len(self._text) > MAX_SENTENCE_CHARS:
            softs = [found.end() for found in _SOFT_END.finditer(self._text, 0, MAX_SENTENCE_CHARS)]
            space = self._text.rfind(" ", 1, MAX_SENTENCE_CHARS)
            return softs[-1] if softs else space if space > 0 else MAX_SENTENCE_CHARS
        return None
