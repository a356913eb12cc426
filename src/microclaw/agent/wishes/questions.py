"""Reads a question in a person's own words as a question of the grammar, by the words in it (plain_questions.toml)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.things import MarkedWish, mark_things, pin_words, words_of
from microclaw.agent.wishes.wording import clauses, write_out
from microclaw.tables import read_table

_AT_PIN: Final = re.compile(r"\b(?:on|at|to|in|of) (?:the )?(?:pin|gpio) ?\d+")


class _Row(Struct, frozen=True):
    """A question is asked as `plain` if each of the `words` is in it, and none of those `without`."""

    words: tuple[re.Pattern[str], ...]
    without: re.Pattern[str] | None
    plain: str

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
    mark = _only_mark(marked)
    said = _AT_PIN.sub("", write_out(text))
    plain = []
    for row in _ROWS:
        if "{" in row.plain and mark is None:
            continue
        if row.fits(marked.text, said):
            if mark is None:
                plain.append(row.plain)
            else:
                plain.append(row.plain.format(pin=_pin_words(mark), thing=words_of(mark)))
    return plain


def _only_mark(marked: MarkedWish) -> str | None:
    """Return the mark of the only thing whose pin is known; the board's LED is one."""
    marks = []
    for mark in marked.things:
        if "@" not in mark:
            marks.append(mark)
    if len(marks) == 1:
        return marks[0]
    return None


def _pin_words(mark: str) -> str:
    if mark == "led#":
        return words_of(mark)
    return pin_words(mark)


def _compile(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b")


def _rows() -> tuple[_Row, ...]:
    rows = []
    for row in read_table(__package__, "plain_questions")["questions"]:
        without = None
        if "without" in row:
            without = _compile(row["without"])
        rows.append(_Row(tuple(map(_compile, row["words"])), without, row["plain"]))
    return tuple(rows)


_ROWS: Final = _rows()
