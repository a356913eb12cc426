"""Reads the TOML tables beside the code that uses them. It does not check them."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any


@functools.cache
def read_table(package: str, name: str) -> Any:
    """Return the content of NAME.toml in the folder of a package, which is read once: do not change it."""
    file = resources.files(package).joinpath(f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))
