"""Conversations as JSON lines files, in MimiClaw's format: `<channel>_<chat_id>.jsonl`. Knows no turn and no model.

A host alone has these files; the hosts of a cluster have a table for all of them (store/session_table.py).

Only what the person said and the final answers are kept. A message is on the disk when `append` returns; a last line
torn by a power cut is cut off (or, if it only lacks its newline, completed) before the next one is written. A line of
another person's than the owner's has the person's id, and one with untrusted text is marked: fields that MimiClaw does
not read.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

from microclaw.durable import make_folders, read_limited, replace_file, sync_folder
from microclaw.errors import StoreError, UnknownName
from microclaw.store.sql import Sql

T = TypeVar("T")
Role: TypeAlias = Literal["user", "assistant"]

OWNER: Final = "owner"
DEFAULT_NEWEST: Final = 40
TAIL_BYTES: Final = 4 * 1024 * 1024  # the newest messages are looked for in this much of a file's end
_FIRST_TAIL_BYTES: Final = 64 * 1024
_MAX_STEM_CHARS: Final = 120
MAX_SUMMARY_BYTES: Final = 64 * 1024
SUMMARY: Final = ".summary.json"
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """`ts` is in whole seconds since 1970, as MimiClaw writes it; `person` is whose turn it was part of.

    `tainted_s` is when the untrusted text was read that this one is or may repeat; `question` is what the offline
    dialogue asked with it and did last, as JSON of its own.
    """

    role: Role
    content: str
    ts: int
    person: str = OWNER
    tainted_s: int | None = None
    question: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """A conversation in the list: `name` as `session_name` makes it, `changed_s` when it was last written to."""

    name: str
    size_bytes: int
    changed_s: float


class Sessions(Protocol):
    """Where conversations are kept. A `name` is one as `list` gives it, or its chat alone: UnknownName.

    `is_shared`: they are in the store, for all hosts of a cluster.
    """

    @property
    def is_shared(self) -> bool: ...

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Add messages to a conversation; all of them are kept when this returns."""

    def appending(
        self, channel: str, chat_id: str, messages: Sequence[SessionMessage]
    ) -> Callable[[Sql], object] | None:
        """What adds them inside a transaction of the store; None where they are not in the store."""

    async def load(self, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages, oldest first; none for a conversation that never was."""

    async def clear(self, channel: str, chat_id: str) -> bool:
        """Forget a conversation; False when there was none."""

    async def list(self) -> tuple[SessionEntry, ...]:
        """Every conversation, the one written to last first."""

    async def show(self, name: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages of the conversation of that name."""

    async def remove(self, name: str) -> None:
        """Forget the conversation of that name, and its summary."""

    async def full_name(self, name: str) -> str:
        """As `list` gives it, of that or of its chat alone: "terminal" of terminal_terminal."""

    async def summary(self, channel: str, chat_id: str) -> str:
        """What `keep_summary` kept beside the conversation; "" for nothing."""

    async def keep_summary(self, channel: str, chat_id: str, text: str) -> None:
        """Keep a summary (agent/compaction.py) beside the conversation. It goes with it."""


class SessionFiles:
    """The conversations below one folder (mode 0700, files 0600)."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Add messages to a conversation; all of them are synced to the disk when this returns."""
        await self._alone(self.path(channel, chat_id), _append, tuple(messages))

    def appending(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Files are in no transaction."""

    async def load(self, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages, oldest first; none for a conversation that never was."""
        return await self._alone(self.path(channel, chat_id), _load, newest)

    async def clear(self, channel: str, chat_id: str) -> bool:
        """Forget a conversation; False when there was none."""
        return await self._alone(self.path(channel, chat_id), _remove)

    async def list(self) -> tuple[SessionEntry, ...]:
        """Every conversation, the one written to last first."""
        return await asyncio.to_thread(_list, self.folder)

    async def show(self, name: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages of the conversation of that name, as `list` gives it; UnknownName when there is none."""
        return await self._alone(await self._named(name), _load, newest)

    async def remove(self, name: str) -> None:
        """Forget the conversation of that name, as `list` gives it, and its summary."""
        await self._alone(await self._named(name), _remove)

    def _lock(self, path: Path) -> asyncio.Lock:
        """One conversation's; those of different ones are synced side by side."""
        return self._locks.setdefault(path, asyncio.Lock())

    async def _alone(self, path: Path, work: Callable[..., T], *values: object) -> T:
        async with self._lock(path):
            return await asyncio.to_thread(work, path, *values)

    async def full_name(self, name: str) -> str:
        """As `list` gives it, of that or of its chat alone: "terminal" of terminal_terminal. UnknownName."""
        return (await self._named(name)).stem

    async def _named(self, name: str) -> Path:
        known = await asyncio.to_thread(_list, self.folder)
        return self.folder / f"{chosen_name(name, [one.name for one in known])}.jsonl"

    async def summary(self, channel: str, chat_id: str) -> str:
        """It may be edited by hand."""
        return await asyncio.to_thread(_read_summary, self.summary_path(channel, chat_id))

    async def keep_summary(self, channel: str, chat_id: str, text: str) -> None:
        await asyncio.to_thread(_write_summary, self.summary_path(channel, chat_id), text)

    def summary_path(self, channel: str, chat_id: str) -> Path:
        """Where the summary of a conversation is kept, beside it."""
        return _summary_of(self.path(channel, chat_id))

    def path(self, channel: str, chat_id: str) -> Path:
        """Where a conversation is kept: never outside of the folder."""
        return self.folder / f"{session_name(channel, chat_id)}.jsonl"


def session_name(channel: str, chat_id: str) -> str:
    """A conversation's name: ASCII, a file's on every system, never shared by two chat ids."""
    if not _CHANNEL.fullmatch(channel):
        raise ValueError(f"not a channel's name: {channel!r}")
    name = f"{channel}_{quote(chat_id, safe='', errors='surrogatepass')}"
    if len(name) > _MAX_STEM_CHARS:
        digest = hashlib.sha256(chat_id.encode(errors="surrogatepass")).hexdigest()
        name = f"{name[: _MAX_STEM_CHARS - 65]}%{digest}"  # a bare '%' is in no quoted name
    return name


def chosen_name(name: str, known: Sequence[str]) -> str:
    """The one of the `known` that is meant, by itself or by its chat alone. UnknownName."""
    chats = [one for one in known if name and unquote(one.partition("_")[2]) == name]
    found = [one for one in known if one == name] or chats
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownName(f"{len(found)} conversations are {name[:80]!r}", next_step=f"name one of {', '.join(found)}")
    near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.3))
    hint = f"did you mean {near}? " if near else ""
    raise UnknownName(f"there is no conversation {name[:80]!r}", next_step=f"{hint}see: microclaw session list")


def _append(path: Path, messages: tuple[SessionMessage, ...]) -> None:
    lines = [message_line(message) + b"\n" for message in messages]
    try:
        make_folders(path.parent)
        is_new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "r+b") as file:
            end = _repair(file.fileno())
            file.seek(end)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
    except OSError as exc:
        raise _failed(path, exc) from exc


