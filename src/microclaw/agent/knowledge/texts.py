"""The places of the texts of memory and persona: files of a single host, rows of a cluster's shared store.

A text's name is its path below the home: `memory/MEMORY.md`, `config/SOUL.md`. This module reads no meaning in a text.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.durable import make_folders, open_regular, replace_file
from microclaw.errors import ConfigError, StoreError
from microclaw.host.store.database import Database
from microclaw.host.store.rows import first, insert, select
from microclaw.host.store.sql import Sql
from microclaw.text import encodable

T = TypeVar("T")
Stamp: TypeAlias = tuple[int, int]
"""The time of a text in ns and its size in bytes: they differ when the text has changed."""
MAX_TEXT_BYTES: Final = 64 * 1024
MAX_INDEXED_BYTES: Final = 64 << 20
ROOT: Final = "memory"
CONFIG: Final = "config"
FOLDERS: Final = (CONFIG, ROOT)
VERSIONS: Final = "versions"
# Of one file.
VERSIONS_KEPT: Final = 20


class Texts(ABC):
    """The texts of a host or a cluster.

    All methods but `change` and `refresh` block while a file is read; any thread may call them. They raise StoreError
    for a text that cannot be read.
    """

    # Files need no refresh, so this is not abstract.
    async def refresh(self) -> None:  # noqa: B027
        """Read the texts of the store. Call it before any other method. Raises StoreError."""

    def read(self, name: str, most: int = MAX_TEXT_BYTES) -> str:
        """Return up to `most` bytes of a text, cut at a line's end; "" if there is no such text."""
        data = self.content(name, most + 1)
        if len(data) > most:
            data = data[: data.rfind(b"\n", 0, most) + 1 or most]
        return _decode(data)

    @abstractmethod
    def content(self, name: str, most: int = MAX_INDEXED_BYTES) -> bytes:
        """Return the first bytes of a text; none if there is no such text."""

    @abstractmethod
    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Return the Markdown texts directly in a folder by name, without links and texts over MAX_INDEXED_BYTES.

        Raises OSError for a folder that cannot be read.
        """

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""

    @abstractmethod
    def place(self, name: str) -> str:
        """Return the place where a person finds the text."""

    @abstractmethod
    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        """Replace the whole text by the result of `work`, without another change in between.

        With `keep` a file keeps its old version. `work` may run more than once. Raises ConfigError for a text that is
        or becomes longer than `max_bytes`.
        """

    def _apply_work(
        self, name: str, old: bytes, work: Callable[[str], tuple[str, T]], max_bytes: int
    ) -> tuple[bytes | None, T]:
        """Return the text that `work` makes of the old one, or None if it is the same; and the result of `work`.

        Raises ConfigError for more than `max_bytes`: `read` would cut the text, and a change would then lose its end.
        """
        text, result = work(_decode(old))
        new = text.encode(errors="replace")
        if max(len(old), len(new)) > max_bytes:
            reason = f"{name.rpartition('/')[2]} is full: it has more than {max_bytes:,} bytes, or would have"
            raise ConfigError(reason, next_step="remove outdated lines: microclaw memory edit, or forget")
        if new.decode() == _decode(old):
            return None, result
        return new, result


class TextFiles(Texts):
    """The texts as files below `home`. People may edit all of them by hand at any time."""

    def __init__(self, home: Path, *, now: Callable[[], datetime]) -> None:
        self.home = home
        self._now = now
        self._writing = asyncio.Lock()

    def content(self, name: str, most: int = MAX_INDEXED_BYTES) -> bytes:
        """Return the first bytes of a regular file: a symbolic link may point anywhere, and a pipe would never end."""
        try:
            with os.fdopen(open_regular(self.home / name, os.O_RDONLY), "rb") as file:
                return file.read(most)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as exc:
            raise _file_error(self.home / name, exc) from exc

    def stamps(self, folder: str) -> dict[str, Stamp]:
        stamps = {}
        for entry in self._entries(folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                is_text = entry.name.endswith(".md") and entry.name[0] != "." and stat.S_ISREG(status.st_mode)
                if is_text and status.st_size <= MAX_INDEXED_BYTES:
                    stamps[f"{folder}/{entry.name}"] = status.st_mtime_ns, status.st_size
        return stamps

    def folders(self, folder: str) -> list[str]:
        return sorted(entry.name for entry in self._entries(folder) if entry.is_dir(follow_symlinks=False))

    def place(self, name: str) -> str:
        return str(self.home / name)

    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        async with self._writing:
            return await asyncio.to_thread(self._replace, name, work, keep, max_bytes)

    def rows(self) -> list[TextRow]:
        """Return all texts as rows of a shared store, by name."""
        rows = []
        waiting = list(FOLDERS)
        while waiting:
            folder = waiting.pop()
            waiting += [f"{folder}/{name}" for name in self.folders(folder) if name != VERSIONS]
            for name, (mtime_ns, size_bytes) in self.stamps(folder).items():
                text = _decode(self.content(name))
                rows.append(TextRow(name, text, size_bytes, changed_ms=mtime_ns // 1_000_000, version=1))
        return sorted(rows, key=lambda row: row.name)

    def put(self, name: str, text: str) -> None:
        """Write a text of a shared store, and keep the old one. Blocking; StoreError for a name outside of FOLDERS."""
        parts = name.split("/")
        if parts[0] not in FOLDERS or ".." in parts:
            raise StoreError(f"{name!r:.100} is not a name of a text", next_step="remove its row of the table texts")
        self._replace(name, lambda _old: (text, None), keep=True, max_bytes=MAX_INDEXED_BYTES)

    def _replace(self, name: str, work: Callable[[str], tuple[str, T]], keep: bool, max_bytes: int) -> T:
        path = self.home / name
        old = self.content(name, max_bytes + 1)
        new, result = self._apply_work(name, old, work, max_bytes)
        try:
            if new is not None:
                if keep and old:
                    self._keep_version(path, old)
                make_folders(path.parent)
                # After a power cut either the old or the new file exists.
                replace_file(path, new)
        except OSError as exc:
            raise _file_error(path, exc) from exc
        return result

    def _keep_version(self, path: Path, old: bytes) -> None:
        """Keep the old text as a version, and remove the oldest versions beyond VERSIONS_KEPT."""
        folder = path.parent / VERSIONS
        stamp = self._now().astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
        make_folders(folder)
        replace_file(folder / f"{path.stem}.{stamp}{path.suffix}", old)
        for oldest in sorted(folder.glob(f"{path.stem}.*T*{path.suffix}"))[:-VERSIONS_KEPT]:
            oldest.unlink(missing_ok=True)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the entries with names that are UTF-8 on the disk; the store takes no others."""
        try:
            with os.scandir(self.home / folder) as entries:
                return [entry for entry in entries if encodable(entry.name) == entry.name]
        except (FileNotFoundError, NotADirectoryError):
            return []


