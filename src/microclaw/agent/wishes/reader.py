"""Reads a wish in a person's own words as a sentence of the grammar, which is then asked: "I read this as ...".

A word that is nothing to the wish is left out, and is told. One that could change the meaning (a number, "until") is
asked about, and a "not" makes no sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from microclaw.agent.language.quantities import NEGATIONS
from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.scan import Clause, Scan
from microclaw.agent.wishes.things import MARK, MarkedWish, mark_things, words_of
from microclaw.agent.wishes.timed import sentences
from microclaw.agent.wishes.wording import clauses
from microclaw.tables import read_table

_TABLE: Final = read_table(__package__, "wish_words")["left_over"]
_FILLER: Final = frozenset(_TABLE["filler"].split())
_DECISIVE: Final = frozenset(_TABLE["decisive"].split())
_DECISIVE_IN_REMARK: Final = frozenset(_TABLE["decisive_in_remark"].split())
_NEGATION: Final = re.compile(rf"\b(?:{NEGATIONS}|nor|nothing|nobody|none|neither)\b")
_NUMBER_OR_THING: Final = re.compile(rf"\d|{MARK}")
_THING: Final = re.compile(MARK)
_MAX_LEFT_OUT: Final = 20
Understands = Callable[[str], bool]


class Wish(Struct, frozen=True):
    """A wish as it is read.

    `sentence` is one of the grammar, `left_out` are words that it leaves out, by clauses. `open_words` are those that
    would change it and are not understood: the wish is not to be done without them.
    """

    sentence: str
    left_out: tuple[str, ...] = ()
    open_words: tuple[str, ...] = ()


def read_wish(text: str, understands: Understands) -> Wish | None:
    """Return the wish as a sentence that is understood, or None; also if a negation in it is not understood."""
    marked = mark_things(clauses(text))
    if marked is None:
        return None
    scan = Scan(marked)
    if any(map(_negates, scan.skipped)):
        return None
    left_out, open_words = _left_over(scan)
    for sentence in sentences(scan.items):
        if not understands(sentence):
            continue
        if not _names_all(sentence, marked):
            return None
        return Wish(sentence, left_out, open_words)
    return None


def read_parts(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the acts of a wish that is not read, and the words that are not understood; nothing for a "not"."""
    marked = mark_things(clauses(text))
    if marked is None or _NEGATION.search(marked.text):
        return (), ()
    scan = Scan(marked)
    acts = []
    for item in scan.items:
        if isinstance(item, Act):
            acts.append(item.words)
    return tuple(acts), _left_over(scan)[1]


def _names_all(sentence: str, marked: MarkedWish) -> bool:
    """Return True if each pin of the wish is in the sentence: a thing that has no part in it was not understood."""
    pins = re.findall(r"\bpin (\d+)", sentence)
    for thing in marked.things.values():
        if thing.pin is not None and str(thing.pin) not in pins:
            return False
    return True


def _left_over(scan: Scan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words that were not used, by clauses: those that change nothing, and those that may."""
    left_out = []
    open_words = []
    for clause in scan.skipped:
        words = " ".join(clause.words)
        content = [word.strip("()\"'") for word in clause.words if word not in _FILLER]
        if all(map(_THING.fullmatch, content)):
            # "The contact is on pin 4" at the end: each pin of the wish is in its sentence.
            continue
        if _changes_meaning(clause, content) or len(content) > _MAX_LEFT_OUT:
            open_words.append(_unmarked(words))
        else:
            left_out.append(words)
    return tuple(left_out), tuple(open_words)


def _negates(clause: Clause) -> bool:
    """Return True for a negation that is not understood, and is in no remark ("it doesn't matter")."""
    return not _is_remark(clause) and _NEGATION.search(" ".join(clause.words)) is not None


def _is_remark(clause: Clause) -> bool:
    return clause.is_remark and not {"or", "not"} & set(clause.words[:2])


def _changes_meaning(clause: Clause, words: Sequence[str]) -> bool:
    """Return True if the words could change what is meant: they are more than a remark."""
    decisive = _DECISIVE
    if _is_remark(clause):
        decisive = _DECISIVE_IN_REMARK
    if not clause.is_remark and _joins_a_word(clause.words):
        return True
    return any(word in decisive or _NUMBER_OR_THING.search(word) for word in words)


def _joins_a_word(words: Sequence[str]) -> bool:
    """Return True for "and the attic" behind an act: something more is meant."""
    for index, word in enumerate(words):
        if word == "and" and any(following not in _FILLER for following in words[index + 1 :]):
            return True
    return False


def _unmarked(words: str) -> str:
    """Return words with their things as a person may say them."""
    words = re.sub(r"\w+#@([a-z]+)", r"the \1", words)
    return re.sub(MARK, lambda match: words_of(match[0]), words)
