"""Cuts an answer into spoken sentences while it arrives, without the parts that are only for reading."""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Callable
from typing import Final

from microclaw.agent.turn.action_record import HEADING

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
# Ids, hashes (longer than the MAC address in a board's name) and cursors.
_REFERENCE: Final = rf"(?:[a-z]-(?=[a-f]*\d)[0-9a-f]{{6,}}|{_HEX}{{16,64}}|sha-?256:? {_HEX}{{8,64}}|cursor[ :=]+\d+)"
# The first line matches for example "(change 4)" and "(d-1f0c...)".
_FOR_THE_EYE: Final = re.compile(
    rf"\s*\((?:(?:change|raw) \d+|duty \d+(?:/| of )\d+|{_HEX}{{8,64}}|{_REFERENCE})\)"
    rf"|(?:, )?(?<![\w-]){_REFERENCE}(?![\w-])",
    re.I,
)
"""Numbers and keys that are only for reading: changes, ids, hashes, cursors, raw readings."""


def _date_words(match: re.Match[str]) -> str:
    """Return a date such as "2026-11-22" as "November 22"."""
    month = int(match[1])
    if 1 <= month <= 12:
        return f"{month_name[month]} {int(match[2])}"
    return match[0]


def _unit_words(match: re.Match[str]) -> str:
    """Return a number with its unit, such as "-4 V", in words: "minus 4 volts"."""
    number = _TRAILING_ZEROS.sub(lambda digits: digits[1] or digits[2], match[1])
    singular, plural = _UNITS[match[2]]
    unit = singular if number == "1" else plural
    return f"{number.replace('-', 'minus ')} {unit}"


_RULES: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"```.*?(?:```|\Z)", re.S), " "),
    # A hint, or a line of a table.
    (re.compile(r"^\s*(?:next:|\|).*$", re.M), ""),
    (re.compile(r"\[([^\]]+)\]\([^)\s]*\)"), r"\1"),
    (re.compile(r"\b(?:https?|wss?)://\S+"), "a link"),
    (re.compile(r"^\s*(?:#{1,6}|[-*+>]|\d+[.)])\s+", re.M), ""),
    (re.compile(r"[*`~]{1,3}(?=\S)|(?<=\S)[*`~]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)"), ""),
    (_FOR_THE_EYE, ""),
    (re.compile(r"->|→"), " to "),
    # The name of a file of the host, in brackets.
    (re.compile(r"\s*\((?:[\w.-]+/)+[\w-]+\.\w+\)"), ""),
    (re.compile(r"\b\d{4}-(\d\d)-(\d\d)\b"), _date_words),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"(?<![\w.])(-?\d+(?:[.,]\d+)*) ?(ms|min|mV|mA|kHz|Hz|KB|MB|hPa|°C|[shV%])(?!\w)"), _unit_words),
    # Signs inside of names: board-1, gpio_set, pin=4, gpio.set, but not e.g.
    (re.compile(r"(?<=[A-Za-z])-(?=\w)|(?<=\w)_+(?=\w)|(?<=\w)=(?=\S)"), " "),
    (re.compile(r"(?<=[a-z0-9][a-z])\.(?=[a-z]{2})"), " "),
    (re.compile(r"[^\w\s.,;:!?'\"()%+=/-]+"), " "),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\(\s*\)|\s+(?=[.,;:!?](?:\s|$))|^[\s.,;:]+"), ""),
)
"""Patterns and the spoken text for each, applied in this order."""


def to_speech(text: str) -> str:
    """Return the text without code, tables, marks and addresses, with units in words; "" if nothing is left."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    if any(sign.isalnum() for sign in text):
        return text.strip()
    return ""


SHALL_I: Final = "Shall I? Say yes or no."
OWNER_DECIDES: Final = "An owner has to decide."


def spoken_question(action: str, *, may_decide: bool, before: str = "") -> str:
    """Return the spoken question before an act; `before` is a text that introduces it."""
    # The rest of the cleaning is done where the question is cut into sentences.
    words = _FOR_THE_EYE.sub("", action).strip()
    if not before:
        words = f"{words[:1].upper()}{words[1:]}"
    request = SHALL_I if may_decide else OWNER_DECIDES
    return f"{before}{words}. {request}"


class SentenceCutter:
    """Collects pieces of a text and returns each sentence as soon as it is complete.

    The host's list of acts at the end of an answer is only for reading.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_in_record = False

    def feed(self, piece: str) -> list[str]:
        """Add a piece and return the sentences that are complete with it, as they are spoken."""
        self._text += piece
        sentences: list[str] = []
        while (end := self._find_end()) is not None:
            sentence = self._text[:end]
            self._text = self._text[end:]
            spoken = self._to_speech(sentence)
            if spoken:
                sentences.append(spoken)
        return sentences

    def rest(self) -> list[str]:
        """Return the rest of the text when it is complete."""
        spoken = self._to_speech(self._text)
        self._text = ""
        if spoken:
            return [spoken]
        return []

    def _to_speech(self, sentence: str) -> str:
        """Return a sentence as it is spoken; "" from the host's list of acts on."""
        self._is_in_record = self._is_in_record or sentence.lstrip().startswith(HEADING)
        if self._is_in_record:
            return ""
        return to_speech(sentence)

    def _find_end(self) -> int | None:
        """Return the end of the first sentence, or None if it is not complete. A program's text is one sentence."""
        fence = self._text.find("```")
        if fence < 0:
            return self._find_sentence_end(len(self._text)) or self._find_cut()
        if self._text[:fence].strip():
            return self._find_sentence_end(fence) or fence
        closing_fence = self._text.find("```", fence + 3)
        if closing_fence < 0:
            return None
        return closing_fence + 3

    def _find_sentence_end(self, limit: int) -> int | None:
        """Return the end of the first sentence within `limit` characters. The point of "e.g." is not an end."""
        for match in _END.finditer(self._text, 0, limit):
            sentence = self._text[: match.end()]
            is_end = match[0].startswith("\n") or not _NOT_AN_END.search(sentence.rstrip("\"')]"))
            if is_end and sentence.strip():
                return match.end()
        return None

    def _find_cut(self) -> int | None:
        """Return the place to cut a sentence that is too long: after a comma, else at a space, else anywhere."""
        if len(self._text) <= MAX_SENTENCE_CHARS:
            return None
        soft_ends = [match.end() for match in _SOFT_END.finditer(self._text, 0, MAX_SENTENCE_CHARS)]
        if soft_ends:
            return soft_ends[-1]
        space = self._text.rfind(" ", 1, MAX_SENTENCE_CHARS)
        if space > 0:
            return space
        return MAX_SENTENCE_CHARS


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a complete text, as they are spoken."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.rest()]
