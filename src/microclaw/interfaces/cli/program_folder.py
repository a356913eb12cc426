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
_MAIN_STEMS: Final = ("main", "sketch")


def program_file(path: Path) -> Path:
    """Return the file of a program that was named by its file or its folder. Raises ConfigError if it is not clear."""
    if not path.is_dir():
        return path
    folder = path
    if (path / PLATFORMIO_FILE).is_file():
        folder = path / "src"
    sources = list_sources(folder, _SUFFIXES)
    for candidates in (_named_as_folder(sources, path), _named_main(sources), _starting(sources)):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise _unclear(path, candidates)
    if len(sources) == 1:
        return sources[0]
    if sources:
        raise _unclear(path, sources)
    text = f"there is no program in {path}"
    raise ConfigError(text, next_step=f"give its file: one of {', '.join(_SUFFIXES)}")


def _named_as_folder(sources: list[Path], folder: Path) -> list[Path]:
    """Return the sketch that the Arduino IDE would open in this folder."""
    name = folder.resolve().name
    return [path for path in sources if path.stem == name and path.suffix in SKETCH_SUFFIXES]


def _named_main(sources: list[Path]) -> list[Path]:
    return [path for path in sources if path.stem in _MAIN_STEMS]


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
