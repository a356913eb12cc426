"""Checks the words of code and pages: the field's terms. Run: make check

It reads src, firmware, bench, scripts, the page's scripts and the pages of docs. Ruff checks docstrings (D401).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CODE: Final = ("src", "firmware", "bench", "scripts")
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
# A driver has the names that people know it by.
FILES_WITHOUT: Final = ("vendor", "words.py", "0020-standard-words.md", "bmp280.py")
_WORDS: Final = re.compile(r"(?<![\w-])(?:" + "|".join(INSTEAD) + r")(?![\w-])", re.IGNORECASE)


def wrong_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the fault of each word of the table."""
    for found in _WORDS.finditer(text):
        better = next(say for pattern, say in INSTEAD.items() if re.fullmatch(pattern, found[0], re.IGNORECASE))
        yield text.count("\n", 0, found.start()) + 1, f"{found[0]!r}: say {better}"


def faults(root: Path) -> list[str]:
    """Return the faults of all files, as FILE:LINE: TEXT."""
    paths = [*(root / "src").rglob("*.js"), *(root / "docs").rglob("*.md"), *root.glob("*.md")]
    for folder in CODE:
        paths += (root / folder).rglob("*.py")
    result: list[str] = []
    for path in sorted(paths):
        place = path.relative_to(root)
        if not set(FILES_WITHOUT).isdisjoint(place.parts):
            continue
        text = path.read_text(encoding="utf-8")
        result += [f"{place}:{line}: {fault}" for line, fault in sorted(wrong_words(text))]
    return result


if __name__ == "__main__":
    findings = faults(ROOT)
    print("\n".join(findings) or "words: right")
    sys.exit(bool(findings))
