"""The tables beside this file: lessons.toml, names.toml, options.toml, refusals.toml."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any


@functools.cache
def read_table(name: str) -> Any:
    """The whole of NAME.toml."""
    with Path(__file__).with_name(f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


def words_of(kind: str, name: str = "names") -> tuple[str, ...]:
    """The words of a kind, or of one in a table: "called_by.rand"; none where a table has no such."""
    table, _, entry = kind.partition(".")
    found = read_table(name)[table]
    return tuple((found.get(entry, "") if entry else found).split())
