"""The host's own backups: one when it is due, the newest few kept, and how that stands. It starts no task.

A folder may be several hosts': a file's name begins with the host's authority, and only own files are removed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from microclaw.audit.event import AuditEvent, AuditKind, Record
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.authority_pem import pem_fingerprint
from microclaw.backup.age import Lock, Password, PublicKey, encrypted
from microclaw.backup.archive import IDENTITY, Contents, home_archive
from microclaw.config.forms import seconds_in
from microclaw.config.settings import BackupSettings
from microclaw.durable import read_private, write_given
from microclaw.errors import ConfigError, Overloaded, StoreError
from microclaw.text import moment_text

CHECK_S: Final = 60.0
_AT: Final = "%Y%m%dT%H%M%SZ.age"


class ScheduledBackups:
    """`run_due` is for a supervised task; `reading` is what makes the archive, for the API too."""

    def __init__(
        self, home: Path, settings: BackupSettings | None, *, record: Record, now_ms: Callable[[], int]
    ) -> None:
        self._home = home
        self._settings = settings
        self._record = record
        self._now_ms = now_ms
        self._made_ms: Collection[int] | None = None  # before the folder was looked at
        self._stopping = threading.Event()
        self._one = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Iterator[bytes]]:
        """The home's archive for the command line, noted in the security log. Blocking; errors as of home_archive."""
        with self._archive(self._now_ms()) as (contents, chunks):
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

    def text(self) -> str | None:
        """The state of scheduled backups; None where none are set up."""
        settings = self._settings
        if settings is None:
            return None
        folder = folder_of(settings)
        plan = f"every {settings.every}, {settings.keep} are kept"
        if self._made_ms is None:
            return f"{folder} was not read yet; {plan}"
        if not self._made_ms:
            return f"none yet in {folder}; {plan}"
        return f"last {moment_text(max(self._made_ms))}; {len(self._made_ms)} in {folder}, {plan}"

    def _run_due(self, settings: BackupSettings) -> None:
        now_ms = self._now_ms()
        folder = folder_of(settings)
        pem = read_private(self._home / IDENTITY / AUTHORITY_FILE)
        prefix = f"microclaw-{(pem_fingerprint(pem or b'') or '0' * 8)[:8]}-"
        self._made_ms = found = _own_backups(folder, prefix)
        newest_ms = max((made for made in found if made <= now_ms), default=None)
        if newest_ms is not None and now_ms - newest_ms < (seconds_in(settings.every) or 0) * 1000:
            return
        lock = _lock_of(settings)
        path = folder / f"{prefix}{datetime.fromtimestamp(now_ms / 1000, UTC):{_AT}}"
        with self._archive(now_ms) as (contents, chunks):
            step = "check the folder's owner and free space: microclaw config get backup.folder"
            write_given(path, encrypted(self._until_stopped(chunks), lock), replace=True, next_step=step)
        self._record(AuditEvent(AuditKind.BACKUP_MADE, f"by the schedule: {contents.text()}", about=str(folder)))
        # Those that seem to be of the future, as a clock was wrong, must not push out the one just made.
        self._made_ms = found = _own_backups(folder, prefix)
        kept = sorted(found, key=lambda made: (made <= now_ms, made))[-settings.keep :]
        try:
            oldest = [one for made, one in found.items() if made not in kept]
            for old in [*oldest, *folder.glob(f".{prefix}*.age.*.new")]:  # and what a crash left of one
                old.unlink(missing_ok=True)
        except OSError as exc:
            text = f"an old backup cannot be removed: {exc.strerror or exc}"
            raise StoreError(text, next_step=f"check the owner and mode of {folder}") from exc
        self._made_ms = kept

    @contextmanager
    def _archive(self, now_ms: int) -> Iterator[tuple[Contents, Iterator[bytes]]]:
        if not self._one.acquire(blocking=False):
            raise Overloaded("a backup of this home is being made already", next_step="wait until it is done")
        if self._settings is None:
            without = None
        else:
            without = folder_of(self._settings)
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


def folder_of(settings: BackupSettings) -> Path:
    return Path(settings.folder or "").expanduser()


def _own_backups(folder: Path, prefix: str) -> dict[int, Path]:
    """The backups in the folder whose names begin so, by when they were made (Unix ms). StoreError."""
    try:
        paths = list(folder.iterdir())
    except OSError as exc:
        text = f"the folder of backups {folder} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="make it, or mount what is there; or set another backup.folder") from exc
    found = {}
    for path in paths:
        with suppress(ValueError):  # another file
            at = datetime.strptime(path.name, prefix + _AT).replace(tzinfo=UTC)
            found[int(at.timestamp() * 1000)] = path
    return found


def _lock_of(settings: BackupSettings) -> Lock:
    if settings.recipient is not None:
        return PublicKey.parse(settings.recipient)
    path = Path(settings.password_file or "").expanduser()
    content = read_private(path)
    if content is None:
        raise ConfigError(f"the password file {path} of backups is missing", next_step="write one line to it, mode 600")
    return Password.parse(content, str(path))
