"""Programs as people and models write them: refused at the line that says why, or doing what they did before.

INDEX.tsv says what is expected of each: "ok" is tried on the virtual board and does what does.json has, which is what
the original does on MicroPython without our rewriting; "compiled" has native code of a chip and is not run; "refused N"
is refused at line N.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.proof.trial_plan import parse_input

PROGRAMS: Final = Path(__file__).parents[2] / "vectors/natural_py"
BOARD: Final = load_board("virtual")
DRIFT_MS: Final = 20  # of a loop that polls, and of the board's own first steps
PULSE_MS: Final = 5  # what is shorter must keep its length: servos and bit patterns
PULSE_DRIFT_MS: Final = 1


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    expected: str
    board_ms: str
    inputs: tuple[str, ...]

    @property
    def source(self) -> str:
        return (PROGRAMS / f"{self.name}.py").read_text(encoding="utf-8")


def _rows() -> list[Row]:
    lines = (PROGRAMS / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [Row(name, expected, ms, tuple(inputs.split())) for name, expected, ms, inputs in cells]


def _named(kind: str) -> pytest.MarkDecorator:
    rows = [row for row in _rows() if row.expected.split()[0] == kind]
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def test_every_program_is_in_the_index() -> None:
    assert {row.name for row in _rows()} == {path.stem for path in PROGRAMS.glob("*.py")}


@_named("refused")
async def test_program_is_refused_at_its_line(row: Row, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(row.source, row.name)
    first = next(d for d in caught.value.diagnostics if d.severity == "error")
    assert f"refused {first.line}" == row.expected, first.render()


@_named("ok")
async def test_rewritten_program_does_what_the_original_does(row: Row, build_py: Build) -> None:
    does = json.loads((PROGRAMS / "does.json").read_text(encoding="utf-8"))[row.name]
    inputs = tuple(map(parse_input, row.inputs))
    image = await build_py(row.source, row.name, BOARD)
    trial = await try_image(image, BOARD, TrialOptions(for_ms=int(row.board_ms), inputs=inputs))
    assert trial.ok, trial.error
    assert [line.rstrip("\n") for line in trial.log] == does["log"]
    edges = trial.edges[: len(does["edges"])]
    assert [[edge.pin, edge.level] for edge in edges] == [edge[1:] for edge in does["edges"]]
    was, now = (list(pairwise([0, *times])) for times in ([e[0] for e in does["edges"]], [e.t_ms for e in edges]))
    drifts = [
        (after - before, abs((after - before) - (b - a))) for (before, after), (a, b) in zip(was, now, strict=True)
    ]
    assert all(drift <= (DRIFT_MS if gap > PULSE_MS else PULSE_DRIFT_MS) for gap, drift in drifts), drifts


@_named("compiled")
async def test_program_with_native_code_is_built_for_its_chip(row: Row, build_py: Build) -> None:
    assert (await build_py(row.source, row.name)).arch == "xtensawin"
