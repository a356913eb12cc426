"""Each person's files below a folder of their own: list, read, write, delete. No path leaves it, also by no link."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from microclaw.auth.gate import Effect, Permission
from microclaw.durable import make_folders, read_limited, replace_file
from microclaw.errors import StoreError, ToolFailed, ToolRetry
from microclaw.knowledge.memory import OWNER_ID, file_stem
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import fence_text

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

    def __init__(self, folder: Path, above: tuple[Path, ...] = ()) -> None:
        self._folder = folder
        self._above = above

    def of(self, person: str) -> Workspace:
        """That person's own, given the owner's: the folder itself is the owner's."""
        if person == OWNER_ID:
            return self
        people = self._folder / _PEOPLE
        return Workspace(people / file_stem(person), (self._folder, people))

    def listing(self, path: str) -> list[dict[str, Any]]:
        """Name, size and kind of the files and folders in a folder, by name; only those that the other methods take."""
        found: list[dict[str, Any]] = []
        with _explained(path or "file in the workspace yet"):
            for place in sorted(self._folder_at(_parts(path)).iterdir()):
                known = place.lstat()
                if _PART.fullmatch(place.name) and stat.S_ISDIR(known.st_mode):
                    found.append({"name": place.name, "folder": True})
                elif _PART.fullmatch(place.name) and stat.S_ISREG(known.st_mode):
                    found.append({"name": place.name, "bytes": known.st_size})
        return found

    def read(self, path: str) -> str:
        return self.read_bytes(path).decode(errors="replace")

    def read_bytes(self, path: str) -> bytes:
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
            place, sizes = self._file_at(path), list[int]()
            is_there = os.path.lexists(place)
            if is_there and not stat.S_ISREG(place.lstat().st_mode):
                raise ToolFailed(f"{path} is there and is not a file", next_step="choose another name")
            for folder, folders, names in os.walk(self._folder):
                folders[:] = [name for name in folders if name != _PEOPLE]
                sizes += [Path(folder, name).lstat().st_size for name in names]
            if len(sizes) >= MAX_FILES or sum(sizes) + len(data) > MAX_TOTAL_BYTES:
                raise ToolFailed(
                    f"the workspace has {len(sizes)} files with {sum(sizes):,} bytes: no room for {len(data):,} more",
                    next_step="delete what is not needed",
                )
            make_folders(place.parent)
            replace_file(place, data)
        return is_there

    def delete(self, path: str) -> None:
        """A file, or an empty folder."""
        with _explained(path):
            place = self._file_at(path)
            (place.rmdir if stat.S_ISDIR(place.lstat().st_mode) else place.unlink)()

    def _file_at(self, path: str) -> Path:
        *folders, name = _parts(path) or [""]
        if not name:
            raise ToolRetry("that names no file", next_step="give a name")
        return self._folder_at(folders) / name

    def _folder_at(self, parts: list[str]) -> Path:
        """ToolFailed where a link is on the way: nobody but the host makes one there meanwhile."""
        inner = accumulate(parts, Path.joinpath, initial=self._folder)
        for folder in (*self._above, *inner):
            if folder.is_symlink():
                raise ToolFailed(f"{'/'.join(parts) or 'the workspace'} cannot be used: {folder.name} is a link")
        return folder


class PathParameters(Parameters, kw_only=True):
    path: Annotated[str, Meta(min_length=1, max_length=400, description="Below the workspace, as notes/plants.md.")]


class FolderParameters(Parameters, kw_only=True):
    path: Annotated[
        str, Meta(max_length=400, description="A folder below the workspace; nothing: the workspace itself.")
    ] = ""


class ReadParameters(PathParameters, kw_only=True):
    start: Annotated[int, Meta(ge=0, description="The character to begin with, for the rest of a long file.")] = 0


class WriteParameters(PathParameters, kw_only=True):
    text: Annotated[str, Meta(max_length=MAX_FILE_BYTES)]


def workspace_tools(workspace: Workspace) -> tuple[Tool[Any], ...]:
    """list-files, read-file, write-file, delete-file: of whoever calls. `workspace` is the owner's."""
    lock = asyncio.Lock()  # one writer: it checks the free room, then uses it

    async def list_files(asked: FolderParameters, context: ToolContext) -> ToolOutput:
        found = await asyncio.to_thread(workspace.of(context.person_id).listing, asked.path)
        foreign = any(len(entry["name"]) > NAME_CHARS for entry in found)  # a long name may be untrusted text
        return ToolOutput({"success": True, "files": found, "count": len(found)}, foreign=foreign)

    async def read_file(asked: ReadParameters, context: ToolContext) -> ToolOutput:
        text = await asyncio.to_thread(workspace.of(context.person_id).read, asked.path)
        piece = text[asked.start : asked.start + READ_CHARS]
        end = asked.start + len(piece)
        fields: dict[str, Any] = {"success": True, "length": len(text), "text": fence_text(piece, f"file {asked.path}")}
        if end < len(text):
            fields["next_start"] = end
        return ToolOutput(fields)

    async def write_file(asked: WriteParameters, context: ToolContext) -> ToolOutput:
        async with lock:
            replaced = await asyncio.to_thread(workspace.of(context.person_id).write, asked.path, asked.text)
        return ToolOutput({"success": True, "path": asked.path, "replaced": replaced})

    async def delete_file(asked: PathParameters, context: ToolContext) -> ToolOutput:
        async with lock:
            await asyncio.to_thread(workspace.of(context.person_id).delete, asked.path)
        return ToolOutput({"success": True, "deleted": asked.path})

    read, act, idle = Permission.READ, Permission.ACT, Effect.READ
    put = "Write a text file of the workspace, the whole of it."
    return (
        Tool("list-files", "List a folder of the person's own workspace.", FolderParameters, read, idle, list_files),
        Tool("read-file", "Read a text file of the workspace.", ReadParameters, read, idle, read_file, foreign=True),
        Tool(
            "write-file",
            put,
            WriteParameters,
            act,
            Effect.IDEMPOTENT,
            write_file,
            words=lambda asked, *_: f"write the file {asked.path}",
        ),
        Tool(
            "delete-file",
            "Delete a file of the workspace; it cannot be undone.",
            PathParameters,
            Permission.RISKY,
            Effect.IDEMPOTENT,
            delete_file,
            words=lambda asked, *_: f"delete the file {asked.path}",
        ),
    )


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
