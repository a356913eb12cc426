"""The examples of displays with digits show what they write, to the record of a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import FOLDER
from microclaw.hardware.parts.wiring_file import read_wiring_file
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

BOARD: Final = load_board("virtual")

SHOWN: Final = {
    "tm1637": ("06 db 4f 66", "39 5c 5c 38", "40 6d 63 39", "00 00 66 3f"),
    "seven_segment": ("66 06", "66 5b"),
    "seven_segment_595": ("06 5b 66 06", "06 5b 66 5b"),
    "max7219": (
        "3c000038 66000018 603c3c18 60666618 60666618 66666618 3c3c3c3c 00000000",
        "063c0000 0e660000 1e6e0000 66760000 7f660000 06660000 063c0000 00000000",
    ),
}
"""Pictures that each example shows in this order, others may be between them."""


@pytest.mark.parametrize("part", SHOWN)
@pytest.mark.parametrize("ending", [".ino", ".py"])
async def test_an_example_shows_what_it_writes(part: str, ending: str, build_cache: Path) -> None:
    example = FOLDER / part / f"example{ending}"
    board = BOARD
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if ending == ".py":
        board = with_micropython(BOARD)
        kinds = ("py",)
    compile_source = cached_compiler(BuildCache(build_cache))
    source = example.read_text(encoding="utf-8")
    image = await compile_source(source, board, "example", "O3", program_language(example.name), kinds)
    expectations = parse_expectations(example.with_suffix(".expect").read_text(encoding="utf-8"))
    wiring_file = example.with_suffix(".wiring.toml")
    wiring = read_wiring_file(wiring_file) if wiring_file.exists() else None
    trial = await try_image(image, board, TrialOptions(expectations=expectations, wiring=wiring))
    pictures = [shown.screen.data for shown in trial.screens]
    places = [pictures.index(bytes.fromhex(data)) for data in SHOWN[part]]
    assert places == sorted(places)
