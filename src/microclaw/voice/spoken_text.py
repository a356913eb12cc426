"""An answer as it is said: cut into sentences while it is written, without what only an eye can use. Speaks nothing."""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Callable, Iterable
from typing import Final

from microclaw.agent.acts import HEADING
from microclaw.events import Evidence

MAX_SENTENCE_CHARS: Final = 240
MAX_SPOKEN_CHARS: Final = 700
"""About 45 s of speech."""
MORE: Final = "The rest is in the chat."
_NOT_AN_END: Final = re.compile(r"(?:\b(?:e\.g|i\.e|etc|approx|vs|Dr|Mr|Mrs|St)|\b[A-Za-z])\.$", re.I)
_END: Final = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n+")
_ASIDES: Final = re.compile(r"\s*\(([^()]*)\)")
_ASIDE: Final = re.compile(r"(?<=\w) (?=\()")
"""Where what is added in brackets begins."""
MIN_FIRST_CHARS: Final = 12
_SOFT_END: Final = re.compile(r"[,;:](?=\s)")
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
    return f"{month_name[month]} {int(found[2])}" if 1 <= month <= 12 else found[0]


def _clock_words(found: re.Match[str]) -> str:
    """ "04:15" as "4 15", "7:05" as "7 oh 5"."""
    hour, minute = int(found[1]), int(found[2])
    if hour > 23 or minute > 59:
        return found[0]
    words = "o'clock" if not minute else f"oh {minute}" if minute < 10 else str(minute)
    return f"{hour} {words}"


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
    (re.compile(r"(?<![\w:.])(\d{1,2}):(\d\d)(?![\w:]|\.\d)"), _clock_words),
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
    return text.strip() if any(c.isalnum() for c in text) else ""


SHALL_I: Final = "Shall I? Say yes or no."
OWNER_DECIDES: Final = "An owner has to decide."


def spoken_question(action: str, *, may_decide: bool, before: str = "") -> str:
    """The question aloud before an act; `before` leads to it."""
    words = _FOR_THE_EYE.sub("", action).strip()  # the rest is cleaned where it is cut into sentences
    words = words if before else f"{words[:1].upper()}{words[1:]}"
    return f"{before}{words}. {SHALL_I if may_decide else OWNER_DECIDES}"


class SentenceCutter:
    """Takes pieces of a text and gives out each sentence as soon as it is whole.

    The host's list of acts at the end of an answer is for the eye. The first one ends
    before what is added in brackets: the engine then has something to say sooner.
    An evidence that was `learnt` is said in its short form, where it stands in brackets or is a sentence.
    """

    def __init__(self) -> None:
        self._text = ""
        self._proofs: dict[str, str] = {}
        self._has_begun = False
        self._is_in_record = False

    def learn(self, evidence: Iterable[Evidence]) -> None:
        """Learn the words that the answer may repeat, and of which the ear needs no more than their short form."""
        self._proofs |= {one.text.casefold(): one.spoken for one in evidence if one.spoken is not None}

    def feed(self, piece: str) -> list[str]:
        """The sentences that are whole with this piece, as they are to be said."""
        self._text += piece
        sentences: list[str] = []
        while (end := self._end()) is not None:
            sentence, self._text = self._text[:end], self._text[end:]
            if said := self._said(sentence):
                self._has_begun = True
                sentences.append(said)
        return sentences

    def rest(self) -> list[str]:
        """The rest when the text is complete."""
        text, self._text = self._text, ""
        said = self._said(text)
        return [said] if said else []

    def _said(self, sentence: str) -> str:
        self._is_in_record = self._is_in_record or sentence.lstrip().startswith(HEADING)
        return "" if self._is_in_record else for_the_ear(self._shortened(sentence))

    def _shortened(self, sentence: str) -> str:
        """With the short forms of the evidence in it."""
        if not self._proofs:
            return sentence
        if (whole := self._short_form(sentence.strip().rstrip("."))) is not None:
            return f"{whole[:1].upper()}{whole[1:]}."
        return _ASIDES.sub(self._aside, sentence)

    def _aside(self, found: re.Match[str]) -> str:
        short = self._short_form(found[1])
        if short is None:
            return found[0]
        is_first = not found.string[: found.start()].strip()
        return f"{short[:1].upper()}{short[1:]}" if is_first else f", {short}"

    def _short_form(self, text: str) -> str | None:
        """Of one or more texts of evidence, and nothing else; None for other words."""
        if (one := self._proofs.get(text.casefold())) is not None:
            return one
        parts = [self._proofs.get(part.casefold()) for part in text.split("; ")]
        known = dict.fromkeys(part for part in parts if part is not None)
        return "; ".join(known) if None not in parts else None

    def _end(self) -> int | None:
        """The end of the first sentence. A program's text is passed over whole."""
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


def sentences_of(text: str) -> list[str]:
    """Those of a text that is complete, as they are to be said."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.rest()]
