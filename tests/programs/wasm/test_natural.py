"""Programs as people and models write them get what each deserves (tests/vectors/natural/INDEX.tsv).

Their names begin with what they are: a and r Arduino (r: refused), e ESP-IDF, w Espressif's WASMachine, p POSIX, c C++.
They were written without a look at what the build supports, and so was what each deserves.

A row says "works" with lines that the log has in this order (\\t is a tab, @ stands for a bar) and with the first edges
of the pins that it names, "fails" in its trial with these lines (and an error at the line), or "refused" at a line with
words of the error.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.proof.trial_plan import parse_input
from microclaw.programs.wasm.compile import compile_module
from microclaw.programs.wasm.source_language import language_of_file

PLACE = Path(__file__).parents[2] / "vectors" / "natural"
NEAR_MS = 60  # a polling loop looks every millisecond and pauses for some; a debounce adds its own
_EDGE = re.compile(r"(\d+)([+-])(\d+)")
with (PLACE / "INDEX.tsv").open(newline="", encoding="utf-8") as index:
    ROWS = list(csv.DictReader(index, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_every_program_has_its_row() -> None:
    sources = {path.name for path in PLACE.iterdir()} - {"INDEX.tsv"}
    assert sources == {row["file"] for row in ROWS}


@pytest.mark.parametrize("row", [r for r in ROWS if r["deserves"] != "refused"], ids=lambda row: row["file"])
async def test_program_does_what_its_row_says(board: BoardProfile, cache: BuildCache, row: dict[str, str]) -> None:
    path = PLACE / row["file"]
    image = await compile_module(
        path.read_text(encoding="utf-8"), board, name=path.stem, language=language_of_file(path.name), cache=cache
    )
    inputs = tuple(parse_input(word) for word in row["inputs"].split())
    trial = await try_image(image, board, TrialOptions(for_ms=5000, inputs=inputs))
    assert trial.ok == (row["deserves"] == "works"), (trial.error, trial.log)
    assert f"line {row['line']}" in (trial.error or "") or not row["line"]
    assert _missing_lines(row, trial) == []
    assert _wrong_edges(row, trial) == []


@pytest.mark.parametrize("row", [r for r in ROWS if r["deserves"] == "refused"], ids=lambda row: row["file"])
async def test_what_cannot_work_is_refused_by_name(compile_c: Any, row: dict[str, str]) -> None:
    path = PLACE / row["file"]
    source = path.read_text(encoding="utf-8")
    with pytest.raises(BuildError) as caught:
        await compile_c(source, name=path.stem, language=language_of_file(path.name))
    first = caught.value.diagnostics[0]
    assert (first.file, first.line) == (row["file"], int(row["line"]))
    assert first.source_line == source.splitlines()[int(row["line"]) - 1]
    text = first.render()
    assert [word for word in row["says"].split("|") if word not in text] == []


def _missing_lines(row: dict[str, str], trial: Trial) -> list[str]:
    """The lines of the row that the log has not, in this order."""
    log = [line.rstrip("\n") for line in trial.log]
    missing = []
    place = 0
    for wanted in filter(None, row["says"].split("|")):
        line = wanted.replace("\\t", "\t").replace("@", "|")
        if line in log[place:]:
            place = log.index(line, place) + 1
        else:
            missing.append(line)
    return missing


def _wrong_edges(row: dict[str, str], trial: Trial) -> list[str]:
    """The row's claims about pins that did not happen; edges are the first of their pin."""
    if row["edges"].startswith("pwm"):
        if int(row["edges"].split()[1]) in trial.pins:
            return []
        return [row["edges"]]
    wrong = []
    seen = dict.fromkeys(range(64), 0)
    for word in row["edges"].split():
        match = _EDGE.fullmatch(word)
        assert match is not None, word
        pin = int(match[1])
        level = int(match[2] == "+")
        t_ms = int(match[3])
        edges = [edge for edge in trial.edges if edge.pin == pin]
        if seen[pin] < len(edges):
            edge = edges[seen[pin]]
        else:
            edge = None
        seen[pin] += 1
        if edge is None or edge.level != level or abs(edge.t_ms - t_ms) > NEAR_MS:
            wrong.append(f"{word}: {edge}")
    return wrong
