"""Checks the words of code and pages: the field's terms, and docstrings that say what a thing is. Run: make check

Docstrings are read in src, firmware, bench, scripts and tests; words in the same without the tests, in the page's
scripts and in the pages of docs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CODE: Final = ("src", "firmware", "bench", "scripts")
OPENINGS: Final = ("What", "Who", "Whose", "Whom", "Whether", "Where", "When", "How", "Which")
INSTEAD: Final = {
    "anew": "again",
    "beneath": "below",
    r"for\s+ever": "forever",
    "taken? back": "revert, undo",
    "takes back": "reverts, undoes",
    "took back": "reverted, undid",
    "(?:be|is|was) put back": "redeployed",
    "puts back": "redeploys",
    "whereabouts": "presence",
    "standby": "replica",
    "nobody of": "unauthenticated",
    "ask nothing": "answer yes to all questions",
    "acts that wait for": "pending approvals",
    "refused in words": "fails with a message",
    "make a home of": "restore a backup",
    "a host alone": "a single host",
    "log is whole": "log is intact",
    "what is wanted on": "desired state of",
    "conversations that are kept": "saved conversations",
    "drop what is deferred": "cancel a queued action",
    "what is done later": "schedules",
    "whilst": "while",
    "upon": "on",
    "hence": "so",
    "thereby": "so",
    "thereof": "of it",
    "amongst": "among",
    "utili[sz]e": "use",
    "in order to": "to",
    "leverage": "use",
    "seamless(?:ly)?": "nothing",
    "obviously": "nothing",
}
"""Patterns of words, and what to say instead."""
FILES_WITHOUT: Final = ("vendor", "words.py", "0020-standard-words.md")
_WORDS: Final = re.compile(r"(?<![\w-])(?:" + "|".join(INSTEAD) + r")(?![\w-])", re.IGNORECASE)


def wrong_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the fault of each word of the table."""
    for found in _WORDS.finditer(text):
        better = next(say for pattern, say in INSTEAD.items() if re.fullmatch(pattern, found[0], re.IGNORECASE))
        yield text.count("\n", 0, found.start()) + 1, f"{found[0]!r}: say {better}"


def wrong_docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the fault of each docstring that is a question."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node, clean=False) or "").split(None, 1)
            if words and words[0].rstrip(",:") in OPENINGS:
                yield node.body[0].lineno, f"a docstring begins with {words[0]}: say what it is or does"


def faults(root: Path) -> list[str]:
    """The faults of all files, as FILE:LINE: TEXT."""
    found: list[str] = []
    code = [path for folder in (*CODE, "tests") for path in sorted((root / folder).rglob("*.py"))]
    prose = [*(root / "src").rglob("*.js"), *(root / "docs").rglob("*.md"), *root.glob("*.md")]
    for path in (*code, *prose):
        place = path.relative_to(root)
        if {*place.parts} & {*FILES_WITHOUT} or "natural_py" in place.parts:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            lines = [*wrong_docstrings(text)]
        else:
            lines = []
        if place.parts[0] != "tests":
            lines += wrong_words(text)
        found += [f"{place}:{line}: {fault}" for line, fault in sorted(lines)]
    return found


if __name__ == "__main__":
    said = faults(ROOT)
    print("\n".join(said) or "words: right")
    sys.exit(bool(said))
