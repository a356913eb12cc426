"""Where the texts of memory and persona are: files of a host alone, rows of the store that a cluster's hosts share.

A text's name is its path below the home: `memory/MEMORY.md`, `config/SOUL.md`. It knows nothing of what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.knowledge.text_files import (
    MAX_TEXT_BYTES,
    TextCache,
    cut_text,
    entries_of,
    files_in,
    keep_version,
    read_whole,
    write_text,
)
from microclaw.store.database import Database
from microclaw.store.rows import first, insert, select
from microclaw.store.sql import Sql

T = TypeVar("T")
VERSIONS: Final = "versions"
MAX_INDEXED_BYTES: Final = 64 << 20


class TextStamp(Struct, frozen=True):
    """A text as it is now: another time or size says that it changed."""

    name: str
    mtime_ns: int
    size_bytes: int


class Texts(Protocol):
    """All but `change` and `refresh` block, for a file's time; from any thread."""

    @property
    def is_shared(self) -> bool: ...

    async def refresh(self) -> None:
        """Before anything is read. StoreError."""

    def read(self, name: str) -> str:
        """At most MAX_TEXT_BYTES of it, cut at a line's end; "" when there is none."""

    def content(self, name: str) -> bytes:
        """All of it, for the index; OSError where it cannot be read."""

    def stamps(self, folder: str) -> list[TextStamp]:
        """The Markdown texts directly in a folder, without links; OSError for a folder that cannot be read."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""

    def place(self, name: str) -> str:
        """Where a person finds it."""

    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        """Put what `work` makes of the whole text in its place; no other change comes between. A file keeps its old one
        with `keep`. `work` may run more than once. ConfigError for a text that is or gets longer than `max_bytes`."""


class TextFiles:
    """Files below `home`. People may edit all of them by hand at any time."""

    is_shared = False

    def __init__(self, home: Path, *, now: Callable[[], datetime]) -> None:
        self.home = home
        self._now = now
        self._cache = TextCache()
        self._writing = asyncio.Lock()

    async def refresh(self) -> None:
        """Files are as they are."""

    def read(self, name: str) -> str:
        return self._cache.read(self.home / name)

    def content(self, name: str) -> bytes:
        return (self.home / name).read_bytes()[:MAX_INDEXED_BYTES]

    def stamps(self, folder: str) -> list[TextStamp]:
        return list(self._stamps(folder))

    def folders(self, folder: str) -> list[str]:
        return sorted(e.name for e in entries_of(self.home / folder) if e.is_dir(follow_symlinks=False))

    def place(self, name: str) -> str:
        return str(self.home / name)

    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        async with self._writing:
            return await asyncio.to_thread(self._change, self.home / name, work, keep, max_bytes)

    def _change(self, path: Path, work: Callable[[str], tuple[str, T]], keep: bool, max_bytes: int) -> T:
        old = read_whole(path, max_bytes)
        new, result = work(old)
        if new != old:
            _check_size(path.name, new, max_bytes)
            if keep:
                keep_version(path, path.parent / VERSIONS, self._now())
            write_text(path, new, max_bytes=max_bytes)
        return result

    def _stamps(self, folder: str) -> Iterator[TextStamp]:
        for entry in files_in(self.home / folder, ".md", MAX_INDEXED_BYTES):
            found = entry.stat(follow_symlinks=False)
            yield TextStamp(f"{folder}/{entry.name}", found.st_mtime_ns, found.st_size)


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text of the shared store. `version` grows with each change."""

    name: str
    text: str
    size_bytes: int
    changed_ms: int
    version: int


class TextTable:
    """Rows of the shared store, all of them in memory. `now_ms` is the time of day."""

    is_shared = True

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._texts: dict[str, TextRow] = {}
        self._reading = asyncio.Lock()
        database.follow(("texts",), self.refresh)

    async def refresh(self) -> None:
        async with self._reading:
            rows = await self._database.read(lambda sql: select(sql, TextRow, "texts ORDER BY name"))
            self._texts = {row.name: row for row in rows}

    def read(self, name: str) -> str:
        return cut_text(self._text(name), MAX_TEXT_BYTES)

    def content(self, name: str) -> bytes:
        return self._text(name).encode()

    def stamps(self, folder: str) -> list[TextStamp]:
        return [
            TextStamp(name, row.changed_ms * 1_000_000 + row.version % 1_000_000, row.size_bytes)
            for name, row in self._texts.items()
            if name.rpartition("/")[0] == folder and name.endswith(".md")
        ]

    def folders(self, folder: str) -> list[str]:
        below = (
            name.removeprefix(f"{folder}/").partition("/") for name in self._texts if name.startswith(f"{folder}/")
        )
        return sorted({name for name, slash, _ in below if slash})

    def place(self, name: str) -> str:
        return f"{name} (shared by all hosts of the cluster)"

    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        del keep  # rows have no old versions

        def replace(connection: Sql) -> T:
            row = first(connection, TextRow, "texts WHERE name = ?", (name,))
            old, version = (row.text, row.version) if row else ("", 0)
            if len(old.encode()) > max_bytes:
                raise ConfigError(
                    f"{name} is longer than {max_bytes:,} bytes: nothing is added to it or taken from it",
                    next_step="shorten it: microclaw memory edit",
                )
            new, result = work(old)
            new = new.encode(errors="replace").decode()
            if new != old:
                _check_size(name.rpartition("/")[2], new, max_bytes)
                changed = TextRow(name, new, len(new.encode()), self._now_ms(), version + 1)
                insert(connection, "texts", changed, over=("name",))
            return result

        result = await self._database.write(replace)
        await self.refresh()
        return result

    def _text(self, name: str) -> str:
        return self._texts[name].text if name in self._texts else ""


def _check_size(name: str, text: str, max_bytes: int) -> None:
    if len(text.encode(errors="replace")) > max_bytes:
        raise ConfigError(
            f"{name} is full: it would have more than {max_bytes:,} bytes",
            next_step="remove what is no longer true: microclaw memory edit, or forget",
        )
