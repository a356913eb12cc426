"""The link's flash on the virtual board: values under names, changed in transactions; the outbox and inbox in it.

SQLite keeps it in one file: a board that is killed at any moment finds every commit that returned, and no half of
another. It reads no message.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cbor2

from microclaw.durable import replace_file, sync_folder
from microclaw.errors import ConfigError, MicroclawError, Overloaded, StoreError
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage
from microclaw.wire.link.values import Id

STATE_FILE: Final = "state.db"
RESET_FILE: Final = "reset"
MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 65_536
RESERVED_MESSAGES: Final = 64
"""Room on top for answers to durable calls: those must never be refused, and at most so many calls are taken."""
RECENT_IDS: Final = 256
_PUT: Final = "INSERT INTO flash VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class PowerGone(MicroclawError, code="power_gone"):
    """The boot that opened this flash is over: who gets this exception ends at once."""


class Flash:
    """One boot's hold on the folder. A value is anything CBOR carries; committing None removes a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._database: sqlite3.Connection | None = None
        try:
            finish_reset(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / STATE_FILE  # it holds a token: its own account's alone
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._database = database = sqlite3.connect(path, check_same_thread=False)
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("CREATE TABLE IF NOT EXISTS flash (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            for name, value in database.execute("SELECT name, value FROM flash ORDER BY rowid"):
                self._values[name] = cbor2.loads(value)
        except (OSError, sqlite3.Error, cbor2.CBORError) as exc:
            self.close()
            text = f"the link's flash in {folder} cannot be used: {exc}"
            step = "mend it, or remove that folder: the board must be paired again then"
            raise ConfigError(text, next_step=step) from exc

    def get(self, name: str, default: Any = None) -> Any:
        with self._lock:
            return self._values.get(name, default)

    def under(self, prefix: str) -> dict[str, Any]:
        """Every value whose name starts with `prefix`, in the order in which the names were first written."""
        with self._lock:
            return {name: value for name, value in self._values.items() if name.startswith(prefix)}

    def commit(self, changes: Mapping[str, Any]) -> None:
        """All changes or none; on the disk when this returns. StoreError if the disk does not take them."""
        with self.writing() as database:
            gone = [(name,) for name, value in changes.items() if value is None]
            kept = {name: value for name, value in changes.items() if value is not None}
            try:
                with database:
                    database.executemany("DELETE FROM flash WHERE name = ?", gone)
                    database.executemany(_PUT, [(name, cbor2.dumps(value)) for name, value in kept.items()])
            except sqlite3.Error as exc:
                raise StoreError(f"the board's flash cannot be written: {exc}") from exc
            for (name,) in gone:
                self._values.pop(name, None)
            self._values |= kept

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The power does not go while something is written. PowerGone once it is gone."""
        with self._lock:
            if self._database is None:
                raise PowerGone("the board has no power")
            yield self._database

    def close(self) -> None:
        """The power is gone: nothing is written any more."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None


def begin_reset(folder: Path) -> None:
    """Factory reset: decided once this returns; `finish_reset` carries it out, after a power cut too."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / RESET_FILE, b"", only_writer=True)


def finish_reset(folder: Path) -> None:
    if (folder / RESET_FILE).exists():
        for path in folder.iterdir():
            if path.name == RESET_FILE:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        sync_folder(folder)
        (folder / RESET_FILE).unlink()


class FlashOutbox:
    """Durable messages for the host, at most 256 or 64 KiB of them. Only the link's thread changes it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        if flash.get("outbox") is None:
            flash.commit({"outbox": [secrets.token_bytes(8), 0, 0]})

    @property
    def depth(self) -> int:
        return len(self._rows())

    def cursor(self) -> OutboxCursor:
        return OutboxCursor(*self._flash.get("outbox"))

    def append(
        self, message_id: Id, payload: bytes, *, also: Mapping[str, Any] | None = None, reserved: bool = False
    ) -> int:
        """The message's number. `also` is committed with it; `reserved`: it may use the room kept for answers."""
        rows = self._rows()
        known = next((seq for seq, row in rows.items() if row[0] == message_id), None)
        if known is not None:
            return known
        most = MAX_MESSAGES + (RESERVED_MESSAGES if reserved else 0)
        size = sum(len(row[1]) for row in rows.values())
        if len(rows) >= most or (not reserved and size + len(payload) > MAX_BYTES):
            raise Overloaded(f"the outbox is full: {len(rows)} messages, {size} bytes")
        epoch, acked, last = self.cursor()
        seq = last + 1
        self._flash.commit({"outbox": [epoch, acked, seq], _name(seq): [message_id, payload], **(also or {})})
        return seq

    def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        rows = self._rows()
        return [StoredMessage(n, rows[n][1]) for n in sorted(n for n in rows if n > seq)[:limit]]

    def ack(self, seq: int) -> None:
        epoch, acked, last = self.cursor()
        if seq > acked:
            done = {_name(n): None for n in self._rows() if n <= seq}
            self._flash.commit({"outbox": [epoch, seq, last], **done})

    def renew(self) -> OutboxCursor:
        rows = self._rows()
        fresh = OutboxCursor(secrets.token_bytes(8), 0, len(rows))
        changes: dict[str, Any] = {_name(n): None for n in rows}
        changes |= {_name(n): rows[old] for n, old in enumerate(sorted(rows), 1)}
        self._flash.commit({"outbox": list(fresh), **changes})
        return fresh

    def _rows(self) -> dict[int, Any]:
        """Id and payload of what is not acked, by number."""
        return {int(name.removeprefix("out/")): row for name, row in self._flash.under("out/").items()}


class FlashInbox:
    """The number of messages in the host's outbox that had their effect. Only the link's thread uses it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    def cursor(self) -> InboxCursor:
        return InboxCursor(*self._flash.get("inbox", (None, 0, 0))[:2])

    def advance(self, epoch: bytes, seq: int, message_id: Id, effect: Mapping[str, Any]) -> bool:
        """Commit the effect and the new cursor as one; False, without the effect, when it was committed before."""
        at = self.cursor()
        if at.epoch == epoch and seq <= at.seq:
            return False
        count = self._flash.get("inbox", (None, 0, 0))[2]
        is_new = message_id not in self._flash.under("recent/").values()
        changes: dict[str, Any] = {"inbox": [epoch, seq, count + is_new]}
        if is_new:
            changes |= {f"recent/{count % RECENT_IDS}": message_id, **effect}
        self._flash.commit(changes)
        return is_new


def _name(seq: int) -> str:
    return f"out/{seq}"
