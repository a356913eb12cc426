"""The lines that a device's programs printed, with the lines of their source files that they name. Keeps no lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.devices.registry.calls import ConsoleLines, LogLine, LogsRead
from microclaw.devices.registry.device import Device
from microclaw.errors import StoreError, UnknownName
from microclaw.programs.building import stored_program
from microclaw.programs.changes.change_log import Change, ChangeLog, PutApp
from microclaw.programs.source_marks import without_marks
from microclaw.wire.check_lines import LINE_SAID
from microclaw.wire.wasm_binary import HEADER

_FRAME: Final = re.compile(r'\s*File "[^"]+", line \d+(?:, in .+)?')
MAX_PAGES: Final = 16
_LOOK_BACK: Final = 500
_WATCHED_MS: Final = 60_000
"""A version that was installed and reverted by its own failure was there for no longer (verify.py)."""


class SourceLog:
    """`SourceLog(change_log)`: what this host installed and when says in which source a printed line number counts."""

    def __init__(self, change_log: ChangeLog) -> None:
        self._change_log = change_log

    async def read(self, device: Device, cursor: int) -> ConsoleLines:
        """Return the page of the device, with the frames of tracebacks in lines of the program's source files.

        Frames that are not of the program are left out. A line stays as it is if it is not known which version printed
        it.
        """
        page: ConsoleLines = await device.call(LogsRead(cursor=cursor))
        history: Sequence[Change] | None = None
        words: dict[str | None, Callable[[str], str | None] | None] = {None: None}
        lines: list[LogLine] = []
        for line in page.lines:
            text: str | None = line.text
            if line.app is not None and _names_line(line.text):
                if history is None:
                    history = await self._change_log.changes(device.device_id, _LOOK_BACK)
                sha256 = _version_at(history, line.app, line.at_ms)
                if sha256 is not None and sha256 not in words:
                    words[sha256] = await self.words(sha256)
                in_source = words[sha256]
                if in_source is not None:
                    text = in_source(line.text)
            if text or not line.text:
                lines.append(replace(line, text=text or ""))
        return replace(page, lines=tuple(lines))

    async def read_kept(self, device: Device, app: str | None) -> list[LogLine]:
        """Return the lines that the device has kept, of all programs or of one."""
        lines: list[LogLine] = []
        cursor = 0
        for _ in range(MAX_PAGES):
            page = await self.read(device, cursor)
            lines += [line for line in page.lines if app in (None, line.app)]
            # The last page has nothing new.
            if page.cursor == cursor:
                break
            cursor = page.cursor
        return lines

    async def in_source(self, device_id: str, app: str, at_ms: int, text: str) -> tuple[str | None, str]:
        """Return the hash of the version that was there then, and the text in lines of its source.

        None, and the text as it is, if this host did not install it.
        """
        history = await self._change_log.changes(device_id, _LOOK_BACK)
        sha256 = _version_at(history, app, at_ms)
        if sha256 is None:
            return None, text
        words = await self.words(sha256)
        if words is None:
            return sha256, text
        return sha256, words(text) or text

    async def words(self, sha256: str) -> Callable[[str], str | None] | None:
        """Return what puts a board's words about an error of this version into lines of its source.

        None if the source is not known: its line numbers are shown as the board has them.
        """
        try:
            stored = await self._change_log.image(sha256)
            if stored.code.startswith(HEADER):
                return without_marks(stored.source or "")[1].in_words
            return stored_program(stored.code, stored.source, stored.meta).source_traceback
        except (UnknownName, StoreError):
            return None


def _names_line(text: str) -> bool:
    """Return True for a frame of a traceback, and for a program's words about a line."""
    return _FRAME.fullmatch(text) is not None or LINE_SAID.fullmatch(text) is not None


def _version_at(history: Sequence[Change], name: str, at_ms: int | None) -> str | None:
    """Return the hash of the version of a program that was there at a moment, or None if it is not known."""
    versions = set[str]()
    for change in history:
        match change.forward:
            case PutApp(name=app, version=version) if app == name:
                if at_ms is not None and _was_there(change, at_ms):
                    return version.sha256
                versions.add(version.sha256)
    if at_ms is None and len(versions) == 1:
        return versions.pop()
    return None


def _was_there(change: Change, at_ms: int) -> bool:
    """Return True if the program that the change installed was on the board at this moment, unless a later one was."""
    if change.state == "failed" and at_ms > change.at_ms + _WATCHED_MS:
        return False
    return change.at_ms <= at_ms
