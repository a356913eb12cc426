"""The host's scheduled backups: makes one when it is due, keeps the newest few, reports their state. Starts no task.

Several hosts may share a folder: a file's name begins with the host's authority, and only own files are removed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from microclaw.authority_pem import pem_fingerprint
from microclaw.durable import new_given, read_private
from microclaw.errors import Overloaded, StoreError
from microclaw.host.audit.event import AuditEvent, AuditKind, Record
from microclaw.host.auth.authority import AUTHORITY_FILE
from microclaw.host.backup.age import encrypt, read_recipient
from microclaw.host.backup.archive import IDENTITY, Contents, open_home_archive
from microclaw.host.config.forms import seconds_in
from microclaw.host.config.settings import BackupSettings
from microclaw.text import moment_text

CHECK_S: Final = 60.0
_AT: Final = "%Y%m%dT%H%M%SZ.age"


class ScheduledBackups:
    """The scheduled backups of a home. A supervised task calls `run_due`; the API reads an archive with `reading`."""

    def __init__(
        self, home: Path, settings: BackupSettings | None, *, record: Record, now_ms: Callable[[], int]
    ) -> None:
        self._home = home
        self._settings = settings
        self._record = record
        self._now_ms = now_ms
        # None until the folder was read.
        self._made_ms: Collection[int] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Iterator[bytes]]:
        """Give the home's archive for the command line, and note that in the security log.

        Blocking. Raises the errors of `open_home_archive`, and Overloaded while another backup is made.
        """
        with self._archive(self._now_ms()) as (contents, chunks):
            self._record(AuditEvent(AuditKind.BACKUP_MADE, f"read by the command line: {contents.text()}"))
            yield chunks

    async def run_due(self) -> None:
        """Make a backup if the newest one is old enough. Raises MicroclawError, OSError."""
        if self._settings is None:
            return
        work = asyncio.create_task(asyncio.to_thread(self._run_due, self._settings), name="backup in a thread")
        try:
            await asyncio.shield(work)
        # The host ends: the thread must not use the home after it.
        except asyncio.CancelledError:
            self._stopping.set()
            await asyncio.gather(work, return_exceptions=True)
            raise

    def text(self) -> str | None:
        """Return the state of scheduled backups, or None if none are configured."""
        settings = self._settings
        if settings is None:
            return None
        folder = backup_folder(settings)
        plan = f"every {settings.every}, {settings.keep} are kept"
        if self._made_ms is None:
            return f"{folder} was not read yet; {plan}"
        if not self._made_ms:
            return f"none yet in {folder}; {plan}"
        return f"last {moment_text(max(self._made_ms))}; {len(self._made_ms)} in {folder}, {plan}"

    def _run_due(self, settings: BackupSettings) -> None:
        now_ms = self._now_ms()
        folder = backup_folder(settings)
        pem = read_private(self._home / IDENTITY / AUTHORITY_FILE)
        prefix = f"microclaw-{(pem_fingerprint(pem or b'') or '0' * 8)[:8]}-"
        backups = _find_backups(folder, prefix)
        self._made_ms = backups
        newest_ms = max((made_ms for made_ms in backups if made_ms <= now_ms), default=None)
        if newest_ms is not None and now_ms - newest_ms < (seconds_in(settings.every) or 0) * 1000:
            return
        recipient = read_recipient(settings.recipient or "")
        path = folder / f"{prefix}{datetime.fromtimestamp(now_ms / 1000, UTC):{_AT}}"
        with self._archive(now_ms) as (contents, chunks):
            step = "check the folder's owner and free space: microclaw config get backup.folder"
            with new_given(path, replace=True, next_step=step) as file:
                encrypt(self._until_stopped(chunks), recipient, file)
        self._record(AuditEvent(AuditKind.BACKUP_MADE, f"by the schedule: {contents.text()}", about=str(folder)))
        self._remove_old(folder, prefix, now_ms, settings.keep)

    def _remove_old(self, folder: Path, prefix: str, now_ms: int, keep: int) -> None:
        """Remove all but the newest backups, and the incomplete files of a crash. Raises StoreError."""
        backups = _find_backups(folder, prefix)
        self._made_ms = backups
        # A wrong clock may have made names in the future: they must not push out the backup that was just made.
        newest = sorted(backups, key=lambda made_ms: (made_ms <= now_ms, made_ms))[-keep:]
        old_files = [path for made_ms, path in backups.items() if made_ms not in newest]
        try:
            for path in (*old_files, *folder.glob(f".{prefix}*.age.*.new")):
                path.unlink(missing_ok=True)
        except OSError as exc:
            text = f"an old backup cannot be removed: {exc.strerror or exc}"
            raise StoreError(text, next_step=f"check the owner and mode of {folder}") from exc
        self._made_ms = newest

    @contextmanager
    def _archive(self, now_ms: int) -> Iterator[tuple[Contents, Iterator[bytes]]]:
        if not self._lock.acquire(blocking=False):
            raise Overloaded("a backup of this home is being made already", next_step="wait until it is done")
        without = None if self._settings is None else backup_folder(self._settings)
        try:
            with open_home_archive(self._home, now_ms=now_ms, without=without) as archive:
                yield archive
        finally:
            self._lock.release()

    def _until_stopped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for data in chunks:
            if self._stopping.is_set():
                raise StoreError("the host ended before the backup was whole")
            yield data


def backup_folder(settings: BackupSettings) -> Path:
    return Path(settings.folder or "").expanduser()


def _find_backups(folder: Path, prefix: str) -> dict[int, Path]:
    """Return the backups with this prefix in the folder, by the times (Unix ms) in their names. Raises StoreError."""
    try:
        paths = list(folder.iterdir())
    except OSError as exc:
        text = f"the folder of backups {folder} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="make it, or mount its disk; or set another backup.folder") from exc
    backups = {}
    for path in paths:
        # Another file has no such name.
        with suppress(ValueError):
            made = datetime.strptime(path.name, prefix + _AT).replace(tzinfo=UTC)
            backups[int(made.timestamp() * 1000)] = path
    return backups
