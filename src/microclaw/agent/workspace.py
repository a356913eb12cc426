"""Each person's files below a folder of their own, and code in the sandbox over them. No path leads out, and no link.

What the code prints is untrusted text if it may repeat words of others: it had a network or a file, or its turn had
read such text. Telemetry is numbers under short names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta
from msgspec.structs import replace

from microclaw.auth.gate import Effect, Permission
from microclaw.clock import now_ms
from microclaw.devices.registry import Registry
from microclaw.devices.target import find_device
from microclaw.durable import make_folders, read_limited, replace_file
from microclaw.errors import StoreError, ToolFailed, ToolRetry
from microclaw.events import Evidence, ResultFile
from microclaw.knowledge.memory import OWNER_ID, file_stem
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.store.tasks import TaskLanguage, TaskRow
from microclaw.tasks.operations import check_may_run
from microclaw.tasks.order import MAX_CODE_BYTES, TaskOrder, available_languages, input_lines
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import CSV_HEAD, MAX_POINTS, History, TelemetryHistory, csv_lines, unit_of
from microclaw.text import code_lines, count_text, fence_text, moment_text, read_duration_ms

MAX_FILE_BYTES: Final = 256 << 10
MAX_TOTAL_BYTES: Final = 64 << 20
MAX_FILES: Final = 2000
MAX_DEPTH: Final = 8
READ_CHARS: Final = 6000
NAME_CHARS: Final = 40
_PEOPLE: Final = ".people"  # no path names it, as it begins with a dot
_PART: Final = re.compile(r"[\w][\w .()+@=-]{0,99}")


class Workspace:
    """One person's folder, made at the first write. Its methods block: call them in a thread."""

    def __init__(self, root: Path, *person: str) -> None:
        self._root, self._person, self._folder = root, person, root.joinpath(*person)

    def of(self, person: str) -> Workspace:
        """Return the workspace of a person. Call it on the owner's workspace: the folder itself is the owner's."""
        if person == OWNER_ID:
            return self
        return Workspace(self._root, _PEOPLE, file_stem(person))

    def listing(self, path: str) -> list[dict[str, Any]]:
        """Name, size and kind of the files and folders in a folder, by name; only those that the other methods take."""
        found: list[dict[str, Any]] = []
        with _explained(path or "file in the workspace yet"):
            for place in sorted(self._folder_at(_parts(path)).iterdir()):
                known = place.lstat()
                is_named = _PART.fullmatch(place.name)
                if is_named and stat.S_ISDIR(known.st_mode):
                    found.append({"name": place.name, "folder": True})
                elif is_named and stat.S_ISREG(known.st_mode):
                    found.append({"name": place.name, "bytes": known.st_size})
        return found

    def read(self, path: str) -> bytes:
        with _explained(path):
            data = read_limited(self._file_at(path), MAX_FILE_BYTES)
        if data is None:
            raise ToolFailed(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
        return data

    def write(self, path: str, text: str) -> bool:
        """Write the whole text, all or nothing. True when a file was replaced."""
        data = text.encode(errors="replace")
        if len(data) > MAX_FILE_BYTES:
            raise ToolFailed(f"{len(data):,} bytes are too many for a file, {MAX_FILE_BYTES:,} are allowed")
        with _explained(path):
            place = self._file_at(path)
            sizes = list[int]()
            is_there = os.path.lexists(place)
            if is_there and not stat.S_ISREG(place.lstat().st_mode):
                raise ToolFailed(f"{path} is there and is not a file", next_step="choose another name")
            for folder, folders, names in os.walk(self._folder):
                folders[:] = [name for name in folders if name != _PEOPLE]
                sizes += [Path(folder, name).lstat().st_size for name in names]
            if len(sizes) >= MAX_FILES or sum(sizes) + len(data) > MAX_TOTAL_BYTES:
                why = f"the workspace has {len(sizes)} files with {sum(sizes):,} bytes: no room for {len(data):,} more"
                raise ToolFailed(why, next_step="delete what is not needed")
            make_folders(place.parent)
            replace_file(place, data)
        return is_there

    def delete(self, path: str) -> None:
        """Delete a file or an empty folder."""
        with _explained(path):
            place = self._file_at(path)
            if stat.S_ISDIR(place.lstat().st_mode):
                place.rmdir()
            else:
                place.unlink()

    def _file_at(self, path: str) -> Path:
        *folders, name = _parts(path) or [""]
        if not name:
            raise ToolRetry("that names no file", next_step="give a name")
        return self._folder_at(folders) / name

    def _folder_at(self, parts: list[str]) -> Path:
        """ToolFailed where a link is on the way: nobody but the host makes one there meanwhile."""
        for folder in accumulate((*self._person, *parts), Path.joinpath, initial=self._root):
            if folder.is_symlink():
                raise ToolFailed(f"{'/'.join(parts) or 'the workspace'} cannot be used: {folder.name} is a link")
        return folder


class PathParameters(Parameters, kw_only=True):
    path: Annotated[str, Meta(min_length=1, max_length=400, description="Below the workspace, as notes/plants.md.")]


class FolderParameters(Parameters, kw_only=True):
    path: Annotated[
        str, Meta(max_length=400, description="A folder below the workspace; nothing: the workspace itself.")
    ] = ""


class ReadFileParameters(PathParameters, kw_only=True):
    start: Annotated[int, Meta(ge=0, description="The character to begin with, for the rest of a long file.")] = 0


class WriteParameters(PathParameters, kw_only=True):
    text: Annotated[str, Meta(max_length=MAX_FILE_BYTES)]


def workspace_tools(workspace: Workspace) -> tuple[Tool[Any], ...]:
    """Return list-files, read-file, write-file and delete-file for the files of the caller.

    `workspace` is the owner's.
    """
    files = _FileTools(workspace)
    return (*files.reading(), *files.writing())


@dataclass(frozen=True, slots=True)
class _FileTools:
    """The tools of the workspace."""

    workspace: Workspace
    # Only one call writes at a time: it checks the free room, then uses it.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def reading(self) -> tuple[Tool[Any], ...]:
        read = Permission.READ
        text = "List a folder of the person's own workspace."
        return (
            Tool("list-files", text, FolderParameters, read, Effect.READ, self._list),
            Tool(
                "read-file",
                "Read a text file of the workspace.",
                ReadFileParameters,
                read,
                Effect.READ,
                self._read,
                foreign=True,
            ),
        )

    def writing(self) -> tuple[Tool[Any], ...]:
        return (
            Tool(
                "write-file",
                "Write a text file of the workspace, the whole of it.",
                WriteParameters,
                Permission.ACT,
                Effect.IDEMPOTENT,
                self._write,
                words=lambda request, *_: f"write the file {request.path}",
            ),
            Tool(
                "delete-file",
                "Delete a file of the workspace; it cannot be undone.",
                PathParameters,
                Permission.RISKY,
                Effect.IDEMPOTENT,
                self._delete,
                words=lambda request, *_: f"delete the file {request.path}",
            ),
        )

    async def _list(self, request: FolderParameters, context: ToolContext) -> ToolOutput:
        entries = await asyncio.to_thread(self.workspace.of(context.person_id).listing, request.path)
        # A long name may be untrusted text.
        foreign = any(len(entry["name"]) > NAME_CHARS for entry in entries) or None
        return ToolOutput({"success": True, "files": entries, "count": len(entries)}, foreign=foreign)

    async def _read(self, request: ReadFileParameters, context: ToolContext) -> ToolOutput:
        content = await asyncio.to_thread(self.workspace.of(context.person_id).read, request.path)
        text = content.decode(errors="replace")
        piece = text[request.start : request.start + READ_CHARS]
        end = request.start + len(piece)
        fenced = fence_text(piece, f"file {request.path}")
        fields: dict[str, Any] = {"success": True, "length": len(text), "text": fenced}
        if end < len(text):
            fields["next_start"] = end
        return ToolOutput(fields)

    async def _write(self, request: WriteParameters, context: ToolContext) -> ToolOutput:
        async with self.lock:
            is_replaced = await asyncio.to_thread(
                self.workspace.of(context.person_id).write, request.path, request.text
            )
        return ToolOutput({"success": True, "path": request.path, "replaced": is_replaced})

    async def _delete(self, request: PathParameters, context: ToolContext) -> ToolOutput:
        async with self.lock:
            await asyncio.to_thread(self.workspace.of(context.person_id).delete, request.path)
        return ToolOutput({"success": True, "deleted": request.path})


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or len(parts) > MAX_DEPTH or not all(_PART.fullmatch(part) for part in parts):
        raise ToolRetry(
            f"{path[:100]!r} is not a path below the workspace",
            next_step="letters, digits, spaces and ._-()+@= , parts with / between, none beginning with a dot",
        )
    return parts


@contextlib.contextmanager
def _explained(shown: str) -> Iterator[None]:
    """Inside, an error of the system is one of the tool's."""
    try:
        yield
    except FileNotFoundError as exc:
        raise ToolFailed(f"there is no {shown}", next_step="list-files shows what is there") from exc
    except OSError as exc:
        raise ToolFailed(f"{shown} cannot be used: {exc.strerror or exc}") from exc
    except StoreError as exc:  # a link, a pipe, a folder
        raise ToolFailed(f"{shown} is not a file") from exc


MAX_SHOWN_CHARS: Final = 3_000  # of its output, for the model
MAX_TOLD_DEVICES: Final = 8
MAX_TOLD_SERIES: Final = 16  # of a device
MAX_SENT: Final = 8  # files of one task that go into the chat
MAX_SENT_BYTES: Final = 10 << 20  # of one: what Telegram takes for a photo


class SeriesParameters(Parameters, kw_only=True):
    """A device's telemetry as a CSV file: time, device, key, unit, min, max, mean, count."""

    device: str | None = None
    key: Annotated[str, Meta(max_length=64, description="One series; all of them without it.")] | None = None
    since: Annotated[str, Meta(max_length=20, description="How long ago it begins: 30m, 1h (default), 7d.")] = "1h"
    until: Annotated[str, Meta(max_length=20, description="How long ago it ends.")] | None = None
    file: Annotated[str, Meta(max_length=200, description="Its name there; else telemetry.csv.")] = "telemetry.csv"


class CodeParameters(Parameters, kw_only=True):
    language: TaskLanguage = "python"
    code: Annotated[str, Meta(min_length=1, max_length=MAX_CODE_BYTES)]
    telemetry: Annotated[
        tuple[SeriesParameters, ...],
        Meta(max_length=8, description="Series to read as CSV files; their names: look telemetry.show."),
    ] = ()
    files: Annotated[tuple[str, ...], Meta(max_length=16, description="Workspace files to read.")] = ()
    keep: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Files that it writes; pictures reach the chat.")
    ] = ()
    send: Annotated[bool, Meta(description="Send every kept file, not the pictures alone.")] = False
    seconds: Annotated[float, Meta(gt=0)] | None = None
    allow: Annotated[str, Meta(max_length=32, description="Network: a name in the host's allowlist; asks.")] | None = (
        None
    )


