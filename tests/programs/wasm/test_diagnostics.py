"""Broken programs, each with the diagnostic that it deserves: vectors/broken/diagnostics_own.tsv."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.wasm.source_language import language_of_file

PLACE = Path(__file__).parents[2] / "vectors" / "broken"


with (PLACE / "diagnostics_own.tsv").open(newline="", encoding="utf-8") as _table:
    ROWS = list(csv.DictReader(_table, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_every_broken_program_has_its_diagnostic() -> None:
    assert {row["file"] for row in ROWS} == {path.name for path in PLACE.glob("b*")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
async def test_broken_program_gets_the_diagnostic_it_deserves(compile_c: Any, row: dict[str, str]) -> None:
    """The stage that refuses it ("warning": none), the first finding, and how many there are: no mere consequences."""
    source = (PLACE / row["file"]).read_text(encoding="utf-8")
    stage, found = await judged(compile_c, source, row["file"])
    if row["line"]:
        line = int(row["line"])
    else:
        line = None
    assert (stage, found[0].line, found[0].severity) == (row["stage"], line, row["severity"])
    assert found[0].source_line == (source.splitlines()[line - 1] if line else None)
    text = "\n".join(diagnostic.render() for diagnostic in found)
    assert [part for part in row["must_contain"].split("|") if part not in text] == []
    assert found[0].hint, "it says what to do"
    assert int(row["findings"] or len(found)) == len(found), text


async def judged(compile_c: Any, source: str, file: str) -> tuple[str, tuple[Diagnostic, ...]]:
    """The stage that refuses a program with what it says, or "warning" with its warnings."""
    try:
        image = await compile_c(source, name=Path(file).stem, language=language_of_file(file))
    except BuildError as error:
        return error.stage, error.diagnostics
    return "warning", image.warnings
