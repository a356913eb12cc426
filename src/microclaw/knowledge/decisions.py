"""Scores the lines of conversations and notes by their words: decisions are worth keeping. It asks no model."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_SENTENCE_CHARS: Final = 400
_ENDS: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+|(?<=[。！？])")
_BULLET: Final = re.compile(r"^\s*(?:(?:[-*+•]|\d{1,2}[.)])\s+)?(?:\d{1,2}:\d{2}\s+)?")  # and the time of a note
_WORD: Final = re.compile(r"\w+", re.UNICODE)

# Words of a decision, in English, German and Chinese; each pattern that matches adds its points.
_MARKS: Final[tuple[tuple[re.Pattern[str], int], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), points)
    for pattern, points in (
        (r"\b(always|never|from now on|remember|don'?t forget|prefer|instead of|rather than|must(?: not)?)\b", 3),
        (r"\b(decided|agreed|we(?:'ll| will) use|let'?s use|call (?:it|me|this)|my name is|is called|named)\b", 3),
        (r"\b(immer|niemals?|merke?|lieber|statt|entschieden|heißt|nenne)\b", 3),
        (r"(记住|总是|永远|不要|叫做|决定|以后)", 3),
        (r"\b(?:gpio|pins?|sda|scl|adc|relay|relais|sensor|pump|pumpe|led|button|servo)\b.{0,30}\d", 2),
        (r"\b(?:is|are|sits|hangs|liegt|hängt|ist) (?:on|at|in|an|auf)\b", 1),
        (r"\b(?:wired|connected|soldered|attached|mounted|angeschlossen|verkabelt)\b", 2),
        (r"\b(?:deployed|installed|runs on|stopped|removed|renamed|scheduled|undone|counted)\b", 2),
        (r"\b(?:threshold|limit|every|at least|at most|below|above|until|alle|jeden)\b.{0,20}\d", 2),
        (r"\d+(?:\.\d+)?\s?(?:°C|°|%|V|mA|W|Hz|ms|s|min|minutes|seconds|hours|h)\b", 1),
        (r"\b(?:yes|ok(?:ay)?|no)\b[,.:]? .{12,}", 1),
    )
)
_NOISE: Final = re.compile(
    r"^(?:hi|hello|hey|thanks?|thank you|ok(?:ay)?|yes|no|sure|great|nice|bye|hallo|danke|ja|nein|你好|谢谢|好的?)"
    r"[\s!.,。！]*$",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(r"[?？]\s*$")


def sentences(text: str) -> list[str]:
    """The sentences and list items of a text, each on one line and without bullets; long ones are cut."""
    found = (" ".join(_BULLET.sub("", part).split()) for part in _ENDS.split(text))
    return [s if len(s) <= MAX_SENTENCE_CHARS else s[: MAX_SENTENCE_CHARS - 3] + "..." for s in found if s]


def worth(sentence: str) -> int:
    """The score of a sentence: 0 is noise, 3 or more is a decision."""
    if _NOISE.match(sentence) or len(sentence) < 4:
        return 0
    points = sum(points for mark, points in _MARKS if mark.search(sentence))
    return max(0, points - 2) if _QUESTION.search(sentence) else points


def same_fact(line: str) -> str:
    """A key that is equal for two lines with the same words, whatever their case, punctuation, bullets and accents."""
    plain = unicodedata.normalize("NFKD", _BULLET.sub("", line)).casefold()
    return " ".join(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))


def significant(text: str) -> list[str]:
    """The words of a text without stop words: each once, in order, casefolded."""
    found = (word.casefold() for word in _WORD.findall(unicodedata.normalize("NFC", text)))
    return list(dict.fromkeys(w for w in found if w not in _STOP and (len(w) > 1 or w.isdigit() or not w.isascii())))


_STOP: Final = frozenset(
    """a about after again all also am an and any are as at be been but by can could did do does doing done for from
    get give go got had has have he hello her here him his how i if in into is it its just let like make may me more
    my no not now of off on one or our out over please put say see she should so some tell than thanks that the their
    them then there these they thing this those to too up us use was we were what when where which who whose why will
    with would yes you your
    aber als am an auch auf aus bei bin bis bist bitte da das dass dem den der des die doch du durch ein eine einem
    einen einer eines er es für hat habe haben hast ich ihr im in ist ja kann kein keine man mein meine mich mir mit
    nach nein nicht noch nur oder schon sein sich sie sind so über um und uns von vor war warum was wenn wer wie wir
    wird wo zu zum zur 的 了 吗 是 我 你 在 呢 吧""".split()  # noqa: SIM905  a list of 200 lines says no more
)
