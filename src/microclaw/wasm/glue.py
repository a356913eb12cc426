"""Our own C behind the headers, compiled once per compiler into the cache and linked only where a program uses it.

headers/glue is behind microclaw.h, libc what the firmware's lacks, entry and shim call `main` (toolchain.py says when).
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.wasm.archive import write_archive
from microclaw.wasm.process import Processes, in_worker
from microclaw.wasm.toolchain import HEADERS, Toolchain

FOLDERS: Final = ("shim", "entry", "glue", "libc")


@functools.cache
def headers_hash() -> str:
    """Over every header and glue file: part of each key of the cache."""
    digest = hashlib.sha256()
    for path in sorted(HEADERS.rglob("*.[ch]")):
        digest.update(path.relative_to(HEADERS).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


async def build_glue(toolchain: Toolchain, cache_dir: Path) -> dict[str, Path]:
    """A static library for each folder, compiled unless the cache has it; safe when several do it at once."""
    sources = {folder: sorted((HEADERS / folder).glob("*.c")) for folder in FOLDERS}
    key = hashlib.sha256(repr((toolchain.glue_command([]), toolchain.name, headers_hash())).encode()).hexdigest()[:24]
    place = cache_dir / f"glue-{key}"
    libraries = {folder: place / f"{folder}.a" for folder in sources}
    if not all(path.is_file() for path in libraries.values()):
        await in_worker(partial(_compile, toolchain, sources, cache_dir, place))
    return libraries


def _compile(
    toolchain: Toolchain, sources: dict[str, list[Path]], cache_dir: Path, place: Path, processes: Processes
) -> None:
    """Compile aside, then move each library into place by itself: a second builder only replaces equal files."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".glue-") as work:
            for folder, files in sources.items():
                _compile_folder(toolchain, files, Path(work, folder), processes)
            place.mkdir(mode=0o700, exist_ok=True)
            for folder in sources:
                Path(work, folder, "library").replace(place / f"{folder}.a")
    except OSError as exc:
        step = "free space there, or set MICROCLAW_HOME to a folder that can be written"
        raise ConfigError(f"the build cache {cache_dir} cannot be written: {exc}", next_step=step) from exc


def _compile_folder(toolchain: Toolchain, files: list[Path], work: Path, processes: Processes) -> None:
    work.mkdir()
    finished = processes.run(toolchain.glue_command(files), work)
    if finished.returncode != 0:
        raise ConfigError(
            f"{toolchain.name} cannot compile microclaw's own {work.name}: {finished.output[:500]}",
            next_step="install the version of ziglang that microclaw asks for",
        )
    objects = {f"{file.stem}.o": (work / f"{file.stem}.o").read_bytes() for file in files}
    (work / "library").write_bytes(write_archive(objects))
