"""The host's own backups: one when it is due, the newest few kept, and how that stands. It starts no task.

A folder may be several hosts': a file's name begins with the host's authority, and only own files are removed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.authority_pem import pem_fingerprint
from microclaw.backup.age import Lock, Password, PublicKey, encrypted
from microclaw.backup.archive import IDENTITY, Contents, home_archive
from microclaw.config.forms import seconds_in
from microclaw.config.settings import BackupSettings
from microclaw.durable import read_private, write_given
from microclaw.errors import ConfigError, Overloaded, StoreError

CHECK_S: Final = 60.0
_AT: Final = "%Y%m%dT%H%M%SZ.age"
_NO_HOST: Final = "0" * 8


class ScheduledBackups:
    """`run_due` is for a supervised task; `reading` is what makes the archive, for the API too."""

    def __init__(
        self,
        home: Path,
        settings: BackupSettings | None,
        *,
        record: Record,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._home = home
        self._settings = settings
        self._record = record
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._made_ms: list[int] | None = None  # before the folder was looked at
        self._stopping = threading.Event()
        self._one = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Iterator[bytes]]:
        """The home's archive for the command line, noted in the security log. Blocking; errors as of home_archive."""
        without = None if self._settings is None else folder_of(self._settings)
        with self._archive(self._now_ms(), without) as (contents, chunks):
            self._record(AuditEvent(AuditKind.BACKUP_MADE, f"read by the command line: {contents.text()}"))
            yield chunks

    async def run_due(self) -> None:
        """Make a backup when the newest one is old enough. MicroclawError, OSError."""
        if self._settings is None:
            return
        work = asyncio.create_task(asyncio.to_thread(self._run_due, self._settings), name="backup in a thread")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:  # the host ends: the thread must leave the home before it does
            self._stopping.set()
            await asyncio.gather(work, return_exceptions=True)
            raise

    def object(self) -> dict[str, Any] | None:
        """For the status; None where no backups are set up."""
        return None if self._settings is None else backup_object(self._settings, self._made_ms)

    def _run_due(self, settings: BackupSettings) -> None:
        folder, host, now_ms = folder_of(settings), host_name(self._home), self._now_ms()
        self._made_ms = backup_times(folder, host)
        past = [made for made in self._made_ms if made <= now_ms]
        if past and now_ms - max(past) < (seconds_in(settings.every) or 0) * 1000:
            return
        lock = _lock_of(settings)
        path = folder / f"microclaw-{host}-{datetime.fromtimestamp(now_ms / 1000, UTC):{_AT}}"
        with self._archive(now_ms, folder) as (contents, chunks):
            step = "check the folder's owner and free space: microclaw config get backup.folder"
            sealed = encrypted(self._until_stopped(chunks), lock, self._random_bytes)
            write_given(path, sealed, replace=True, next_step=step)
        self._record(AuditEvent(AuditKind.BACKUP_MADE, f"by the schedule: {contents.text()}", about=str(folder)))
        _prune(folder, host, settings.keep, now_ms)
        self._made_ms = backup_times(folder, host)

    @contextmanager
    def _archive(self, now_ms: int, without: Path | None) -> Iterator[tuple[Contents, Iterator[bytes]]]:
        if not self._one.acquire(blocking=False):
            raise Overloaded("a backup of this home is being made already", next_step="wait until it is done")
        try:
            with home_archive(self._home, now_ms=now_ms, without=without) as made:
                yield made
        finally:
            self._one.release()

    def _until_stopped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for data in chunks:
            if self._stopping.is_set():
                raise StoreError("the host ended before the backup was whole")
            yield data


def backup_object(settings: BackupSettings, made_ms: Sequence[int] | None) -> dict[str, Any]:
    """How the scheduled backups stand; `made_ms` are the times of those in the folder, None where it was not read."""
    return {
        "folder": str(folder_of(settings)),
        "every": settings.every,
        "keep": settings.keep,
        "count": None if made_ms is None else len(made_ms),
        "last_ms": max(made_ms or (), default=None),
    }


def folder_of(settings: BackupSettings) -> Path:
    return Path(settings.folder or "").expanduser()


def host_name(home: Path) -> str:
    """What the names of this host's backups begin with: the first digits of its authority's fingerprint."""
    pem = read_private(home / IDENTITY / AUTHORITY_FILE)
    return (pem_fingerprint(pem or b"") or _NO_HOST)[:8]


def backup_times(folder: Path, host: str) -> list[int]:
    """When the backups of this host in the folder were made, in Unix ms. StoreError."""
    return [made for made, _ in _backups_in(folder, host)]


def _backups_in(folder: Path, host: str) -> list[tuple[int, Path]]:
    try:
        paths = list(folder.iterdir())
    except OSError as exc:
        text = f"the folder of backups {folder} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="make it, or mount what is there; or set another backup.folder") from exc
    found = []
    for path in paths:
        try:
            at = datetime.strptime(path.name, f"microclaw-{host}-{_AT}").replace(tzinfo=UTC)
        except ValueError:
            continue
        found.append((int(at.timestamp() * 1000), path))
    return found


def _lock_of(settings: BackupSettings) -> Lock:
    if settings.recipient is not None:
        return PublicKey.parse(settings.recipient)
    path = Path(settings.password_file or "").expanduser()
    content = read_private(path)
    if content is None:
        raise ConfigError(f"the password file {path} of backups is missing", next_step="write one line to it, mode 600")
    return Password.parse(content, str(path))


def _prune(folder: Path, host: str, keep: int, now_ms: int) -> None:
    """Remove the oldest backups of this host beyond `keep`, and what a crash left of one. Those that seem to be of the
    future, as a clock was wrong, count as the oldest: they must not push out the one just made.
    """
    mine = sorted((made <= now_ms, made, path) for made, path in _backups_in(folder, host))
    try:
        for path in [*(path for _, _, path in mine[:-keep]), *folder.glob(f".microclaw-{host}-*.age.*.new")]:
            path.unlink(missing_ok=True)
    except OSError as exc:
        text = f"an old backup cannot be removed: {exc.strerror or exc}"
        raise StoreError(text, next_step=f"check the owner and mode of {folder}") from exc
