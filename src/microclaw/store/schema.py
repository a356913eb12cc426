"""The number of the store's schema and the steps to it; its tables are in schema.sql. Runs no SQL itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x6D636C77  # "mclw": tells our file from any other SQLite database
BASE: Final = 41  # the number of a store that schema.sql made; what is older is not opened

# STEPS[n] brings a store from number BASE + n to the next, in one transaction. A released step is never edited.
STEPS: Final[tuple[tuple[str, ...], ...]] = ()
VERSION: Final = BASE + len(STEPS)


def schema() -> str:
    """The SQL of an empty store with the number BASE."""
    return Path(__file__).with_name("schema.sql").read_text()