class TextRow(Struct, frozen=True):
    """A text of the shared store. `version` grows with each change."""

    name: str
    text: str
    size_bytes: int
    changed_ms: int
    version: int


class TextTable(Texts):
    """The texts as rows of the shared store, all of them in memory. `now_ms` returns the time of day."""

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

    def content(self, name: str, most: int = MAX_INDEXED_BYTES) -> bytes:
        if name in self._texts:
            return self._texts[name].text.encode()[:most]
        return b""

    def stamps(self, folder: str) -> dict[str, Stamp]:
        stamps = {}
        for name, row in self._texts.items():
            if name.rpartition("/")[0] == folder and name.endswith(".md"):
                # Two changes within a millisecond differ by their version.
                changed_ns = row.changed_ms * 1_000_000 + row.version % 1_000_000
                stamps[name] = changed_ns, row.size_bytes
        return stamps

    def folders(self, folder: str) -> list[str]:
        folders = set()
        for name in self._texts:
            if name.startswith(f"{folder}/"):
                subfolder, slash, _ = name.removeprefix(f"{folder}/").partition("/")
                if slash:
                    folders.add(subfolder)
        return sorted(folders)

    def place(self, name: str) -> str:
        return f"{name} (shared by all hosts of the cluster)"

    async def change(
        self, name: str, work: Callable[[str], tuple[str, T]], *, keep: bool = True, max_bytes: int = MAX_TEXT_BYTES
    ) -> T:
        # Rows have no old versions.
        del keep

        def replace(sql: Sql) -> T:
            old = b""
            version = 1
            row = first(sql, TextRow, "texts WHERE name = ?", (name,))
            if row:
                old = row.text.encode()
                version = row.version + 1
            new, result = self._apply_work(name, old, work, max_bytes)
            if new is not None:
                insert(sql, "texts", TextRow(name, new.decode(), len(new), self._now_ms(), version), over=("name",))
            return result

        result = await self._database.write(replace)
        await self.refresh()
        return result


def _decode(data: bytes) -> str:
    return data.decode(errors="replace").replace("\r\n", "\n")


def _file_error(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {exc.strerror or exc}",
        next_step="check its owner and permissions, and the disk's free space",
    )
