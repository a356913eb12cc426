"""An answer as it is said: cut into sentences while it is written, without what only an eye can use. Speaks nothing."""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Callable
from typing import Final

from microclaw.agent.acts import HEADING

MAX_SENTENCE_CHARS: Final = 240
MAX_SPOKEN_CHARS: Final = 700
"""About 45 s of speech."""
MORE: Final = "The rest is in the chat."
_NOT_AN_END: Final = re.compile(r"(?:\b(?:e\.g|i\.e|etc|approx|vs|Dr|Mr|Mrs|St)|\b[A-Za-z])\.$", re.I)
_END: Final = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n+")
_SOFT_END: Final = re.compile(r"[,;:](?=\s)")
_UNITS: Final = {
    "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"), "min": ("minute", "minutes"),
    "h": ("hour", "hours"), "mV": ("millivolt", "millivolts"), "V": ("volt", "volts"), "Hz": ("hertz", "hertz"),
    "mA": ("milliampere", "milliamperes"), "kHz": ("kilohertz", "kilohertz"), "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "hPa": ("hectopascal", "hectopascals"), "°C": ("degree", "degrees"),
    "%": ("percent", "percent"),
}  # fmt: skip
_TRAILING_ZEROS: Final = re.compile(r"(\d+\.\d*?[1-9])0+\b|(\d+)\.0+\b")
_HEX: Final = r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]"
_REFERENCE: Final = (  # ids, hashes (longer than the MAC address in a board's name), cursors
    rf"(?:[a-z]-(?=[a-f]*\d)[0-9a-f]{{6,}}|{_HEX}{{16,64}}|sha-?256:? {_HEX}{{8,64}}|cursor[ :=]+\d+)"
)
_FOR_THE_EYE: Final = re.compile(
    rf"\s*\((?:(?:change|raw) \d+|duty \d+(?:/| of )\d+|{_HEX}{{8,64}}|{_REFERENCE})\)"  # "(change 4)", "(d-1f0c...)"
    rf"|(?:, )?(?<![\w-]){_REFERENCE}(?![\w-])",
    re.I,
)
"""What has a number or a key for who reads: changes, ids, hashes, cursors, raw readings."""


def _date_words(found: re.Match[str]) -> str:
    """ "2026-11-22" as "November 22"."""
    month = int(found[1])
    if 1 <= month <= 12:
        return f"{month_name[month]} {int(found[2])}"
    return found[0]


def _in_words(found: re.Match[str]) -> str:
    number = _TRAILING_ZEROS.sub(lambda m: m[1] or m[2], found[1])
    one, many = _UNITS[found[2]]
    return f"{number.replace('-', 'minus ')} {one if number == '1' else many}"


_RULES: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"```.*?(?:```|\Z)", re.S), " "),
    (re.compile(r"^\s*(?:next:|\|).*$", re.M), ""),  # a hint, a line of a table
    (re.compile(r"\[([^\]]+)\]\([^)\s]*\)"), r"\1"),
    (re.compile(r"\b(?:https?|wss?)://\S+"), "a link"),
    (re.compile(r"^\s*(?:#{1,6}|[-*+>]|\d+[.)])\s+", re.M), ""),
    (re.compile(r"[*`~]{1,3}(?=\S)|(?<=\S)[*`~]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)"), ""),
    (_FOR_THE_EYE, ""),
    (re.compile(r"->|→"), " to "),
    (re.compile(r"\s*\((?:[\w.-]+/)+[\w-]+\.\w+\)"), ""),  # the name of a file of the host, in brackets
    (re.compile(r"\b\d{4}-(\d\d)-(\d\d)\b"), _date_words),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"(?<![\w.])(-?\d+(?:[.,]\d+)*) ?(ms|min|mV|mA|kHz|Hz|KB|MB|hPa|°C|[shV%])(?!\w)"), _in_words),
    (re.compile(r"(?<=[A-Za-z])-(?=\w)|(?<=\w)_+(?=\w)|(?<=\w)=(?=\S)"), " "),  # board-1, gpio_set, pin=4
    (re.compile(r"(?<=[a-z0-9][a-z])\.(?=[a-z]{2})"), " "),  # gpio.set, and no e.g.
    (re.compile(r"[^\w\s.,;:!?'\"()%+=/-]+"), " "),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\(\s*\)|\s+(?=[.,;:!?](?:\s|$))|^[\s.,;:]+"), ""),
)
"""In this order."""


def for_the_ear(text: str) -> str:
    """The text without code, tables, marks and addresses, units in words; "" if nothing is left."""
    for pattern, spoken in _RULES:
        text = pattern.sub(spoken, text)
    if any(c.isalnum() for c in text):
        return text.strip()
    return ""


SHALL_I: Final = "Shall I? Say yes or no."
OWNER_DECIDES: Final = "An owner has to decide."


def spoken_question(action: str, *, may_decide: bool, before: str = "") -> str:
    """The question aloud before an act; `before` leads to it."""
    words = _FOR_THE_EYE.sub("", action).strip()  # the rest is cleaned where it is cut into sentences
    if before:
        words = words
    else:
        words = f"{words[:1].upper()}{words[1:]}"
    return f"{before}{words}. {SHALL_I if may_decide else OWNER_DECIDES}"


class SentenceCutter:
    """Takes pieces of a text and gives out each sentence as soon as it is whole.

    The host's list of acts at the end of an answer is for the eye.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_in_record = False

    def feed(self, piece: str) -> list[str]:
        """The sentences that are whole with this piece, as they are to be said."""
        self._text += piece
        sentences: list[str] = []
        while (end := self._end()) is not None:
            sentence = self._text[:end]
            self._text = self._text[end:]
            said = self._said(sentence)
            if said:
                sentences.append(said)
        return sentences

    def rest(self) -> list[str]:
        """The rest when the text is complete."""
        text = self._text
        self._text = ""
        said = self._said(text)
        if said:
            return [said]
        return []

    def _said(self, sentence: str) -> str:
        self._is_in_record = self._is_in_record or sentence.lstrip().startswith(HEADING)
        if self._is_in_record:
            return ""
        return for_the_ear(sentence)

    def _end(self) -> int | None:
        """The end of the first sentence. A program's text is passed over whole."""
        fence = self._text.find("```")
        if fence >= 0 and not self._text[:fence].strip():
            close = self._text.find("```", fence + 3)
            if close >= 0:
                return close + 3
            return None
        if fence >= 0:
            limit = fence
        else:
            limit = len(self._text)
        for found in _END.finditer(self._text, 0, limit):
            sentence = self._text[: found.end()]
            is_end = found[0].startswith("\n") or not _NOT_AN_END.search(sentence.rstrip("\"')]"))
            if is_end and sentence.strip():
                return found.end()
        if fence >= 0 and self._text[:fence].strip():
            return fence
        if len(self._text) > MAX_SENTENCE_CHARS:
            softs = [found.end() for found in _SOFT_END.finditer(self._text, 0, MAX_SENTENCE_CHARS)]
            space = self._text.rfind(" ", 1, MAX_SENTENCE_CHARS)
            if softs:
                return softs[-1]
            if space > 0:
                return space
            return MAX_SENTENCE_CHARS
        return None


def sentences_of(text: str) -> list[str]:
    """Those of a text that is complete, as they are to be said."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.rest()]
