"""The rate of wrongly accepted and refused programs: own right programs and wrong ones against expectations.

Each program in verdict_programs/ is a right one (NAME.c, .ino or .py) with its expectations, its wiring and its wrong
ones (NAME.toml: the right source with one text replaced). A wrong program counts as refused when it does not build, or
when its trial fails.
`python -m bench.verdict [NAME ...]` prints every program with what decided.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.report import Metric
from microclaw.errors import BuildError, DeviceError
from microclaw.events import ProgramKind
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.building import cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

PROGRAMS = Path(__file__).parent / "verdict_programs"
SUFFIXES = (".c", ".ino", ".py")
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One program; `kind` is empty for a right one, else what is wrong with it."""

    name: str
    kind: str
    source: str
    expect: str
    suffix: str = ".c"
    wiring: Wiring | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    accepted: bool
    why: str


def read_cases(names: Sequence[str] = ()) -> list[Case]:
    """Every right program, its wrong ones behind it. Raises ValueError for a text that is not in the source."""
    cases: list[Case] = []
    for file in sorted(PROGRAMS.glob("*.toml")):
        if names and file.stem not in names:
            continue
        program = _program_of(file)
        source = program.read_text(encoding="utf-8")
        described = tomllib.loads(file.read_text(encoding="utf-8"))
        wiring = None
        if "wiring" in described:
            wiring = parse_wiring(described["wiring"])
        right = Case(file.stem, "", source, described["expect"], program.suffix, wiring)
        cases.append(right)
        for wrong in described["wrong"]:
            if wrong["old"] not in source:
                raise ValueError(f"{file.name}: {wrong['old']!r} is not in the source")
            changed = source.replace(wrong["old"], wrong["new"], 1)
            cases.append(replace(right, kind=wrong["kind"], source=_with_headers(changed)))
    return cases


def _program_of(described: Path) -> Path:
    for suffix in SUFFIXES:
        program = described.with_suffix(suffix)
        if program.is_file():
            return program
    raise ValueError(f"{described.name}: no program lies beside it")


def _with_headers(source: str) -> str:
    needs = "malloc(" in source and "stdlib.h" not in source
    if needs:
        return f"#include <stdlib.h>\n{source}"
    return source


async def judge_cases(cases: Sequence[Case]) -> list[Outcome]:
    turn = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        compile_source = cached_compiler(BuildCache(Path(folder)))

        async def judge(case: Case) -> Outcome:
            board = load_board("virtual")
            kinds: tuple[ProgramKind, ...] = ("wasm",)
            if case.suffix == ".py":
                board = with_micropython(board)
                kinds = ("py",)
            language = program_language(f"program{case.suffix}")
            async with turn:
                try:
                    image = await compile_source(case.source, board, "program", "O3", language, kinds)
                except BuildError as exc:
                    return Outcome(case, False, f"does not build: {exc.message}")
                expectations = parse_expectations(case.expect)
                options = TrialOptions(expectations=expectations, host_s=120, wiring=case.wiring)
                try:
                    trial = await try_image(image, board, options)
                except DeviceError as exc:  # nothing is installed after it; a right program counts as refused too
                    return Outcome(case, False, f"the trial did not end: {exc.message}")
                return Outcome(case, trial.ok, trial.error or trial.proof)

        return list(await asyncio.gather(*(judge(case) for case in cases)))


def measure() -> list[Metric]:
    return metrics(asyncio.run(judge_cases(read_cases())))


def metrics(outcomes: Sequence[Outcome]) -> list[Metric]:
    right = [outcome for outcome in outcomes if not outcome.case.kind]
    wrong = [outcome for outcome in outcomes if outcome.case.kind]
    return [
        Metric("right programs", len(right), ""),
        Metric("right programs accepted", _percent(right), "%", 99.0, at_least=True),
        Metric("wrong programs", len(wrong), ""),
        Metric("wrong programs accepted", _percent(wrong), "%", 2.0),
    ]


def _percent(outcomes: Sequence[Outcome]) -> float:
    return 100 * sum(outcome.accepted for outcome in outcomes) / max(len(outcomes), 1)


def main(names: Sequence[str]) -> None:
    outcomes = asyncio.run(judge_cases(read_cases(names)))
    for outcome in outcomes:
        good = outcome.accepted == (not outcome.case.kind)
        verdict = "accepted" if outcome.accepted else "refused"
        kind = outcome.case.kind or "right"
        print(f"{'   ' if good else '!!!'} {outcome.case.name:20} {kind:30} {verdict:9} {outcome.why.splitlines()[0]}")
    for metric in metrics(outcomes):
        print(f"{metric.name}: {metric.value:g} {metric.unit}")


if __name__ == "__main__":
    main(sys.argv[1:])
