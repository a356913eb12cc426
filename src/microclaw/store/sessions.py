"""Conversations as JSON lines files, in MimiClaw's format: `<channel>_<chat_id>.jsonl`. Knows no turn and no model.

Only what the person said and the final answers are kept. A message is on the disk when `append` returns; a last line
torn by a power cut is cut off (or, if it only lacks its newline, completed) before the next one is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from microclaw.errors import StoreError

Role: TypeAlias = Literal["user", "assistant"]

DEFAULT_NEWEST: Final = 40
_TAIL_BYTES: Final = 4 * 1024 * 1024  # the newest messages are looked for in this much of a file's end
_MAX_STEM_CHARS: Final = 120
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """`ts` is in whole seconds since 1970, as MimiClaw writes it."""

    role: Role
    content: str
    ts: int


class SessionFiles:
    """The conversations below one folder (mode 0700, files 0600)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writing = asyncio.Lock()

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None:
        """Add messages to a conversation; all of them are synced to the disk when this returns."""
        path = self.path(channel, chat_id)
        async with self._writing:
            await asyncio.to_thread(_append, path, tuple(messages))

    async def load(self, channel: str, chat_id: str, newest: int = DEFAULT_NEWEST) -> tuple[SessionMessage, ...]:
        """The newest messages, oldest first; none for a conversation that never was."""
        path = self.path(channel, chat_id)
        async with self._writing:
            return await asyncio.to_thread(_load, path, newest)

    async def clear(self, channel: str, chat_id: str) -> bool:
        """Forget a conversation; False when there was none."""
        path = self.path(channel, chat_id)
        async with self._writing:
            return await asyncio.to_thread(_remove, path)

    def path(self, channel: str, chat_id: str) -> Path:
        """Where a conversation is kept: never outside of the folder, never shared by two chat ids."""
        if not _CHANNEL.fullmatch(channel):
            raise ValueError(f"not a channel's name: {channel!r}")
        stem = f"{channel}_{quote(chat_id, safe='', errors='surrogatepass')}"
        if len(stem) > _MAX_STEM_CHARS:
            digest = hashlib.sha256(chat_id.encode(errors="surrogatepass")).hexdigest()
            stem = f"{stem[: _MAX_STEM_CHARS - 65]}%{digest}"  # a bare '%' is in no quoted name
        return self.folder / f"{stem}.jsonl"


def _append(path: Path, messages: tuple[SessionMessage, ...]) -> None:
    lines = [
        json.dumps({"role": m.role, "content": m.content, "ts": m.ts}, separators=(",", ":")).encode() + b"\n"
        for m in messages
    ]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "r+b") as file:
            end = _repair(file.fileno())
            file.seek(end)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(path.parent)
    except OSError as exc:
        raise _failed(path, exc) from exc


def _repair(fd: int) -> int:
    """Cut a torn last line off, or give a whole one its newline; returns the file's size then."""
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    if not tail or tail.endswith(b"\n"):
        return size
    last = tail.rfind(b"\n") + 1
    if _parse(tail[last:]) is not None:
        os.pwrite(fd, b"\n", size)
        return size + 1
    _log.warning("a torn last line of %d bytes was cut off a session file", len(tail) - last)
    os.ftruncate(fd, start + last)
    return start + last


def _load(path: Path, newest: int) -> tuple[SessionMessage, ...]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise _failed(path, exc) from exc
    if start:
        del lines[0]
    messages: list[SessionMessage] = []
    for line in reversed(lines):
        if len(messages) >= newest:
            break
        if not line.strip():
            continue
        message = _parse(line)
        if message is None:
            _log.warning("%s: a line that is no message was passed over: %r", path.name, line[:60])
        else:
            messages.append(message)
    return tuple(reversed(messages))


def _parse(line: bytes) -> SessionMessage | None:
    """The message, or None: other programs write these files too, and one bad line must not lose the rest."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    role, content, ts = value.get("role"), value.get("content"), value.get("ts", 0)
    if role not in ("user", "assistant") or not isinstance(content, str) or not isinstance(ts, int):
        return None
    return SessionMessage(role, content, ts)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _failed(path, exc) from exc
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"the session file {path} cannot be used: {exc.strerror}",
        next_step="check its owner and permissions, and the disk's free space",
    )