@dataclass(frozen=True, slots=True)
class CodeTool:
    """The parts that run-code works with. Whoever may not run code is refused before anything is read."""

    tasks: TaskService
    workspace: Workspace
    devices: Registry
    history: TelemetryHistory

    def tool(self) -> Tool[Any]:
        """run-code."""
        return Tool(
            "run-code",
            "Run code in a sandbox without network: calculate, analyse telemetry, make files. "
            f"Languages: {', '.join(available_languages())}. Python has its standard library.",
            CodeParameters,
            Permission.ACT,
            Effect.READ,  # it changes nothing outside of its own folder, and a stopped turn may end it
            self._run,
            foreign=True,
            required_permission=self._permission,
            words=_words,
            describe=self._describe,
        )

    async def _permission(self, asked: CodeParameters, context: ToolContext) -> Permission:
        check_may_run(self.tasks.roles, context.person_id)
        return Permission.ACT if asked.allow is None else Permission.RISKY  # what it reads may leave this host

    async def _run(self, asked: CodeParameters, context: ToolContext) -> ToolOutput:
        name = check_may_run(self.tasks.roles, context.person_id).name
        order = TaskOrder(
            language=asked.language,
            code=asked.code,
            files=await self._inputs(asked, context),
            keep=asked.keep,
            seconds=asked.seconds,
            person_id=context.person_id,
            asked_by=name,
            allow=asked.allow,
            approval="none needed",
            channel=context.channel,
            chat_id=context.chat_id,
        )
        row = await self.tasks.follow(await self.tasks.submit(order))
        may_quote = context.foreign or asked.allow is not None or bool(asked.files)
        return replace(_output(row, asked, takes_files=context.takes_files), foreign=may_quote)

    async def _describe(self, asked: CodeParameters, context: ToolContext) -> tuple[str, ...]:
        """Return lines about the files and the network hosts for the question.

        The code and the telemetry are arguments, so the question shows them already; telemetry also changes meanwhile.
        """
        given = await self._inputs(replace(asked, telemetry=()), context)
        return await asyncio.to_thread(input_lines, given, await self.tasks.reach(asked.allow))

    async def _inputs(self, asked: CodeParameters, context: ToolContext) -> dict[str, bytes]:
        """Return the files for the code, by name. Raises ToolRetry if two have the same name."""
        read = self.workspace.of(context.person_id).read
        given = [(path, await asyncio.to_thread(read, path)) for path in asked.files]
        given += [(series.file, await self._telemetry(series, context)) for series in asked.telemetry]
        files = dict(given)
        if len(files) < len(given):
            raise ToolRetry("two files have the same name", next_step="give `file` another name")
        return files

    async def _telemetry(self, series: SeriesParameters, context: ToolContext) -> bytes:
        device = find_device(self.devices, context, series.device)
        keys = await self.history.keys(device, series.key)
        since_ms = _ago(series.since)
        if series.until is None:
            until_ms = 0.0
        else:
            until_ms = _ago(series.until)
        if since_ms <= until_ms:
            raise ToolRetry("`since` is not before `until`", next_step='as since "2h", until "1h"')
        now = now_ms() + 1
        span = (int(now - since_ms), int(now - until_ms))
        found = [await self.history.read(device.device_id, (key,), *span, MAX_POINTS) for key in keys]
        if not any(map(_has_points, found)):
            wanted = series.key or "telemetry"
            text = f"{device.name} has no values of {wanted} in that time, so nothing was run"
            raise ToolRetry(text, next_step=await self._series_text())
        return "".join([CSV_HEAD, *(csv_lines(device.name, one.series) for one in found)]).encode()

    async def _series_text(self) -> str:
        """Return a text with the devices' series, each with its unit and the time of its newest value."""
        texts = []
        for device in self.devices.list()[:MAX_TOLD_DEVICES]:
            newest = {value.key: value.at_ms for value in self.history.last(device.device_id)}
            for key in (await self.history.keys(device))[:MAX_TOLD_SERIES]:
                if key in newest:
                    when = f"newest {moment_text(newest[key])}"
                else:
                    when = "older"
                texts.append(f"{device.name} {key} {unit_of(key)} ({when})")
        if texts:
            return f"choose of: {'; '.join(texts)}"
        return "no device has sent telemetry yet"


