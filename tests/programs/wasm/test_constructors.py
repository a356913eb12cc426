"""No file of ours has a global object that needs a constructor: the linker would have it made again at each entry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.part_libraries import library_headers, library_roots
from microclaw.programs.wasm.part_readings import parts_with_reading, program_libraries
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import read_symbols
from microclaw.programs.wasm.toolchain import find_toolchain

MAGIC = b"!<arch>\n"
HEAD_BYTES = 60
SIZE_FIELD = slice(48, 58)
INDEX = b"/"


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each object of an archive."""
    assert archive.startswith(MAGIC)
    at = len(MAGIC)
    while at < len(archive):
        head = archive[at : at + HEAD_BYTES]
        size = int(head[SIZE_FIELD])
        begin = at + HEAD_BYTES
        name = head[:16].rstrip()
        if name != INDEX:
            yield name.decode(), archive[begin : begin + size]
        at = begin + size + size % 2


def with_constructors(archives: dict[str, Path]) -> list[str]:
    names = []
    for library, file in archives.items():
        for name, content in members(file.read_bytes()):
            if read_symbols(content).has_constructors:
                names.append(f"{library}: {name}")
    return names


@pytest.mark.slow
async def test_no_file_of_ours_has_a_global_constructor(build_cache: Path) -> None:
    text = SourceText("all.ino", "", (), (), headers=frozenset(library_headers()))
    libraries = program_libraries(text, parts_with_reading())
    assert len(libraries) == len(library_roots()) + len(parts_with_reading())
    archives = await build_glue(find_toolchain(), build_cache, libraries)
    assert len(archives) > len(libraries)
    assert with_constructors(archives) == []
