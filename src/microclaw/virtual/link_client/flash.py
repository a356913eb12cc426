"""The link's flash on the virtual board: named values, changed in transactions, with the outbox and the inbox.

SQLite stores it in one file: a board that is killed at any moment has every commit that returned, and no part of
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
"""Additional room for answers to durable calls, which must never be refused. Up to this many calls are accepted."""
RECENT_IDS: Final = 256
_PUT: Final = "INSERT INTO flash VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class PowerGone(MicroclawError, code="power_gone"):
    """The boot that opened this flash is over. The code that gets this exception ends at once."""


class Flash:
    """The flash of one boot. A value is anything that CBOR can encode; committing None removes a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._database: sqlite3.Connection | None = None
        try:
            finish_reset(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / STATE_FILE
            # The file has a token, so only its own account may read it.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            database = sqlite3.connect(path, check_same_thread=False)
            self._database = database
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
        """Return every value whose name starts with `prefix`, in the order of the names' first writing."""
        with self._lock:
            return {name: value for name, value in self._values.items() if name.startswith(prefix)}

    def commit(self, changes: Mapping[str, Any]) -> None:
        """Write all changes or none to the disk. Raises StoreError if the disk refuses them."""
        with self.writing() as database:
            removed = [(name,) for name, value in changes.items() if value is None]
            stored = {name: value for name, value in changes.items() if value is not None}
            rows = [(name, cbor2.dumps(value)) for name, value in stored.items()]
            try:
                with database:
                    database.executemany("DELETE FROM flash WHERE name = ?", removed)
                    database.executemany(_PUT, rows)
            except sqlite3.Error as exc:
                raise StoreError(f"the board's flash cannot be written: {exc}") from exc
            for (name,) in removed:
                self._values.pop(name, None)
            self._values |= stored

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the power while something is written. Raises PowerGone after the power cut."""
        with self._lock:
            if self._database is None:
                raise PowerGone("the board has no power")
            yield self._database

    def close(self) -> None:
        """Cut the power: nothing is written after it."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None


def begin_reset(folder: Path) -> None:
    """Begin a factory reset. It is certain when this returns: `finish_reset` does it, also after a power cut."""
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
    """The durable messages for the host, up to 256 and 64 KiB. Only the link's thread changes it."""

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
        """Store a message with `also`, and return its number. `reserved`: it may use the reserved room for answers.

        A message that is stored already keeps its number. Raises Overloaded if the outbox is full.
        """
        rows = self._rows()
        for stored_seq, (stored_id, _) in rows.items():
            if stored_id == message_id:
                return stored_seq
        max_count = MAX_MESSAGES
        if reserved:
            max_count += RESERVED_MESSAGES
        size = sum(len(stored_payload) for _, stored_payload in rows.values())
        has_room = reserved or size + len(payload) <= MAX_BYTES
        if len(rows) >= max_count or not has_room:
            raise Overloaded(f"the outbox is full: {len(rows)} messages, {size} bytes")
        epoch, acked, last = self.cursor()
        seq = last + 1
        self._flash.commit({"outbox": [epoch, acked, seq], _name(seq): [message_id, payload], **(also or {})})
        return seq

    def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        rows = self._rows()
        later = sorted(number for number in rows if number > seq)
        return [StoredMessage(number, rows[number][1]) for number in later[:limit]]

    def ack(self, seq: int) -> None:
        epoch, acked, last = self.cursor()
        if seq > acked:
            acked_rows = {_name(number): None for number in self._rows() if number <= seq}
            self._flash.commit({"outbox": [epoch, seq, last], **acked_rows})

    def renew(self) -> OutboxCursor:
        """Renew the epoch, and number the messages from 1 again."""
        rows = self._rows()
        cursor = OutboxCursor(secrets.token_bytes(8), 0, len(rows))
        changes: dict[str, Any] = {_name(number): None for number in rows}
        changes |= {_name(number): rows[old_number] for number, old_number in enumerate(sorted(rows), 1)}
        self._flash.commit({"outbox": list(cursor), **changes})
        return cursor

    def _rows(self) -> dict[int, Any]:
        """Return the ids and payloads of the messages without an ack, by number."""
        return {int(name.removeprefix("out/")): row for name, row in self._flash.under("out/").items()}


class FlashInbox:
    """The number of messages in the host's outbox that had their effect. Only the link's thread uses it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    def cursor(self) -> InboxCursor:
        return InboxCursor(*self._flash.get("inbox", (None, 0, 0))[:2])

    def advance(self, epoch: bytes, seq: int, message_id: Id, effect: Mapping[str, Any]) -> bool:
        """Commit the effect and the new cursor together. Returns False and does nothing if that was done before."""
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
