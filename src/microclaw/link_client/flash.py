"""The link's flash on the virtual board: values under names, changed in transactions; the outbox and inbox in it.

One file of records, each with its size, a CRC-32 and a CBOR map of changes. A record counts only as a whole: a board
that is killed at any moment finds every commit that returned, and no half of another. A file that has grown is written
anew beside the old one and renamed. It reads no message.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

import cbor2

from microclaw.durable import replace_file, sync_folder
from microclaw.errors import ConfigError, MicroclawError, Overloaded, StoreError
from microclaw.wire.link.sequence import InboxCursor, OutboxCursor, StoredMessage
from microclaw.wire.link.values import Id

STATE_FILE: Final = "state.log"
RESET_FILE: Final = "reset"
MIN_COMPACTED_BYTES: Final = 262_144
MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 65_536
RESERVED_MESSAGES: Final = 64
"""Room on top for answers to durable calls: those must never be refused, and at most so many calls are taken."""
RECENT_IDS: Final = 256
_HEAD: Final = Struct(">III")  # size, the size again in disguise, CRC-32 of the payload
_DISGUISE: Final = 0x6D636C6B


class PowerGone(MicroclawError):
    """The boot that opened this flash is over: who gets this exception ends at once."""

    code = "power_gone"


class Flash:
    """One boot's hold on the folder. A value is anything CBOR carries; committing None removes a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._file: int | None = None
        try:
            finish_reset(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / f"{STATE_FILE}.new").unlink(missing_ok=True)
            self._file = os.open(folder / STATE_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._size_bytes = self._load(self._file)
        except (OSError, StoreError) as exc:
            self.close()
            text = exc.strerror if isinstance(exc, OSError) else exc
            raise ConfigError(
                f"the link's flash in {folder} cannot be used: {text}",
                next_step="mend it, or remove that folder: the board must be paired again then",
            ) from exc

    def get(self, name: str, default: Any = None) -> Any:
        with self._lock:
            return self._values.get(name, default)

    def under(self, prefix: str) -> dict[str, Any]:
        """Every value whose name starts with `prefix`, in the order in which the names were first written."""
        with self._lock:
            return {name: value for name, value in self._values.items() if name.startswith(prefix)}

    def commit(self, changes: Mapping[str, Any]) -> None:
        """All changes or none; on the disk when this returns. StoreError if the disk does not take them."""
        record = _record(changes)
        with self._lock:
            if self._file is None:
                raise PowerGone("the board has no power")
            live_bytes = sum(len(value) if isinstance(value, (bytes, str)) else 64 for value in self._values.values())
            if self._size_bytes + len(record) > max(MIN_COMPACTED_BYTES, 4 * live_bytes):
                self._compact()
            try:
                _write_at(self._file, record, self._size_bytes)
                os.fsync(self._file)
            except OSError as exc:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size_bytes)
                raise StoreError(f"the board's flash cannot be written: {exc.strerror}") from exc
            self._size_bytes += len(record)
            _apply(self._values, changes)

    def close(self) -> None:
        """The power is gone: nothing is written any more."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _load(self, file: int) -> int:
        """Read every whole record; the size of what is good. StoreError for damage no broken-off write explains."""
        data = os.pread(file, os.fstat(file).st_size, 0)
        at = 0
        while at < len(data):
            end = at + _HEAD.size
            if end > len(data) or not any(data[at:]):
                break  # the last write broke off
            size, again, crc = _HEAD.unpack_from(data, at)
            if size ^ _DISGUISE != again:
                raise StoreError(f"the record at byte {at} is damaged")
            payload = data[end : end + size]
            if len(payload) < size or (zlib.crc32(payload) != crc and end + size == len(data)):
                break
            if zlib.crc32(payload) != crc:
                raise StoreError(f"the record at byte {at} is damaged")
            _apply(self._values, cbor2.loads(payload))
            at = end + size
        os.ftruncate(file, at)
        return at

    def _compact(self) -> None:
        new = self.folder / f"{STATE_FILE}.new"
        record = _record(self._values)
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_at(file, record, 0)
            os.fsync(file)
            new.rename(self.folder / STATE_FILE)
        except OSError as exc:
            os.close(file)
            raise StoreError(f"the board's flash cannot be written: {exc.strerror}") from exc
        sync_folder(self.folder)
        assert self._file is not None
        os.close(self._file)
        self._file, self._size_bytes = file, len(record)


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


def _record(changes: Mapping[str, Any]) -> bytes:
    payload = cbor2.dumps(dict(changes))
    return _HEAD.pack(len(payload), len(payload) ^ _DISGUISE, zlib.crc32(payload)) + payload


def _apply(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value


def _write_at(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


class FlashOutbox:
    """Durable messages for the host, at most 256 or 64 KiB of them. Only the link's thread uses it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        if flash.get("outbox") is None:
            flash.commit({"outbox": [secrets.token_bytes(8), 0, 0]})
        self._rows = {int(name.removeprefix("out/")): (row[0], row[1]) for name, row in flash.under("out/").items()}
        self._bytes = sum(len(payload) for _, payload in self._rows.values())

    @property
    def depth(self) -> int:
        return len(self._rows)

    def cursor(self) -> OutboxCursor:
        return OutboxCursor(*self._flash.get("outbox"))

    def append(
        self, message_id: Id, payload: bytes, *, also: Mapping[str, Any] | None = None, reserved: bool = False
    ) -> int:
        """The message's number. `also` is committed with it; `reserved`: it may use the room kept for answers."""
        known = next((seq for seq, row in self._rows.items() if row[0] == message_id), None)
        if known is not None:
            return known
        most = MAX_MESSAGES + (RESERVED_MESSAGES if reserved else 0)
        if len(self._rows) >= most or (not reserved and self._bytes + len(payload) > MAX_BYTES):
            raise Overloaded(f"the outbox is full: {len(self._rows)} messages, {self._bytes} bytes")
        epoch, acked, last = self.cursor()
        seq = last + 1
        self._flash.commit({"outbox": [epoch, acked, seq], _name(seq): [message_id, payload], **(also or {})})
        self._rows[seq] = (message_id, payload)
        self._bytes += len(payload)
        return seq

    def unacked_after(self, seq: int, limit: int) -> Sequence[StoredMessage]:
        numbers = sorted(n for n in self._rows if n > seq)[:limit]
        return [StoredMessage(n, self._rows[n][1]) for n in numbers]

    def ack(self, seq: int) -> None:
        epoch, acked, last = self.cursor()
        if seq <= acked:
            return
        done = [n for n in self._rows if n <= seq]
        self._flash.commit({"outbox": [epoch, seq, last], **{_name(n): None for n in done}})
        for n in done:
            self._bytes -= len(self._rows.pop(n)[1])

    def renew(self) -> OutboxCursor:
        rows = [self._rows[n] for n in sorted(self._rows)]
        fresh = OutboxCursor(secrets.token_bytes(8), 0, len(rows))
        changes: dict[str, Any] = {_name(n): None for n in self._rows}
        changes |= {_name(n): list(row) for n, row in enumerate(rows, 1)}
        self._flash.commit({"outbox": list(fresh), **changes})
        self._rows = dict(enumerate(rows, 1))
        return fresh


class FlashInbox:
    """The number of messages in the host's outbox that had their effect. Only the link's thread uses it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._recent: dict[Id, None] = dict.fromkeys(flash.under("recent/").values())

    def cursor(self) -> InboxCursor:
        epoch, seq, _ = self._flash.get("inbox", (None, 0, 0))
        return InboxCursor(epoch, seq)

    def advance(self, epoch: bytes, seq: int, message_id: Id, effect: Mapping[str, Any]) -> bool:
        """Commit the effect and the new cursor as one; False, without the effect, when it was committed before."""
        at = self.cursor()
        if at.epoch == epoch and seq <= at.seq:
            return False
        count = self._flash.get("inbox", (None, 0, 0))[2]
        is_new = message_id not in self._recent
        changes: dict[str, Any] = {"inbox": [epoch, seq, count + is_new]}
        if is_new:
            changes |= {f"recent/{count % RECENT_IDS}": message_id, **effect}
        self._flash.commit(changes)
        if is_new:
            self._recent = dict.fromkeys(self._flash.under("recent/").values())
        return is_new


def _name(seq: int) -> str:
    return f"out/{seq}"
