"""Each person's files below a folder of their own: list, read, write, delete. No path leaves it, also by no link.

Each part of a path is opened relative to the folder before it, and links are not followed (openat with O_NOFOLLOW), so
nobody can put a link there between the check and the use.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from microclaw.auth.gate import Effect, Permission
from microclaw.errors import ToolFailed, ToolRetry
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
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
        with self._folder_of(_parts(path)) as folder:
            names = sorted(entry.name for entry in os.scandir(folder) if _PART.fullmatch(entry.name))
            kinds = [(name, _stat(name, folder)) for name in names]
        return [
            {"name": name, "folder": True} if stat.S_ISDIR(known.st_mode) else {"name": name, "bytes": known.st_size}
            for name, known in kinds
            if known is not None and (stat.S_ISDIR(known.st_mode) or stat.S_ISREG(known.st_mode))
        ]

    def read(self, path: str) -> str:
        return self.read_bytes(path).decode(errors="replace")

    def read_bytes(self, path: str) -> bytes:
        *folders, name = _file_parts(path)
        with self._folder_of(folders) as folder:
            with _explained(path):
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ToolFailed(f"{path} is not a file")
                data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ToolFailed(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
        return data

    def check_write(self, path: str, text: str) -> None:
        """Raises what `write` refuses of this path and length."""
        size_bytes = len(text.encode(errors="replace"))
        if size_bytes > MAX_FILE_BYTES:
            raise ToolFailed(f"{size_bytes:,} bytes are too many for a file, {MAX_FILE_BYTES:,} are allowed")
        _file_parts(path)
        self._check_room(size_bytes)

    def write(self, path: str, text: str) -> bool:
        """Write the whole text, all or nothing. True when a file was replaced."""
        self.check_write(path, text)
        *folders, name = _file_parts(path)
        with _explained("the workspace"):
            for folder in (*self._above, self._folder):
                folder.mkdir(mode=0o700, exist_ok=True)
        with self._folder_of(folders, make=True) as handle:
            there = _stat(name, handle)
            if there is not None and not stat.S_ISREG(there.st_mode):
                raise ToolFailed(f"{path} is there and is not a file", next_step="choose another name")
            draft = f".draft-{secrets.token_hex(6)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with _explained(path):
                try:
                    with os.fdopen(os.open(draft, flags, 0o600, dir_fd=handle), "wb") as file:
                        file.write(text.encode(errors="replace"))
                    os.rename(draft, name, src_dir_fd=handle, dst_dir_fd=handle)
                except OSError:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(draft, dir_fd=handle)
                    raise
        return there is not None

    def check_delete(self, path: str) -> None:
        """Raises when there is nothing to delete."""
        *folders, name = _file_parts(path)
        with self._folder_of(folders) as folder:
            _found(name, folder, path)

    def delete(self, path: str) -> None:
        """A file, or an empty folder."""
        *folders, name = _file_parts(path)
        with self._folder_of(folders) as folder:
            remove = os.rmdir if stat.S_ISDIR(_found(name, folder, path).st_mode) else os.unlink
            with _explained(path):
                remove(name, dir_fd=folder)

    @contextlib.contextmanager
    def _folder_of(self, parts: list[str], *, make: bool = False) -> Iterator[int]:
        """The folder's descriptor, reached part by part."""
        shown = "/".join(parts)
        with _explained("the workspace", missing="there is no file in the workspace yet"):
            handle = os.open(self._folder, _FOLDER)
        try:
            for part in parts:
                with _explained(shown):
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(part, 0o700, dir_fd=handle)
                    inner = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _check_room(self, size_bytes: int) -> None:
        files = used = 0
        walk = os.fwalk(self._folder, follow_symlinks=False) if self._folder.exists() else ()
        for _, folders, names, folder in walk:
            folders[:] = [name for name in folders if name != _PEOPLE]
            files += len(names)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    used += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
        if files >= MAX_FILES or used + size_bytes > MAX_TOTAL_BYTES:
            raise ToolFailed(
                f"the workspace has {files} files with {used:,} bytes: no room for {size_bytes:,} more",
                next_step="delete what is not needed",
            )


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

    async def check_write(asked: WriteParameters, context: ToolContext) -> None:
        await asyncio.to_thread(workspace.of(context.person_id).check_write, asked.path, asked.text)

    async def check_delete(asked: PathParameters, context: ToolContext) -> None:
        await asyncio.to_thread(workspace.of(context.person_id).check_delete, asked.path)

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
            check=check_write,
            words=lambda asked, *_: f"write the file {asked.path}",
        ),
        Tool(
            "delete-file",
            "Delete a file of the workspace; it cannot be undone.",
            PathParameters,
            Permission.RISKY,
            Effect.IDEMPOTENT,
            delete_file,
            check=check_delete,
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


def _file_parts(path: str) -> list[str]:
    parts = _parts(path)
    if not parts:
        raise ToolRetry("that names no file", next_step="give a name")
    return parts


@contextlib.contextmanager
def _explained(shown: str, *, missing: str = "") -> Iterator[None]:
    """Inside, an error of the system is one of the tool's; `missing` is the text for what is not there."""
    try:
        yield
    except FileNotFoundError as exc:
        raise ToolFailed(missing or f"there is no {shown}", next_step="list-files shows what is there") from exc
    except OSError as exc:  # ELOOP or ENOTDIR: a symbolic link, which is never followed
        raise ToolFailed(f"{shown} cannot be used: {exc.strerror or exc}") from exc


def _found(name: str, folder: int, path: str) -> os.stat_result:
    if (there := _stat(name, folder)) is None:
        raise ToolFailed(f"there is no {path}", next_step="list-files shows what is there")
    return there


def _stat(name: str, folder: int) -> os.stat_result | None:
    """None when it is not there."""
    with _explained(name), contextlib.suppress(FileNotFoundError):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    return None
