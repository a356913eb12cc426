"""Reads the tables that lie as TOML beside the code that uses them. It checks nothing in them."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any


@functools.cache
def read_table(package: str, name: str) -> Any:
    """Return the whole of NAME.toml in the folder of a package. Nobody changes it: it is read once."""
    return tomllib.loads(resources.files(package).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
