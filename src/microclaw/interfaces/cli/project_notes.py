"""Says what to know of a project: which of its libraries are here, for which board it is, what of it is not sent.

The lists (libraries.txt, platformio.ini) name libraries by titles: which of them we have follows from our headers.
Builds nothing.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from microclaw.durable import read_given_text
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.interfaces.cli.sketch_files import (
    PLATFORMIO_FILE,
    SKETCH_SUFFIXES,
    SOURCE_SUFFIXES,
    library_folders,
    list_sources,
    project_folder,
    read_leniently,
)

DATA_FOLDER: Final = "data"  # of sketches, for the files of the board's own file system
WOKWI_LIST: Final = "libraries.txt"
# Texts that a source may include or embed.
_SOURCE_SUFFIXES: Final = (*SKETCH_SUFFIXES, *SOURCE_SUFFIXES, ".py", ".h", ".hpp", ".hh", ".inc", ".def")
_MAX_LIST_BYTES: Final = 64 << 10
_MAX_LIBRARIES: Final = 100
_MAX_TITLE_CHARS: Final = 100
# Of platformio.ini: what may change what a program does.
_IGNORED_KEYS: Final = ("build_flags", "build_src_filter")
_WORD: Final = re.compile(r"[a-z0-9]+")
# What titles have beside the name of the header: "Keypad Arduino Library", "Adafruit Unified Sensor".
_NO_NAMES: Final = frozenset(("library", "lib", "arduino", "unified", "and", "for"))
_CHIP: Final = re.compile(r"esp32(?:[-_]?([schp]\d))?", re.IGNORECASE)


def project_notes(file: Path, board: BoardProfile | None) -> list[str]:
    """Return what to know of the project of a program's file: its libraries, and another board than this one.

    Without a board, nothing is said of it. Raises ConfigError for a list that cannot be read.
    """
    folder = project_folder(file.resolve())
    notes = []
    staying = _staying_files(file, folder)
    if staying:
        notes.append(f"not sent: {', '.join(staying)} (only the program's sources go to the board)")
    libraries = _listed_libraries(folder)
    if libraries:
        notes.append("; ".join(f"{title}: {_place_of(title, file)}" for title in libraries))
    ignored = [key for key in _IGNORED_KEYS if any(_project_values(folder, key))]
    if ignored:
        notes.append(f"{PLATFORMIO_FILE}: {' and '.join(ignored)} are not read; write a -D NAME as #define NAME")
    if board is not None:
        notes += _board_notes(folder, board)
    return notes


def is_title_of(title: str, header: str) -> bool:
    """Return True if a library with this title is that of a header, as "Adafruit NeoPixel" of Adafruit_NeoPixel.h."""
    title = title.removesuffix(".h")
    words = set(_WORD.findall(title.lower()))
    stem = header.removesuffix(".h").lower()
    joined = "".join(_WORD.findall(title.lower()))
    if stem in (joined, f"{joined}lib", f"{joined}display"):
        return True
    wanted = set(_WORD.findall(stem.replace("_", " ")))
    rest = words - wanted - _NO_NAMES
    # One library serves several chips: "Adafruit AB12 and AB34 Library".
    has_number = any(word[-1].isdigit() for word in wanted)
    return wanted <= words and all(has_number and word[-1].isdigit() for word in rest)


def _staying_files(file: Path, folder: Path) -> list[str]:
    """Return the files beside a program that it names in a text, as for opening, and that are none of its sources."""
    text = read_leniently(file)
    staying = []
    for path in (*list_sources(folder, ("",)), *list_sources(folder / DATA_FOLDER, ("",))):
        is_named = re.search(rf"[\"'/]{re.escape(path.name)}[\"']", text) is not None
        if is_named and path.suffix not in _SOURCE_SUFFIXES:
            staying.append(path.relative_to(folder).as_posix())
    return staying


def _place_of(title: str, file: Path) -> str:
    # Imported here, because most programs have no list.
    from microclaw.programs.wasm.source_scanner import header_names

    if any(header.endswith(".h") and is_title_of(title, header) for header in header_names()):
        return "built in"
    for folder in library_folders(file):
        if is_title_of(title, f"{folder.name}.h"):
            return "in the project"
    return "missing"


def _listed_libraries(folder: Path) -> list[str]:
    titles = [*_wokwi_libraries(folder / WOKWI_LIST), *_project_libraries(folder)]
    return list(dict.fromkeys(titles))[:_MAX_LIBRARIES]


def _wokwi_libraries(file: Path) -> Iterator[str]:
    """Yield the libraries of a list with one in each line, `#` before a remark and `@` before a version."""
    if not file.is_file():
        return
    for line in read_given_text(file, _MAX_LIST_BYTES).splitlines():
        title = _without_version(line)
        if title:
            yield title


def _without_version(line: str) -> str:
    """Return what stands before the version or the remark of a line."""
    return re.split("[@#]", line, maxsplit=1)[0].strip()[:_MAX_TITLE_CHARS]


def _project_libraries(folder: Path) -> Iterator[str]:
    """Yield the libraries of `lib_deps`: OWNER/NAME @ VERSION, or the address of a repository."""
    for value in _project_values(folder, "lib_deps"):
        for line in re.split(r"[\n,]", value):
            title = _without_version(line).rstrip("/").rpartition("/")[2].removesuffix(".git")
            if title and not title.startswith((";", "$")):
                yield title


def _board_notes(folder: Path, board: BoardProfile) -> list[str]:
    """Return a note if all boards of the project have another chip than this one."""
    board_types = list(_project_values(folder, "board"))
    chips = [_chip_of(board_type) for board_type in board_types]
    if not board_types or None in chips or board.chip in chips:
        return []
    project_text = f"{PLATFORMIO_FILE} is for {board_types[0]} ({chips[0]})"
    return [f"{project_text}; this board is {board.title} ({board.chip})"]


def _project_values(folder: Path, key: str) -> Iterator[str]:
    """Yield a key's values in the sections of a platformio.ini; none of a file that is no such list."""
    file = folder / PLATFORMIO_FILE
    if not file.is_file():
        return
    parser = configparser.ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read_string(read_given_text(file, _MAX_LIST_BYTES))
    except configparser.Error:
        return
    for section in parser.values():
        if key in section:
            yield section[key].strip()


def _chip_of(board_type: str) -> str | None:
    """Return the chip that a board's type in PlatformIO names, as ESP32-S3 for esp32-s3-devkitc-1; None if none."""
    match = _CHIP.search(board_type)
    if match is None:
        return None
    if match[1]:
        return f"ESP32-{match[1].upper()}"
    return "ESP32"
