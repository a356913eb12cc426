"""Broken programs, each with the diagnostic that it deserves: vectors/broken/diagnostics_own.tsv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.source_language import language_of_file

PLACE = Path(__file__).parents[1] / "vectors" / "broken"


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be said about a file: the stage that refuses it ("warning": none), and about the first finding."""

    file: str
    stage: str
    line: int | None
    severity: str
    must_contain: tuple[str, ...]
    findings: int | None  # how many: what only follows from another one is not told


def rows() -> list[Row]:
    with (PLACE / "diagnostics_own.tsv").open(newline="", encoding="utf-8") as table:
        return [
            Row(
                r["file"],
                r["stage"],
                int(r["line"]) if r["line"] else None,
                r["severity"],
                tuple(r["must_contain"].split("|")),
                int(r["findings"]) if r["findings"] else None,
            )
            for r in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


ROWS = rows()


def test_every_broken_program_has_its_diagnostic() -> None:
    assert {row.file for row in ROWS} == {path.name for path in PLACE.glob("b*")}
    assert len(ROWS) >= 90


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
async def test_broken_program_gets_the_diagnostic_it_deserves(compile_c: Any, row: Row) -> None:
    source = (PLACE / row.file).read_text(encoding="utf-8")
    stage, found = await judged(compile_c, source, row.file)
    assert stage == row.stage
    assert (found[0].line, found[0].severity) == (row.line, row.severity)
    assert found[0].source_line == (source.splitlines()[row.line - 1] if row.line else None)
    text = "\n".join(diagnostic.render() for diagnostic in found)
    assert [part for part in row.must_contain if part not in text] == []
    assert found[0].hint, "it says what to do"
    assert row.findings in (None, len(found)), text


async def judged(compile_c: Any, source: str, file: str) -> tuple[str, tuple[Diagnostic, ...]]:
    """The stage that refuses a program with what it says, or "warning" with its warnings."""
    try:
        image = await compile_c(source, name=Path(file).stem, language=language_of_file(file))
    except BuildError as error:
        return error.stage, error.diagnostics
    return "warning", image.warnings
