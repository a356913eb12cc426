"""Programs on the network as people write them, in own words: their hosts, and what they do in a trial.

The first line of each says what its text names; beside it are the lines that answer it and that it must meet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from tests.programs.py.conftest import Build

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

FOLDER: Final = Path(__file__).parents[2] / "vectors/network_py"
PROGRAMS: Final = sorted(FOLDER.glob("*.py"))
BOARD: Final = load_board("virtual")


@pytest.mark.parametrize("name", [path.stem for path in PROGRAMS])
async def test_program_names_its_network_and_does_what_it_should(name: str, build_py: Build) -> None:
    source = _read(f"{name}.py")
    image = await build_py(source, board=BOARD)
    assert image.network.text == source.splitlines()[0].removeprefix("# ")
    trial = await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(_read(f"{name}.expect"))))
    assert [(result.asked.text, result.found) for result in trial.expected if result.trial != "met"] == []
    assert trial.proof == "met in the trial", trial.log


def _read(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")