def message_line(message: SessionMessage) -> bytes:
    """As JSON in ASCII, without the line's end."""
    fields: dict[str, str | int] = {"role": message.role, "content": message.content, "ts": message.ts}
    if message.person != OWNER:
        fields["person"] = message.person
    if message.tainted_s is not None:
        fields["foreign"] = message.tainted_s
    if message.question is not None:
        fields["question"] = message.question
    return json.dumps(fields, separators=(",", ":")).encode()


def _list(folder: Path) -> tuple[SessionEntry, ...]:
    found = []
    try:
        for path in folder.glob("*.jsonl"):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            found.append(SessionEntry(path.stem, status.st_size, status.st_mtime))
    except OSError as exc:
        raise _failed(folder, exc) from exc
    return tuple(sorted(found, key=lambda one: (-one.changed_s, one.name)))


def _repair(fd: int) -> int:
    """Cut a torn last line off, or give a whole one its newline; returns the file's size then."""
    size = os.fstat(fd).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    if not tail or tail.endswith(b"\n"):
        return size
    last = tail.rfind(b"\n") + 1
    if parse_message(tail[last:]) is not None:
        os.pwrite(fd, b"\n", size)
        return size + 1
    _log.warning("a torn last line of %d bytes was cut off a session file", len(tail) - last)
    os.ftruncate(fd, start + last)
    return start + last


def _load(path: Path, newest: int) -> tuple[SessionMessage, ...]:
    try:
        with path.open("rb") as file:
            lines = _last_lines(file.fileno(), newest)
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise _failed(path, exc) from exc
    messages: list[SessionMessage] = []
    for line in reversed(lines):
        if len(messages) >= newest:
            break
        if not line.strip():
            continue
        message = parse_message(line)
        if message is None:
            _log.warning("%s: a line that is no message was passed over: %r", path.name, line[:60])
        else:
            messages.append(message)
    return tuple(reversed(messages))


def _last_lines(fd: int, wanted: int) -> list[bytes]:
    """At least so many whole lines from the file's end, as far as TAIL_BYTES reach."""
    size, window = os.fstat(fd).st_size, _FIRST_TAIL_BYTES
    while True:
        window = min(window, TAIL_BYTES, size)
        lines = os.pread(fd, window, size - window).split(b"\n")
        if window < size:
            del lines[0]
        if window in (size, TAIL_BYTES) or len(lines) > wanted + 1:
            return lines
        window *= 4


def parse_message(line: bytes, owner: str = OWNER) -> SessionMessage | None:
    """The message of a line, or None: other programs write these files too, and one bad line must not lose the rest."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    role, content, ts, person = value.get("role"), value.get("content"), value.get("ts", 0), value.get("person", owner)
    if role not in ("user", "assistant") or not isinstance(content, str) or not isinstance(person, str):
        return None
    if isinstance(ts, float) and ts.is_integer():  # as MimiClaw's JSON library writes large numbers
        ts = int(ts)
    if not isinstance(ts, int):
        return None
    tainted_s, question = value.get("foreign"), value.get("question")
    return SessionMessage(
        role,
        content,
        ts,
        person,
        tainted_s if isinstance(tainted_s, int) else None,
        question if isinstance(question, str) else None,
    )


def _read_summary(path: Path) -> str:
    try:
        data = read_limited(path, MAX_SUMMARY_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise _failed(path, exc) from exc
    return "" if data is None else data.decode(errors="replace")


def _write_summary(path: Path, text: str) -> None:
    try:
        make_folders(path.parent)
        replace_file(path, text.encode(errors="replace"))
    except OSError as exc:
        raise _failed(path, exc) from exc


def _summary_of(path: Path) -> Path:
    return path.with_name(path.stem + SUMMARY)


def _remove(path: Path) -> bool:
    try:
        _summary_of(path).unlink(missing_ok=True)
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _failed(path, exc) from exc
    sync_folder(path.parent)
    return True


def _failed(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"the session file {path} cannot be used: {exc.strerror}",
        next_step="check its owner and permissions, and the disk's free space",
    )
