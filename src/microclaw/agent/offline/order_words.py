"""The words with a meaning for the agent or a board: a text for a display that has one may be an order or a question.

They come from the templates of all sentences, the parts and the quantities. displays.toml adds words that no template
has, and lists usual texts in which such words say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.times import split_when
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.boards import pads_to_pins
from microclaw.agent.offline.recorded_parts import with_part_names
from microclaw.agent.offline.sentences import TEMPLATE_FILES, any_of, read_templates
from microclaw.hardware.parts.reader import parts

TextMeaning: TypeAlias = Literal["text", "perhaps", "order"]
"""A usual text; one of which nothing is known; one with a word that may be of an order or a question."""
_CONTRACTED: Final = re.compile(r"(?i)\b\w+n['’]t\b")
_BARE_NUMBER: Final = re.compile(r"[-+]?\d[\d.,:]*%?")
_DOUBLED_END: Final = re.compile(r"(.)\1$")
_HOLE: Final = re.compile(r"\{[^}]*\}|<[^>]*>")
_WORD: Final = re.compile(r"[^\W_]+")
_PART_WORDS: Final = "part_words"
_WITH_TEMPLATES: Final = ("sentences", "in", "values", "expansion_rules", _PART_WORDS)
_LEAST_STEM_CHARS: Final = 3
_LONG_CHARS: Final = 7
"""In a word of so many letters one wrong letter hardly makes another word."""


class OrderWords(Struct, frozen=True):
    """Words with a meaning, without the "s" of a plural, and the usual texts in which no word has one.

    `long_words` are those in which a slip of the keyboard is found.
    """

    words: frozenset[str]
    long_words: tuple[str, ...]
    usual_texts: re.Pattern[str]
    first_names: re.Pattern[str]


def meaning_of(text: str, device: KnownDevice | None) -> TextMeaning:
    """Return what a text without quotes is: "hello" a text, "sine wave" perhaps, "heap memory" an order."""
    if _BARE_NUMBER.fullmatch(text):
        return "text"
    if _CONTRACTED.search(text) or with_part_names(text, device) != text:
        return "order"
    order_words = _order_words()
    normal = normalize_quantities(pads_to_pins(order_words.first_names.sub(" ", text), None))
    timed = split_when(normal)
    if timed is not None and timed[0]:
        return "order"
    words = _WORD.findall(order_words.usual_texts.sub(" ", normal))
    for word in words:
        if not order_words.words.isdisjoint(_spellings(word)) or _is_long_misspelt(word, order_words.long_words):
            return "order"
    if words:
        return "perhaps"
    return "text"


@cache
def _order_words() -> OrderWords:
    templates = read_templates(("displays", "hands", "references", *TEMPLATE_FILES))
    words = set[str](templates["order_words"])
    texts = list(_template_texts(templates, ""))
    for name, part in parts().items():
        texts += (name, *part.inputs, *part.shows, part.words.get("en", ""))
    for text in texts:
        for word in _WORD.findall(_HOLE.sub(" ", text).lower()):
            # A number or a letter by itself is a usual text.
            if len(word) > 1 and not word.isdigit():
                words.add(word)
    stems = {_stem(word) for word in words}
    return OrderWords(
        words=frozenset(stems),
        long_words=tuple(stem for stem in stems if len(stem) >= _LONG_CHARS),
        usual_texts=any_of(map(re.escape, sorted(templates["usual_texts"], key=len, reverse=True))),
        first_names=any_of(templates["first_names"]),
    )


def _template_texts(value: Any, key: str) -> Iterator[str]:
    """Yield the templates of sentences in a table; `key` is the key that decides what its texts are."""
    if isinstance(value, str):
        if key in _WITH_TEMPLATES:
            yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            inner_key = key if key in ("expansion_rules", _PART_WORDS) else name
            yield from _template_texts(inner, inner_key)
    elif isinstance(value, list):
        for inner in value:
            yield from _template_texts(inner, key)


def _spellings(word: str) -> set[str]:
    """Return the words that a word may be a form of: "buses" of "bus", "inverted" of "invert", "gpio4" of "gpio"."""
    spellings = {word, word.rstrip("0123456789"), _stem(word)}
    for ending in ("es", "ed", "ing"):
        verb = word.removesuffix(ending)
        if verb != word and len(verb) >= _LEAST_STEM_CHARS:
            # "Inverted", "rotated", "spinning".
            spellings |= {verb, f"{verb}e", _DOUBLED_END.sub(r"\1", verb)}
    return spellings


def _stem(word: str) -> str:
    """Return the word without the "s" of a plural: "batteries" is "battery"."""
    if word.endswith("ies"):
        return f"{word.removesuffix('ies')}y"
    stem = word.removesuffix("s")
    if len(stem) < _LEAST_STEM_CHARS:
        return word
    return stem


def _is_long_misspelt(word: str, long_words: tuple[str, ...]) -> bool:
    return len(word) >= _LONG_CHARS - 1 and is_misspelt(word, long_words)


def known_words() -> frozenset[str]:
    """Return the words with a meaning, without the "s" of a plural."""
    return _order_words().words


def is_misspelt(word: str, words: tuple[str, ...]) -> bool:
    """Return True if a word is one of these but for one letter: "temprature"."""
    # It takes 3.5 MB, which a host saves that understands all its sentences.
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    return process.extractOne(word, words, scorer=OSA.distance, score_cutoff=1) is not None
