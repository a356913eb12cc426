"""Our own C and C++ behind the headers, compiled once per compiler into the cache, linked where a program uses it.

headers/glue is behind microclaw.h, libc has what the firmware's lacks, entry and shim call `main` (see toolchain.py),
traced is for the builds that only trials run. The libraries of parts (part_libraries.py) are archives of their own,
each built when the first program includes it: no other program waits for it, and a change of one rebuilds no other.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from struct import pack
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError, MicroclawError
from microclaw.host.config.places import cache_folder
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, run_in_worker
from microclaw.programs.wasm.part_libraries import SOURCES, Library, add_file
from microclaw.programs.wasm.symbols import read_symbols
from microclaw.programs.wasm.toolchain import HEADERS, OWN_FOLDERS, Toolchain, find_toolchain

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_MAX_NAME: Final = 15


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """Return a static library; equal members give equal bytes. Names are cut to 15 bytes: only messages show them."""
    names = b""
    offsets: list[int] = []  # of each symbol's member, behind the index
    body = b""
    for name, data in members.items():
        for symbol in sorted(read_symbols(data).visible):
            names += symbol.encode() + b"\0"
            offsets.append(len(body))
        body += _member(name[:_MAX_NAME], data)
    index_bytes = 4 + 4 * len(offsets) + len(names)
    begin = len(_MAGIC) + _HEADER_BYTES + index_bytes + index_bytes % 2
    table = pack(f">{len(offsets) + 1}I", len(offsets), *(begin + offset for offset in offsets))
    return _MAGIC + _member("", table + names) + body


def _member(name: str, data: bytes) -> bytes:
    head = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n"
    return head.encode() + data + b"\n" * (len(data) % 2)


_MAX_WORKERS: Final = 8
_WORK_PREFIX: Final = ".glue-"
_POLL_S: Final = 0.02
_BUILD_S: Final = 120.0  # 2 s on an idle machine of two cores; nobody else's code is in it


@functools.cache
def headers_hash() -> str:
    """Return a hash over every header and glue file of microclaw's own: part of each key of the cache."""
    digest = hashlib.sha256()
    for path in sorted(HEADERS.rglob("*")):
        if path.suffix in ("", ".c", ".h", ".cpp") and path.is_file():
            add_file(digest, path, HEADERS)
    return digest.hexdigest()


class _Archive(Struct, frozen=True):
    """An archive to be made: its name, its file in the cache, and the library with its sources."""

    name: str
    file: Path
    library: Library

    def sources(self) -> list[Path]:
        return sorted(path for path in self.library.root.iterdir() if path.suffix in SOURCES)


async def build_glue(toolchain: Toolchain, cache_dir: Path, libraries: Sequence[Library] = ()) -> dict[str, Path]:
    """Return the archives of our own folders, then those of these libraries of parts, by name.

    Each is compiled unless the cache has it; of several builders at once, one compiles.
    """
    archives = []
    for folder in OWN_FOLDERS:
        archives.append(_archive(toolchain, cache_dir, folder, Library(HEADERS / folder)))
    for library in libraries:
        archives.append(_archive(toolchain, cache_dir, library.name, library))
    if _missing(archives):
        await run_in_worker(partial(_compile, toolchain, cache_dir, archives))
    return {archive.name: archive.file for archive in archives}


def _archive(toolchain: Toolchain, cache_dir: Path, name: str, library: Library) -> _Archive:
    """Return the archive under its key: a part's changes with that part's files, all change with microclaw's own."""
    of_c = toolchain.glue_command([])
    of_cplusplus = toolchain.glue_command([Path("a.cpp")])
    parts = [repr(of_c), repr(of_cplusplus), toolchain.name, headers_hash()]
    if name not in OWN_FOLDERS:
        parts.append(library.digest())
    key = hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:24]
    return _Archive(name, cache_dir / f"glue-{key}" / f"{name}.a", library)


def _missing(archives: Sequence[_Archive]) -> list[_Archive]:
    return [archive for archive in archives if not archive.file.is_file()]


def _compile(toolchain: Toolchain, cache_dir: Path, archives: Sequence[_Archive], processes: Processes) -> None:
    """Compile in a new folder, then move each archive into place: a second builder only replaces equal files."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(cache_dir / "glue.lock", processes):
            wanted = _missing(archives)
            if not wanted:
                return
            # Of a builder that was killed.
            for folder in cache_dir.glob(f"{_WORK_PREFIX}*"):
                shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=cache_dir, prefix=_WORK_PREFIX) as work:
                _compile_all(toolchain, wanted, Path(work), processes)
                for archive in wanted:
                    _put_in_place(archive, Path(work))
    except OSError as exc:
        step = "free space there, or set MICROCLAW_CACHE to a folder that can be written"
        raise ConfigError(f"the build cache {cache_dir} cannot be written: {exc}", next_step=step) from exc


def _put_in_place(archive: _Archive, work: Path) -> None:
    archive.file.parent.mkdir(mode=0o700, exist_ok=True)
    objects = {}
    for name in sorted(f"{path.stem}.o" for path in archive.sources()):
        objects[name] = read_output(work / archive.name / name, stage="library")
    finished = work / f"{archive.name}.a"
    finished.write_bytes(write_archive(objects))
    finished.replace(archive.file)


@contextmanager
def _alone(lock: Path, processes: Processes) -> Iterator[None]:
    """Wait while another builder works, in this or another process: two at once are slower. Not forever."""
    with lock.open("a") as file:
        deadline = time.monotonic() + _BUILD_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                processes.check_not_cancelled()
                time.sleep(_POLL_S)
        yield


def _compile_all(toolchain: Toolchain, archives: Sequence[_Archive], work: Path, processes: Processes) -> None:
    """Deal out each archive's files, the largest first, to one compiler for each processor."""
    commands = []
    for archive in archives:
        directory = work / archive.name
        directory.mkdir()
        for command in _commands(toolchain, archive):
            commands.append((command, directory))
    results = processes.run_together(commands, time_limit_s=_BUILD_S)
    for (_, directory), result in zip(commands, results, strict=True):
        if result.timed_out:
            raise ConfigError(
                f"microclaw's own {directory.name} was not compiled within {_BUILD_S:g} s",
                next_step="run it again when this machine is less busy",
            )
        if result.returncode != 0:
            raise ConfigError(
                f"{toolchain.name} cannot compile microclaw's own {directory.name}: {result.output[:500]}",
                next_step="install the version of ziglang that microclaw asks for",
            )


def _commands(toolchain: Toolchain, archive: _Archive) -> Iterator[list[str]]:
    """Yield the compilers' commands; none has both C and C++ files."""
    library = archive.library
    roots: tuple[Path, ...] = ()
    if archive.name not in OWN_FOLDERS:
        roots = (library.root, *library.uses)
    workers = min(os.cpu_count() or 1, _MAX_WORKERS)
    for suffix in SOURCES:
        sources = [path for path in archive.sources() if path.suffix == suffix]
        sources.sort(key=lambda path: (-path.stat().st_size, path.name))
        for worker in range(min(workers, len(sources))):
            yield toolchain.glue_command(sources[worker::workers], roots, library.defines)


if __name__ == "__main__":  # scripts/setup_env.py calls it, so that no program waits for them
    try:
        asyncio.run(build_glue(find_toolchain(), cache_folder(os.environ)))
    except MicroclawError as exc:
        sys.exit(f"error: {exc.message}; next: {exc.next_step}")
