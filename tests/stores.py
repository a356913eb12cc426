"""A new store for a test. The schema is written and synced once a process and copied from then on: it is most of what
opening a store costs. Holds no test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from microclaw.host.store.sqlite_file import create_store

if TYPE_CHECKING:
    from pathlib import Path

_made: list[bytes] = []


def new_store(path: Path) -> Path:
    """Make an empty store at `path` where none is; its folder too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return path
    if _made:
        path.touch(mode=0o600)
        path.write_bytes(_made[0])
    else:
        create_store(path)
        _made.append(path.read_bytes())
    return path
