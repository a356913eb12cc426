"""Our own C and C++ behind the headers, compiled once per compiler into the cache, linked where a program uses it.

headers/glue is behind microclaw.h, libc has what the firmware's lacks, entry and shim call `main` (see toolchain.py),
traced is for the builds that only trials run.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from struct import pack
from typing import Final

from microclaw.errors import ConfigError, MicroclawError
from microclaw.host.config.places import cache_folder
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, run_in_worker
from microclaw.programs.wasm.symbols import read_symbols
from microclaw.programs.wasm.toolchain import HEADERS, Toolchain, find_toolchain

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_MAX_NAME: Final = 15


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """A static library; equal members give equal bytes. Names are cut to 15 bytes: only messages show them."""
    index: list[tuple[str, str]] = [
        (symbol, member) for member, data in members.items() for symbol in sorted(read_symbols(data).visible)
    ]
    names = b"".join(symbol.encode() + b"\0" for symbol, _ in index)
    index_bytes = 4 + 4 * len(index) + len(names)
    offsets: dict[str, int] = {}
    position = len(_MAGIC) + _HEADER_BYTES + index_bytes + index_bytes % 2
    for member, data in members.items():
        offsets[member] = position
        position += _HEADER_BYTES + len(data) + len(data) % 2
    table = pack(f">{len(index) + 1}I", len(index), *(offsets[member] for _, member in index)) + names
    parts = [_MAGIC, _member("", table)]
    parts.extend(_member(name[:_MAX_NAME], data) for name, data in members.items())
    return b"".join(parts)


def _member(name: str, data: bytes) -> bytes:
    head = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n"
    return head.encode() + data + b"\n" * (len(data) % 2)


FOLDERS: Final = ("no_usleep", "shim", "entry", "arduino", "glue", "libc", "traced")
_MAX_WORKERS: Final = 8
_WORK_PREFIX: Final = ".glue-"
_POLL_S: Final = 0.02
_BUILD_S: Final = 120.0  # 2 s on an idle machine of two cores; nobody else's code is in it


@functools.cache
def headers_hash() -> str:
    """Over every header and glue file: part of each key of the cache."""
    digest = hashlib.sha256()
    for path in sorted(
        path for path in HEADERS.rglob("*") if path.suffix in ("", ".c", ".h", ".cpp") and path.is_file()
    ):
        digest.update(path.relative_to(HEADERS).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


async def build_glue(toolchain: Toolchain, cache_dir: Path) -> dict[str, Path]:
    """A static library for each folder, compiled unless the cache has it; of several at once, one compiles."""
    commands = [toolchain.glue_command(files) for files in ([], [Path("a.cpp")])]
    key = hashlib.sha256(repr((*commands, toolchain.name, headers_hash())).encode()).hexdigest()[:24]
    libraries = {folder: cache_dir / f"glue-{key}" / f"{folder}.a" for folder in FOLDERS}
    if not _all_there(libraries):
        await run_in_worker(partial(_compile, toolchain, cache_dir, libraries))
    return libraries


def _all_there(libraries: dict[str, Path]) -> bool:
    return all(path.is_file() for path in libraries.values())


def _compile(toolchain: Toolchain, cache_dir: Path, libraries: dict[str, Path], processes: Processes) -> None:
    """Compile in a new folder, then move each library into place: a second builder only replaces equal files."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(cache_dir / "glue.lock", processes):
            if _all_there(libraries):
                return
            for left in cache_dir.glob(f"{_WORK_PREFIX}*"):  # of a builder that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=cache_dir, prefix=_WORK_PREFIX) as work:
                _compile_all(toolchain, Path(work), processes)
                for folder, library in libraries.items():
                    library.parent.mkdir(mode=0o700, exist_ok=True)
                    made = Path(work, f"{folder}.a")
                    names = sorted(f"{path.stem}.o" for path in _sources(folder))
                    objects = {name: read_output(Path(work, folder, name), stage="library") for name in names}
                    made.write_bytes(write_archive(objects))
                    made.replace(library)
    except OSError as exc:
        step = "free space there, or set MICROCLAW_CACHE to a folder that can be written"
        raise ConfigError(f"the build cache {cache_dir} cannot be written: {exc}", next_step=step) from exc


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


def _sources(folder: str) -> list[Path]:
    return [path for path in (HEADERS / folder).iterdir() if path.suffix in (".c", ".cpp")]


def _compile_all(toolchain: Toolchain, work: Path, processes: Processes) -> None:
    """Each folder's files dealt out, the largest first, to one compiler for each processor."""
    workers = min(os.cpu_count() or 1, _MAX_WORKERS)
    commands = []
    for folder in FOLDERS:
        (work / folder).mkdir()
        for suffix in (".c", ".cpp"):
            found = (path for path in _sources(folder) if path.suffix == suffix)
            files = sorted(found, key=lambda path: (-path.stat().st_size, path.name))
            hands = (files[worker::workers] for worker in range(workers))
            commands += [(toolchain.glue_command(hand), work / folder) for hand in hands if hand]
    for (_, directory), finished in zip(commands, processes.run_together(commands, time_limit_s=_BUILD_S), strict=True):
        if finished.timed_out:
            raise ConfigError(
                f"microclaw's own {directory.name} was not compiled within {_BUILD_S:g} s",
                next_step="run it again when this machine is less busy",
            )
        if finished.returncode != 0:
            raise ConfigError(
                f"{toolchain.name} cannot compile microclaw's own {directory.name}: {finished.output[:500]}",
                next_step="install the version of ziglang that microclaw asks for",
            )


if __name__ == "__main__":  # scripts/setup_env.py calls it, so that no program waits for them
    try:
        asyncio.run(build_glue(find_toolchain(), cache_folder(os.environ)))
    except MicroclawError as exc:
        sys.exit(f"error: {exc.message}; next: {exc.next_step}")
