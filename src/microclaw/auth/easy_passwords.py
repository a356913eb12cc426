"""What makes a password easy to guess. It knows patterns and a few common words, no list of leaked passwords.

A guesser tries names, common words, runs of keys, repeats and years before it tries letters one by one, so these count
as nothing: what is left has to be as long as a password has to be. The words of a refusal never show the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MIN_DIFFERENT: Final = 5
MIN_NAME_CHARS: Final = 3  # "Al" is in too many words
MIN_RUN: Final = 4  # "rst" is in "first"
MIN_DIGIT_RUN: Final = 3
PRODUCT: Final = "microclaw"

_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890", "13579", "02468", "!@#$%^&*()", '!"§$%&/()=',
    "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "wxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm",
)  # fmt: skip
_COMMON: Final = re.findall(
    r"\w+",
    "password passwort passwd passphrase pass secret welcome willkommen admin administrator root login user guest test "
    "letmein iloveyou love hello hallo monkey dragon master sunshine princess football baseball fussball soccer shadow "
    "superman batman starwars pokemon ninja hunter killer freedom whatever trustno changeme default temporary computer "
    "internet server summer winter spring autumn sommer herbst flower cookie cheese banana ginger pepper charlie "
    "michael jordan daniel thomas jessica ashley google facebook raspberry arduino esp32 homeassistant",
)
_LETTERS: Final = str.maketrans("013457@$!+|", "oieastasiti")  # as in p@ssw0rd
_YEAR: Final = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_REPEAT: Final = re.compile(r"(.)\1\1+|(..)\2\2+|(.{3,11}?)\3+", re.S)


def why_easy(password: str, name: str, *, min_chars: int) -> str | None:
    """Why a guesser would soon have this password of the person called `name`; None where no reason is known."""
    text = password.casefold()
    different = len(set(text))
    if different < MIN_DIFFERENT:
        return f"it has only {different} different characters"
    if not any(char.isalpha() for char in text):
        return "it has no letters, only digits and signs"
    easy: dict[str, None] = {}  # the reasons in the order in which they were found
    covered: set[int] = set()
    for reason, begin, end, step in _easy_parts(text, name.casefold()):
        easy[reason] = None
        covered.update(range(begin, end, step))
    left = len(text) - len(covered)
    if not easy or left >= min_chars:
        return None
    return f"without what is guessed first ({', '.join(easy)}) it has {left} characters, and {min_chars} are needed"


def _easy_parts(text: str, name: str) -> Iterator[tuple[str, int, int, int]]:
    """Why a part is easy, where it begins and ends, and the distance of its characters."""
    spelled = text.translate(_LETTERS)
    names = [part for part in (name, *re.split(r"[\W_]+", name)) if len(part) >= MIN_NAME_CHARS]
    for reason, words in (("the person's name", names), (PRODUCT, (PRODUCT,)), ("a common word", _COMMON)):
        for word in words:
            for said in (text, spelled):
                for found in re.finditer(f"{_word(word)}|{_word(word[::-1])}", said):
                    yield reason, *found.span(), 1
    for step in (1, 2):  # 2: a1b2c3d4
        for first in range(step):
            for begin, end in _runs(text[first::step], MIN_DIGIT_RUN if step == 1 else MIN_RUN):
                yield "a run of keys, letters or digits", first + begin * step, first + (end - 1) * step + 1, step
    for found in _REPEAT.finditer(text):
        unit = next(group for group in found.groups() if group is not None)
        yield "a part that is repeated", found.start() + len(unit), found.end(), 1
    for found in _YEAR.finditer(text):
        yield "a year", *found.span(), 1


def _word(word: str) -> str:
    """The pattern of a word, also with letters that are typed twice."""
    return "".join(f"{re.escape(char)}+" for char in word)


def _runs(text: str, min_digits: int) -> Iterator[tuple[int, int]]:
    """Where characters follow each other as in one of the rows, forwards or backwards, each once or several times."""
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        steps = set(pairwise(row))
        begin, count = 0, 1
        for at in range(1, len(text) + 1):
            pair = (text[at - 1], text[at]) if at < len(text) else None
            if pair is not None and (pair in steps or pair[0] == pair[1]):
                count += pair[0] != pair[1]
                continue
            if count >= (min_digits if text[begin:at].isdigit() else MIN_RUN):
                yield begin, at
            begin, count = at, 1
