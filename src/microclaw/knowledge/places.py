"""Where each person's memory lies, and whose a file is. Names only; it touches no file."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

OWNER_ID: Final = "owner"
MEMORY: Final = "MEMORY.md"
PEOPLE: Final = "people"
DEVICES: Final = "devices"
VERSIONS: Final = "versions"


def person_folder(memory: Path, person: str) -> Path:
    """The owner's is `memory` itself (MimiClaw's layout); every other person has one of their own below it."""
    if person == OWNER_ID:
        return memory
    return memory / PEOPLE / file_stem(person)


def file_stem(name: str) -> str:
    """A name as one part of a path: never a parent, never hidden, never shared by two names."""
    quoted = quote(name, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    return quoted or "%"


def name_of_stem(stem: str) -> str:
    return "" if stem == "%" else unquote(stem, errors="replace")


def is_day(stem: str) -> bool:
    """Whether a file's stem is a daily note's: YYYY-MM-DD."""
    parts = stem.split("-")
    return [len(p) for p in parts] == [4, 2, 2] and all(p.isascii() and p.isdigit() for p in parts)
