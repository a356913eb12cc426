"""The name of a part stands in its folder and nowhere else: what others must know of it they ask the parts for.

Ordinary words that name parts too ("button", "servo") may stand anywhere, but nobody looks such a part up by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import microclaw
from microclaw.hardware.parts.reader import part_folders

SOURCES: Final = Path(microclaw.__file__).parent
ENDINGS: Final = frozenset({".py", ".toml", ".c", ".h", ".cpp", ".ino", ".js", ".html", ".css", ".md", ".json"})
OWN_FOLDER: Final = "hardware/parts/"
ALLOWED: Final[Mapping[str, str]] = {
    "programs/patterns/": "a pattern is a program for a part, with the wiring of that part",
    "agent/knowledge/shipped/": "skills show examples",
    "hardware/boards/micropython/stock_image.toml": "the modules of MicroPython's image have their own names",
    "virtual/py/modules/": "the modules of MicroPython's image have their own names",
    "programs/wasm/headers/sdkconfig.h": "settings have the names that ESP-IDF's examples gave them",
    "agent/offline/intents/": "words that people use for things that have no part in a sentence",
}
BOARD_PROFILE: Final = re.compile(r"hardware/boards/[^/]+\.toml")
"""A board's profile names what is soldered on."""
PART_NAMES: Final = tuple(folder.name for folder in part_folders())
DESIGNATIONS: Final = tuple(name for name in PART_NAMES if re.search(r"\d", name))
"""The names that a maker gave, such as a type number; no sentence has them by chance."""
DESIGNATION: Final = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(DESIGNATIONS)})(?![a-z0-9])", re.IGNORECASE)
LOOK_UP: Final = re.compile(
    rf"""(?:find_part\(|of_part\(|parts\(\)\[|parts\(\)\.get\()\s*["'](?:{"|".join(PART_NAMES)})["']"""
)


def files_outside() -> Iterator[tuple[str, str]]:
    """Yield the files that may not name a part: the path below the package, and the text."""
    for file in sorted(SOURCES.rglob("*")):
        path = file.relative_to(SOURCES).as_posix()
        if file.suffix not in ENDINGS or path.startswith((OWN_FOLDER, *ALLOWED)) or BOARD_PROFILE.fullmatch(path):
            continue
        yield path, file.read_text(encoding="utf-8")


def find_names(expression: re.Pattern[str]) -> list[str]:
    """Return where the expression stands outside of the parts' folders, as "path:line: text"."""
    places = []
    for path, text in files_outside():
        for number, line in enumerate(text.splitlines(), 1):
            match = expression.search(line)
            if match is not None:
                places.append(f"{path}:{number}: {match[0]}")
    return places


def test_no_file_outside_of_a_parts_folder_has_its_designation() -> None:
    assert find_names(DESIGNATION) == []


def test_nobody_looks_a_part_up_by_a_name_of_the_source() -> None:
    assert find_names(LOOK_UP) == []


def test_the_search_finds_what_it_looks_for() -> None:
    """The expressions would find a name that somebody adds."""
    assert DESIGNATION.search('if sensor == "BME280":')
    assert DESIGNATION.search("#include <Adafruit_BME280.h>")
    assert not DESIGNATION.search("a button")
    assert LOOK_UP.search('find_part("button")')
    assert not LOOK_UP.search('row["button"]')


def test_every_exception_is_needed() -> None:
    for path in ALLOWED:
        files = [SOURCES / path]
        if path.endswith("/"):
            files = [file for file in (SOURCES / path).rglob("*") if file.suffix in ENDINGS]
        has_name = False
        for file in files:
            has_name = has_name or DESIGNATION.search(file.read_text(encoding="utf-8")) is not None
        assert has_name, path
