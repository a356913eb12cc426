"""Finds, reads and writes the file of a wiring: our own wiring.toml, or to read only, Wokwi's diagram.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from microclaw.hardware.parts.diagram import read_diagram
from microclaw.hardware.parts.wiring import Wiring, parse_wiring, wiring_tables

WIRING_FILE: Final = "wiring.toml"
DIAGRAM_FILE: Final = "diagram.json"
# PlatformIO has programs in src/, ESP-IDF in main/; a diagram lies beside that folder.
_INNER_FOLDERS: Final = ("src", "main")
# The keys of a keypad "#" and "*" are not among these.
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
# A brace, or a list of objects or of nothing: no table's name is that.
_JSON: Final = re.compile(r"\s*(\{|\[\s*[{\]])")


def find_wiring_file(program: Path) -> Path | None:
    """Return the wiring file of a program's file or folder, or None if it has none."""
    for place in places_beside(program):
        for name in (WIRING_FILE, DIAGRAM_FILE):
            file = place / name
            if file.is_file():
                return file
    return None


def places_beside(program: Path) -> list[Path]:
    """Return the folders in which the files of a program's file or folder lie that are none of its source.

    It is the program's own, then the parent of a folder named src or main.
    """
    folder = program.absolute()
    if not folder.is_dir():
        folder = folder.parent
    if folder.name in _INNER_FOLDERS:
        return [folder, folder.parent]
    return [folder]


def read_wiring_text(text: str) -> Wiring:
    """Read a wiring's text: a diagram.json, or what is JSON as it is, begins as TOML never does.

    Raises ConfigError or UnknownName.
    """
    # Some editors put a byte order mark before the text.
    text = text.removeprefix("\ufeff")
    if _JSON.match(text):
        return read_diagram(text)
    return parse_wiring(text)


def wiring_text(wiring: Wiring) -> str:
    """Return the wiring as its file, which `parse_wiring` reads."""
    lines = []
    for part_id, table in wiring_tables(wiring).items():
        lines.append(f"[{part_id}]")
        for key, value in table.items():
            # A text of JSON is a text of TOML: a label has no character that one of them cannot have.
            text = json.dumps(value, ensure_ascii=False)
            if not _BARE_KEY.fullmatch(key):
                key = json.dumps(key)
            lines.append(f"{key} = {text}")
        lines.append("")
    return "\n".join(lines)
