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

PROGRAMS: Final = sorted((Path(__file__).parents[2] / "vectors/network_py").glob("*.py"))
BOARD: Final = load_board("virtual")


@pytest.mark.parametrize("path", PROGRAMS, ids=[path.stem for path in PROGRAMS])
async def test_program_names_its_network_and_does_what_it_should(path: Path, build_py: Build) -> None:
    source = path.read_text(encoding="utf-8")
    image = await build_py(source, board=BOARD)
    assert image.network.text == source.splitlines()[0].removeprefix("# ")
    expectations = parse_expectations(path.with_suffix(".expect").read_text(encoding="utf-8"))
    trial = await try_image(image, BOARD, TrialOptions(expectations=expectations))
    assert [(result.asked.text, result.found) for result in trial.expected if result.trial != "met"] == []
    assert trial.proof == "met in the trial", trial.log
