"""The ids of wired parts: which texts are ids, and the ids that names give."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from microclaw.errors import ConfigError

MAX_ID_CHARS: Final = 32
_NOT_IN_IDS: Final = re.compile(r"[^a-z0-9_]+")
# In lines of expectations a word ends with a letter, a digit or _.
_ID: Final = re.compile(rf"(?!.*-\Z)[a-z][a-z0-9_-]{{0,{MAX_ID_CHARS - 1}}}")


def check_part_id(part_id: str) -> None:
    """Raise ConfigError for a text that is no id of a part."""
    if not _ID.fullmatch(part_id):
        form = f"a small letter, then small letters, digits, - and _, at most {MAX_ID_CHARS}, and no - at its end"
        text = f"{part_id[:40]!r} is no id of a part: {form}"
        raise ConfigError(text, next_step=f"as in: {part_id_of(part_id)}")


def part_id_of(name: str) -> str:
    """Return the id that a name gives: "Fish tank light" becomes fish-tank-light, "ledRed" ledred."""
    return whole_id(name)[:MAX_ID_CHARS].rstrip("-_")


def whole_id(name: str) -> str:
    """Return the id that a name gives, which can be longer than an id may be."""
    part_id = _NOT_IN_IDS.sub("-", name.lower()).strip("-_")
    if not part_id[:1].isalpha():
        part_id = f"part-{part_id}".strip("-")
    return part_id


def part_ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id for each name of a file, no two alike. A name that is an id keeps it, whatever its place."""
    ids = {name: name for name in names if _ID.fullmatch(name)}
    taken = set(ids)
    for name in names:
        if name in ids:
            continue
        ids[name] = free_id(name, taken)
        taken.add(ids[name])
    return ids


def free_id(name: str, taken: Collection[str]) -> str:
    """Return the id that a name gives, with a number at its end if that is taken."""
    part_id = part_id_of(name)
    number = 2
    while part_id in taken:
        ending = f"-{number}"
        part_id = part_id_of(name)[: MAX_ID_CHARS - len(ending)] + ending
        number += 1
    return part_id


def renamed_ids(ids: Mapping[str, str]) -> dict[str, str]:
    """Return the names of a file whose ids are other texts, with these ids."""
    return {name: part_id for name, part_id in ids.items() if name != part_id}
