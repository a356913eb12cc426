"""The event-driven form of the shipped patterns compiles for the virtual board; tests/patterns runs both forms."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import microclaw.patterns
from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile
from microclaw.patterns.library import pattern_names

PLACE = Path(microclaw.patterns.__path__[0])
NAMES = pattern_names("wasm")


def read(name: str) -> tuple[dict[str, Any], str]:
    data = tomllib.loads((PLACE / f"{name}.toml").read_text())
    return data, (PLACE / data.get("events", data["source"])).read_text()


@pytest.mark.parametrize("name", NAMES)
async def test_pattern_compiles_without_a_warning_and_names_its_pins(
    compile_c: Any, board: BoardProfile, name: str
) -> None:
    data, source = read(name)
    image = await compile_c(source, name=name)
    assert image.warnings == ()
    for parameter in data["parameters"].values():
        if parameter["type"] == "pin":
            assert parameter["default"] in image.pins
            check_pin(board, parameter["default"], parameter["use"])
