"""Programs as people write them behave on the virtual board as their transcripts say, whichever compiler made them.

The transcripts of 01 to 19 were taken from a live runtime; those of 20 and up from a native build of the same
source in which a sleep takes no time (INDEX.tsv says what each covers).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module

PLACE = Path(__file__).parents[2] / "vectors" / "programs"
LONGEST_MS = 45_000
with (PLACE / "INDEX.tsv").open(newline="") as index:
    ROWS = list(csv.DictReader(index, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(params=["zig", "clang"])
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiler that is in use; its absence is an error, never a skip."""
    monkeypatch.setenv("MICROCLAW_COMPILER", request.param)
    return str(request.param)


def test_each_program_has_a_row_and_a_transcript() -> None:
    sources = {path.stem for path in PLACE.glob("*.c")}
    assert sources == {row["program"] for row in ROWS} == {path.stem for path in PLACE.glob("*.expected")}


async def test_programs_print_what_their_transcripts_say(
    compiler: str, board: BoardProfile, cache: BuildCache, on_board: Any
) -> None:
    wrong: dict[str, Any] = {}
    for row in ROWS if compiler == "zig" else ROWS[::4]:
        name = row["program"]
        expected = (PLACE / f"{name}.expected").read_text().splitlines()
        image = await compile_module((PLACE / f"{name}.c").read_text(), board, name=name, cache=cache)
        assert image.compiler.startswith(compiler)
        ran = on_board.run(image, LONGEST_MS)
        if row["match"].startswith("prefix"):
            shown = ran.own[: len(expected)]
        else:
            shown = ran.own
        if shown != expected or ran.shim != _end(row["ends"], eventful=image.compiled_bytes is not None):
            wrong[name] = ran.all
    assert wrong == {}


def _end(ends: str, *, eventful: bool) -> list[str]:
    """The shim's lines at the end; nothing where there is none, or no end."""
    if not eventful or ends == "never":
        return []
    if ends.startswith("returns"):
        return [f"ended: main returned {ends.removeprefix('returns').strip() or 0}"]
    return [f"ended: {ends}"]
