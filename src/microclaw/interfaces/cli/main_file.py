"""Chooses the file that is the program in a folder: the file with which it begins, in any language. Reads no more."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.sketch_files import (
    PLATFORMIO_FILE,
    SKETCH_SUFFIXES,
    SOURCE_SUFFIXES,
    list_sources,
    read_leniently,
    starts_a_program,
)

_SUFFIXES: Final = (*SKETCH_SUFFIXES, *SOURCE_SUFFIXES, ".py")
_MAX_SHOWN: Final = 6
# Names that say: this is the program. Wokwi calls a sketch sketch.ino.
MAIN_STEMS: Final = ("main", "sketch")


def program_file(path: Path) -> Path:
    """Return the file of a program that was named by its file or its folder. Raises ConfigError if it is not clear."""
    if not path.is_dir():
        return path
    folders = [path, path / "src"]
    if (path / PLATFORMIO_FILE).is_file():
        folders = [path / "src"]
    sources: list[Path] = []
    for folder in folders:
        # What lies directly in the folder comes first; src has the program of a folder that has none.
        programs = _list_programs(folder)
        sources = sources or programs
        for candidates in _named(programs, path.resolve().name):
            if candidates:
                return _only(candidates, path)
    return _only(_starting(sources) or sources, path)


def _list_programs(folder: Path) -> list[Path]:
    return [path for path in list_sources(folder, _SUFFIXES) if path.name != "__init__.py"]


def _named(sources: list[Path], folder_name: str) -> tuple[list[Path], ...]:
    """Return the sources whose names say that they are the program, in the order in which they do.

    First is the sketch that the Arduino IDE would open in this folder.
    """
    named_as_folder = [path for path in sources if path.stem == folder_name]
    sketches = [path for path in named_as_folder if path.suffix in SKETCH_SUFFIXES]
    named_main = [path for path in sources if path.stem in MAIN_STEMS]
    return sketches, named_main, named_as_folder


def _only(sources: list[Path], folder: Path) -> Path:
    """Return the only one of the sources. Raises ConfigError if there are more, or none."""
    if len(sources) == 1:
        return sources[0]
    if sources:
        raise _unclear(folder, sources)
    text = f"there is no program in {folder}"
    raise ConfigError(text, next_step=f"give its file: one of {', '.join(_SUFFIXES)}")


def _starting(sources: list[Path]) -> list[Path]:
    """Return the sources of C and C++ that have a function with which a program begins."""
    starting = []
    for path in sources:
        if path.suffix != ".py" and starts_a_program(read_leniently(path)):
            starting.append(path)
    return starting


def _unclear(folder: Path, candidates: list[Path]) -> ConfigError:
    names = [path.name for path in candidates[:_MAX_SHOWN]]
    if len(candidates) > _MAX_SHOWN:
        names.append("...")
    text = f"{folder} has several programs: {', '.join(names)}"
    return ConfigError(text, next_step=f"name one: microclaw run {shlex.quote(str(candidates[0]))}")
