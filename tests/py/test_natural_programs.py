"""Programs as people and models write them: refused at the line that says why, or doing what they did before.

INDEX.tsv says what is expected of each: "ok" runs the original and the rewritten one on MicroPython's unix port over
one simulated board with a virtual clock, and both must do and say the same; "alone" runs only the rewritten one, where
the original needs a real chip; "compiled" has native code of a chip and is not run; "refused N" is refused at line N.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "tests/vectors/natural_py"
MICROPYTHON: Final = ROOT / ".micropython/bin/micropython"
MODULES: Final = (ROOT / "tests/py/device", ROOT / "src/microclaw/virtual/py/modules", ROOT / "firmware/fw")
DRIFT_MS: Final = (
    15  # one more round of a loop that polls every 10 ms: the rewritten program looks at the clock oftener
)
PULSE_MS: Final = 5  # what is shorter must keep its length: servos and bit patterns
PULSE_DRIFT_MS: Final = 0.5
ALONE: Final = json.loads((PROGRAMS / "alone.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    expected: str
    board_ms: str
    pins: tuple[str, ...]

    @property
    def source(self) -> str:
        return (PROGRAMS / f"{self.name}.py").read_text(encoding="utf-8")


def _rows() -> list[Row]:
    lines = (PROGRAMS / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [Row(name, expected, ms, tuple(pins.split())) for name, expected, ms, pins in cells]


def _named(*kinds: str) -> pytest.MarkDecorator:
    rows = [row for row in _rows() if row.expected.split()[0] in kinds]
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def _run(how: str, folder: Path, row: Row, cwd: Path) -> dict[str, Any]:
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh has not been run")
    path = ":".join([*map(str, MODULES), ".frozen"])
    command = [str(MICROPYTHON), str(MODULES[0] / "run.py"), how, str(folder), row.name, row.board_ms, *row.pins]
    environment = {**os.environ, "MICROPYPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=cwd)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not answer["how"].startswith("raised"), done.stderr
    return answer


def _gaps(told: list[list[Any]]) -> list[float]:
    """The time from each to the next, in ms."""
    times = [0, *(one[0] for one in told)]
    return [b - a for a, b in pairwise(times)]


def test_every_program_is_in_the_index() -> None:
    assert {row.name for row in _rows()} == {path.stem for path in PROGRAMS.glob("*.py")}
    assert len(_rows()) >= 60


@_named("refused")
async def test_program_is_refused_at_its_line(row: Row, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(row.source, row.name)
    first = next(d for d in caught.value.diagnostics if d.severity == "error")
    assert f"refused {first.line}" == row.expected, first.render()


@_named("ok")
async def test_rewritten_program_does_what_the_original_does(row: Row, build_py: Build, tmp_path: Path) -> None:
    image = await build_py(row.source, row.name)
    (tmp_path / f"{row.name}.mpy").write_bytes(image.mpy)
    was, now = _run("original", PROGRAMS, row, tmp_path), _run("rewritten", tmp_path, row, tmp_path)
    assert was["events"] or was["said"]
    assert now["how"] == was["how"]
    for kind in ("events", "said"):
        assert [what for _, *what in now[kind]] == [what for _, *what in was[kind]]
        gaps = list(zip(_gaps(now[kind]), _gaps(was[kind]), strict=True))
        assert all(abs(a - b) <= (DRIFT_MS if b > PULSE_MS else PULSE_DRIFT_MS) for a, b in gaps), gaps


@_named("alone")
async def test_rewritten_program_does_what_is_meant(row: Row, build_py: Build, tmp_path: Path) -> None:
    image = await build_py(row.source, row.name)
    (tmp_path / f"{row.name}.mpy").write_bytes(image.mpy)
    done = _run("rewritten", tmp_path, row, tmp_path)
    assert [[int(at), *what] for at, *what in done["events"]] == ALONE[row.name]["events"]
    assert [text for _, text in done["said"]] == ALONE[row.name]["said"]


@_named("compiled")
async def test_program_with_native_code_is_built_for_its_chip(row: Row, build_py: Build) -> None:
    assert (await build_py(row.source, row.name)).arch == "xtensawin"
