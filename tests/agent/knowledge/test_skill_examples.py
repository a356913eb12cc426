"""Every program in a shipped skill and in docs/reference/program-api.md is built and tried as by `try`.

Behind ``` stands the language; `on WORDS` describes another firmware (docs/firmware.md), `refused: REASON` says that it
must not pass. An `expect` block right behind a program (docs/proof.md) has to be met.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from microclaw.agent.knowledge.skills import shipped_skills
from microclaw.errors import BuildError
from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import parse_firmware, with_micropython
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.building import Compile, cached_compiler, program_language
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOARD: Final = load_board("virtual")
ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs/reference/program-api.md"
HEADERS: Final = ROOT / "src/microclaw/programs/wasm/headers"
EVERY_BLOCK: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM: Final = re.compile(r"(c|cpp|ino|python)(?: on (\S+))?(?: refused: (.+))?")


@dataclass(frozen=True, slots=True)
class Example:
    """A program in a skill, and what has to become of it."""

    place: str
    language: str
    source: str
    firmware: tuple[str, ...]
    refused: str | None
    expect: str | None = None

    @property
    def board(self) -> BoardProfile:
        if self.language == "python":
            return with_micropython(BOARD)
        return parse_firmware(self.firmware).applied(BOARD)


def examples() -> list[Example]:
    """Every program of every shipped skill, of the files beside it, and of the page on what a program can call."""
    return [found for path in (*sorted(shipped_skills().rglob("*.md")), PAGE) for found in examples_of(path)]


def examples_of(path: Path) -> list[Example]:
    """The programs of one file, each with the expectations right behind it."""
    text = path.read_text(encoding="utf-8")
    found = list[Example]()
    end = 0  # of the program before
    for block in EVERY_BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        place = f"{path.stem if path == PAGE else path.parent.relative_to(shipped_skills())}:{line}"
        if block[1] == "expect":
            assert text[end : block.start()].strip() == "", f"{place}: no program stands right before it"
            found[-1] = replace(found[-1], expect=block[2])
            continue
        marks = PROGRAM.fullmatch(block[1])
        assert marks is not None, f"{place}: ```{block[1]}: only programs and expectations are tried"
        if marks[2]:
            firmware = tuple(marks[2].split(","))
        else:
            firmware = ()
        found.append(Example(place, marks[1], block[2], firmware, marks[3]))
        end = block.end()
    return found


@pytest.fixture(scope="module")
def compile_source(build_cache: Path) -> Compile:
    return cached_compiler(BuildCache(build_cache))


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.place)
async def test_an_example_of_a_skill_does_what_stands_beside_it(example: Example, compile_source: Compile) -> None:
    try:
        if example.language == "python":
            kinds: tuple[ProgramKind, ...] = ("py",)
        else:
            kinds = ("wasm",)
        language = program_language("example." + ("py" if kinds == ("py",) else example.language))
        image = await compile_source(example.source, example.board, "example", "O3", language, kinds)
    except BuildError as refusal:
        text = "\n".join(diagnostic.render() for diagnostic in refusal.diagnostics)
        assert example.refused is not None, text
        assert example.refused in text
        return
    if example.expect is not None:
        expectations = parse_expectations(example.expect)
    else:
        expectations = None
    trial = await try_image(image, example.board, TrialOptions(expectations=expectations))
    if example.refused is not None:
        assert not trial.ok
        assert example.refused in (trial.error or "")
        return
    assert trial.ok, f"{trial.error}; {trial.log}"
    # Each program with pages is told where they are.
    assert [found for found in image.warnings if not found.message.startswith("no port opens on the board")] == []
    if example.expect is not None:
        assert trial.proof == "met in the trial", [result.line() for result in trial.expected]


async def test_the_page_has_a_program_with_each_call_and_an_expectation_for_each_program() -> None:
    programs = examples_of(PAGE)
    assert not [one.place for one in programs if one.expect is None]
    c = "\n".join(one.source for one in programs if one.language == "c")
    header = re.sub(r"/\*.*?\*/", "", (HEADERS / "microclaw.h").read_text(encoding="utf-8"), flags=re.DOTALL)
    calls = set(re.findall(r"^(?:int|void|unsigned(?: long)?) (\w+)\(", header, re.MULTILINE))
    assert len(calls) > 20
    assert {name for name in calls if not re.search(rf"\b{name}\(", c)} == set()
    python = "\n".join(one.source for one in programs if one.language == "python")
    words = stock_image().modules["microclaw"]
    assert len(words) > 10
    assert {word for word in words if not re.search(rf"\b{word}\b[.(]", python)} == set()
