"""Every part's example is built and tried, and does what its expectations say. They are found by the parts' folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import parse_firmware, with_micropython
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import part_folders, parts
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_file import DIAGRAM_FILE, read_wiring_text
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

PROGRAMS = (".ino", ".py")
BOARD = load_board("virtual")
EXAMPLES = [file for folder in part_folders() for file in sorted(folder.glob("example.*")) if file.suffix in PROGRAMS]


def read_example(example: Path) -> tuple[str, str]:
    """Return the program and its expectations."""
    return example.read_text(encoding="utf-8"), example.with_suffix(".expect").read_text(encoding="utf-8")


def read_wiring(example: Path) -> Wiring | None:
    """Return the parts that the example needs, or None if the board has them or the program names them."""
    for file in (example.with_suffix(".wiring.toml"), example.with_name(DIAGRAM_FILE)):
        if file.exists():
            return read_wiring_text(file.read_text(encoding="utf-8"))
    return None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.parent.name}{example.suffix}")
async def test_the_example_of_a_part_does_what_stands_beside_it(example: Path, build_cache: Path) -> None:
    source, expected = read_example(example)
    board: BoardProfile = BOARD
    if "<SPI.h>" in source and parts()[example.parent.name].pin("sck") is not None:
        # Stock builds of the firmware have no /dev/spi, and refuse such a sketch.
        board = parse_firmware(("nodes=+spi",)).applied(BOARD)
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if example.suffix == ".py":
        board = with_micropython(BOARD)
        kinds = ("py",)
    compile_source = cached_compiler(BuildCache(build_cache))
    image = await compile_source(source, board, "example", "O3", program_language(example.name), kinds)
    assert image.warnings == ()
    expectations = parse_expectations(expected)
    trial = await try_image(image, board, TrialOptions(expectations=expectations, wiring=read_wiring(example)))
    assert trial.ok, f"{trial.error}; {trial.log}"
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]
