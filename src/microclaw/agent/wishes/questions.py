"""Reads a question in a person's own words as a question of the grammar, by the words in it (plain_questions.toml)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.things import MarkedWish, mark_things, pin_words, words_of
from microclaw.agent.wishes.wording import clauses, write_out
from microclaw.tables import read_table

_AT_PIN: Final = re.compile(r"\b(?:on|at|to|in|of) (?:the )?(?:pin|gpio) ?\d+")

_BRACED: Final = re.compile(r"\{(\w+)\}")


class _Row(Struct, frozen=True):
    """A question is asked as `plain` if each of the `words` is in it, and none of those `without`."""

    words: tuple[re.Pattern[str], ...]
    without: re.Pattern[str] | None
    plain: str
    asks_for: frozenset[str]
    """The names in the braces of `plain`."""

    def fits(self, marked: str, said: str) -> bool:
        """Return True for a question as it was said, and with its things as marks."""
        if self.without is not None and self.without.search(marked):
            return False
        text = f"{marked} ¦ {said}"
        return all(words.search(text) for words in self.words)


def read_question(text: str) -> list[str]:
    """Return what the question may be in the words of the grammar, the likeliest first; nothing without its words."""
    marked = mark_things(clauses(text))
    if marked is None:
        return []
    words = _words_of_thing(marked)
    said = _AT_PIN.sub("", write_out(text))
    plain = []
    for row in _ROWS:
        if row.asks_for <= words.keys() and row.fits(marked.text, said):
            plain.append(row.plain.format(**words))
    return plain


def _words_of_thing(marked: MarkedWish) -> dict[str, str]:
    """Return what a row may write of the question's only thing: its `subject`, and with a pin its `pin` and `thing`."""
    marks = [mark for mark in marked.things if "@" not in mark]
    if len(marks) == 1:
        mark = marks[0]
        pin = words_of(mark) if mark == "led#" else pin_words(mark)
        return {"subject": pin, "pin": pin, "thing": words_of(mark)}
    if not marks and len(marked.things) == 1:
        return {"subject": f"the {next(iter(marked.things)).partition('@')[2]}"}
    return {}


def _compile(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b")


def _rows() -> tuple[_Row, ...]:
    rows = []
    for row in read_table(__package__, "plain_questions")["questions"]:
        without = None
        if "without" in row:
            without = _compile(row["without"])
        plain = row["plain"]
        rows.append(_Row(tuple(map(_compile, row["words"])), without, plain, frozenset(_BRACED.findall(plain))))
    return tuple(rows)


_ROWS: Final = _rows()
