"""The table of parts reads only the files of the parts that are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.parts.reader import PartTable, part_folders

GOOD = """
title = "a lamp"
kind = "actuator"
source = "its data sheet"

[[pins]]
role = "pin"
use = "output"
"""


def make_table(folder: Path, **files: str) -> PartTable:
    """Return the table of parts with these files."""
    folders = []
    for name, text in files.items():
        part_folder = folder / name
        part_folder.mkdir()
        (part_folder / "part.toml").write_text(text, encoding="utf-8")
        folders.append(part_folder)
    return PartTable(tuple(folders))


def test_a_part_is_read_when_it_is_asked_for_and_only_once(tmp_path: Path) -> None:
    table = make_table(tmp_path, lamp=GOOD, broken="title = ")
    assert table["lamp"].title == "a lamp"
    (tmp_path / "lamp" / "part.toml").unlink()
    assert table["lamp"] is table["lamp"]
    with pytest.raises(ConfigError, match=r"broken/part\.toml"):
        table["broken"]


def test_names_need_no_file(tmp_path: Path) -> None:
    table = make_table(tmp_path, broken="title = ", lamp="also broken")
    assert list(table) == ["broken", "lamp"]
    assert len(table) == 2
    assert "lamp" in table
    assert "heater" not in table
    assert table.get("heater") is None


def test_every_part_of_the_folder_can_be_read() -> None:
    table = PartTable(part_folders())
    assert [part.name for part in table.values()] == [folder.name for folder in part_folders()]
