"""Each person's files below a folder of their own. No path leads out of it, and no link."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from microclaw.agent.knowledge.memory import OWNER_ID, file_stem
from microclaw.durable import make_folders, read_limited, replace_file
from microclaw.errors import StoreError, ToolFailed, ToolRetry
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import fence_text

MAX_FILE_BYTES: Final = 256 << 10
MAX_TOTAL_BYTES: Final = 64 << 20
MAX_FILES: Final = 2000
MAX_DEPTH: Final = 8
READ_CHARS: Final = 6000
NAME_CHARS: Final = 40
# No path names it, as it begins with a dot.
_PEOPLE: Final = ".people"
_PART: Final = re.compile(r"[\w][\w .()+@=-]{0,99}")


class Workspace:
    """One person's folder, which the first write makes. Its methods block: call them in a thread."""

    def __init__(self, root: Path, *person: str) -> None:
        """`person` are the folders from `root` down to the person's own; none for the owner."""
        self._root = root
        self._person = person
        self._folder = root.joinpath(*person)

    def of(self, person: str) -> Workspace:
        """Return the workspace of a person. Call it on the owner's workspace: the folder itself is the owner's."""
        if person == OWNER_ID:
            return self
        return Workspace(self._root, _PEOPLE, file_stem(person))

    def list_folder(self, path: str) -> list[dict[str, Any]]:
        """Return the files of a folder with their size, and its folders, by name; without names that no path may have.

        Raises ToolFailed, ToolRetry.
        """
        entries: list[dict[str, Any]] = []
        with _tool_errors(path or "file in the workspace yet"):
            for place in sorted(self._folder_at(_parts(path)).iterdir()):
                status = place.lstat()
                may_be_named = _PART.fullmatch(place.name)
                if may_be_named and stat.S_ISDIR(status.st_mode):
                    entries.append({"name": place.name, "folder": True})
                elif may_be_named and stat.S_ISREG(status.st_mode):
                    entries.append({"name": place.name, "bytes": status.st_size})
        return entries

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises ToolFailed, ToolRetry."""
        with _tool_errors(path):
            data = read_limited(self._file_at(path), MAX_FILE_BYTES)
        if data is None:
            raise ToolFailed(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
        return data

    def write(self, path: str, text: str) -> bool:
        """Write the whole text, all or nothing. Return True if a file was replaced.

        Raises ToolFailed if there is no room, ToolRetry.
        """
        data = text.encode(errors="replace")
        if len(data) > MAX_FILE_BYTES:
            raise ToolFailed(f"{len(data):,} bytes are too many for a file, {MAX_FILE_BYTES:,} are allowed")
        with _tool_errors(path):
            place = self._file_at(path)
            exists = os.path.lexists(place)
            if exists and not stat.S_ISREG(place.lstat().st_mode):
                raise ToolFailed(f"{path} exists and is not a file", next_step="choose another name")
            self._check_room(len(data))
            make_folders(place.parent)
            replace_file(place, data)
        return exists

    def delete(self, path: str) -> None:
        """Delete a file or an empty folder. Raises ToolFailed, ToolRetry."""
        with _tool_errors(path):
            place = self._file_at(path)
            if stat.S_ISDIR(place.lstat().st_mode):
                place.rmdir()
            else:
                place.unlink()

    def _check_room(self, size_bytes: int) -> None:
        """Raise ToolFailed if the workspace has no room for one more file of this size."""
        file_count = 0
        total_bytes = 0
        for folder, folders, names in os.walk(self._folder):
            # The owner's workspace contains the folder of the others.
            if _PEOPLE in folders:
                folders.remove(_PEOPLE)
            for name in names:
                file_count += 1
                total_bytes += Path(folder, name).lstat().st_size
        if file_count >= MAX_FILES or total_bytes + size_bytes > MAX_TOTAL_BYTES:
            text = f"the workspace has {file_count} files with {total_bytes:,} bytes: no room for {size_bytes:,} more"
            raise ToolFailed(text, next_step="delete files that you do not need")

    def _file_at(self, path: str) -> Path:
        *folders, name = _parts(path) or [""]
        if not name:
            raise ToolRetry("that path names no file", next_step="give a name")
        return self._folder_at(folders) / name

    def _folder_at(self, parts: list[str]) -> Path:
        """Return the place of a folder. Raises ToolFailed if a link is on the way.

        Only the host writes there, so no link can appear after this check.
        """
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
        entries = await asyncio.to_thread(self.workspace.of(context.person_id).list_folder, request.path)
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
    """Split a path into its names. Raises ToolRetry if it could lead out of the workspace, or is too deep."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or len(parts) > MAX_DEPTH or not all(_PART.fullmatch(part) for part in parts):
        raise ToolRetry(
            f"{path[:100]!r} is not a path below the workspace",
            next_step="letters, digits, spaces and ._-()+@= , parts with / between, none beginning with a dot",
        )
    return parts


@contextlib.contextmanager
def _tool_errors(shown: str) -> Iterator[None]:
    """Raise ToolFailed for an error of the operating system inside. `shown` is the path as the caller named it."""
    try:
        yield
    except FileNotFoundError as exc:
        raise ToolFailed(f"there is no {shown}", next_step="list-files shows what is there") from exc
    except OSError as exc:
        raise ToolFailed(f"{shown} cannot be used: {exc.strerror or exc}") from exc
    # It is a link, a pipe or a folder.
    except StoreError as exc:
        raise ToolFailed(f"{shown} is not a file") from exc