def _words(asked: CodeParameters, _context: ToolContext, _lines: Sequence[str]) -> str:
    lines = count_text(len(code_lines(asked.code)), "line")
    if asked.allow is None:
        network = "without a network"
    else:
        network = f"with the network of {asked.allow}"
    return f"run {lines} of {asked.language} in the sandbox, {network}"


def _output(row: TaskRow, asked: CodeParameters, *, takes_files: bool) -> ToolOutput:
    if row.ending in ("interrupted", "not_run"):
        raise ToolFailed(f"task {row.number} did not run to its end: {row.reason}", next_step="ask again")
    text = row.output.decode(errors="replace")
    if len(text) <= MAX_SHOWN_CHARS:
        shown = text
    else:
        shown = f"...{text[-MAX_SHOWN_CHARS:]}"
    fields: dict[str, Any] = {
        "success": row.state == "done",
        "task": row.number,
        "ending": row.ending,
        "exit_code": row.exit_code,
        "output": fence_text(shown, f"the output of task {row.number}"),
        "files": [{"name": one.name, "bytes": one.size_bytes} for one in row.files],
    }
    if row.refused:
        fields["not_kept"] = dict(row.refused)
    if row.reason:
        fields["message"] = row.reason
    sent = [
        ResultFile(row.number, one.name, one.media_type, one.size_bytes)
        for one in (row.files if takes_files else ())
        if (asked.send or one.media_type.startswith("image/")) and 0 < one.size_bytes <= MAX_SENT_BYTES
    ][:MAX_SENT]
    if row.files and not takes_files:
        fields["files_at"] = f"/v1/tasks/{row.number}/files/"
    if sent:
        fields["sent_to_chat"] = [one.name for one in sent]
    if row.ending == "ended":
        how = f"exit code {row.exit_code}"
    else:
        how = row.ending.replace("_", " ")
    names = ", ".join(one.name for one in row.files)
    evidence = Evidence("written", f"task {row.number}: {how}{f'; it left {names}' if names else ''}")
    return ToolOutput(fields, (evidence,), files=tuple(sent))


def _has_points(read: History) -> bool:
    return any(series.points for series in read.series)


def _ago(text: str) -> float:
    found = read_duration_ms(text)
    if found is None:
        raise ToolRetry(f"{text[:40]!r} is no length of time", next_step="as 30m, 1h or 7d")
    return found
