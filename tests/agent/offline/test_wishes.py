"""Wishes and what comes of them (tests/vectors/wishes.txt): each program that is written from its words is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.agent.offline.turns import CHANGING, WORLDS, Chat, Turn, World

from microclaw.agent.language.plain_wording import plain_wording
from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.wired_things import with_wired_things
from microclaw.agent.models.protocol import DeviceContext
from microclaw.agent.offline.rules.reader import read_rules
from microclaw.agent.offline.sentences import english
from microclaw.events import ProgramKind
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image

WISHES = Path(__file__).parents[2] / "vectors" / "wishes.txt"
BOARD = load_board("virtual")
PATTERN = "\nuptime 1 min\n"
"""Ends the expectation of a pattern's program: tests/programs/patterns tries each of them."""


class Wish(NamedTuple):
    deserves: str
    sentence: str
    outcome: str


def wishes(*deserving: str) -> list[Wish]:
    rows = []
    for line in WISHES.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            deserves, sentence, outcome = (part.strip() for part in line.split(" | "))
            if deserves in deserving:
                rows.append(Wish(deserves, sentence, outcome))
    return rows


def world(kind: ProgramKind) -> World:
    device = replace(WORLDS["one board"].context.devices[0], kinds=(kind,), apps=())
    return World(DeviceContext((device,), device))


async def said(sentence: str, kind: ProgramKind = "wasm") -> Turn:
    return await Chat(world(kind)).say(sentence)


def program(turn: Turn) -> dict[str, Any] | None:
    """The arguments of the turn's only act if that installs a program."""
    if [tool for tool, _ in turn.acts] == ["deploy-wasm-app"]:
        return turn.acts[0][1]
    return None


@pytest.mark.parametrize("kind", ["wasm", "py"])
@pytest.mark.parametrize("wish", wishes("done"), ids=lambda wish: wish.sentence)
async def test_each_wish_is_done_and_its_program_meets_its_expectation(
    wish: Wish, kind: ProgramKind, build_cache: Path
) -> None:
    await check_done(wish, kind, build_cache)


@pytest.mark.parametrize("wish", wishes("py"), ids=lambda wish: wish.sentence)
async def test_a_wish_that_needs_python_is_done_there_and_refused_in_c(wish: Wish, build_cache: Path) -> None:
    await check_done(wish, "py", build_cache)
    turn = await said(wish.sentence, "wasm")
    assert not turn.acts
    assert turn.reply.failed_code is not None


async def check_done(wish: Wish, kind: ProgramKind, build_cache: Path) -> None:
    turn = await said(wish.sentence, kind)
    made = program(turn)
    outcome = turn.outcome if made is None else turn.intent
    assert outcome == wish.outcome
    if made is None or PATTERN in made["expect"]:
        return
    compile_source = cached_compiler(BuildCache(build_cache))
    image = await compile_source(made["sourceCode"], BOARD, "wish", "O3", None, (kind,), ())
    trial = await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(made["expect"])))
    assert trial.ok, trial.error
    assert trial.proof == "met in the trial"
    assert not image.warnings
    assert not trial.warnings


@pytest.mark.parametrize("wish", wishes("ask", "no", "tell", "never"), ids=lambda wish: wish.sentence)
async def test_what_is_not_done_is_asked_refused_or_told(wish: Wish) -> None:
    for kind in ("wasm", "py"):
        turn = await said(wish.sentence, kind)
        assert not CHANGING & {tool for tool, _ in turn.calls}, turn.outcome
        if wish.deserves != "never":
            assert wish.outcome in turn.reply.text
            assert (turn.reply.failed_code is None) == (wish.deserves == "tell")


@pytest.mark.parametrize("wish", wishes("done"), ids=lambda wish: wish.sentence)
async def test_the_words_of_a_program_are_read_as_the_same_program(wish: Wish) -> None:
    made = program(await said(wish.sentence))
    if made is not None:
        again = program(await said(wish.outcome))
        assert again is not None
        assert again["sourceCode"] == made["sourceCode"]


def test_a_rule_with_any_word_more_is_no_rule() -> None:
    for wish in wishes("done"):
        words = normalize_quantities(wish.sentence).split(" ")
        if read_rules(" ".join(words)) is None:
            continue
        for strange in ("not", "unless", "garden", "except", "30"):
            for place in range(len(words) + 1):
                changed = " ".join([*words[:place], strange, *words[place:]])
                assert read_rules(changed) is None, changed


def test_a_word_between_names_and_acts_is_never_dropped() -> None:
    for wish in wishes("done"):
        normal = normalize_quantities(wish.sentence)
        if english().parse(normal) is not None or english().parse(plain_wording(normal)) is None:
            continue
        words = normal.split(" ")
        for strange in ("not", "unless", "except", "30"):
            for place in range(len(words)):
                changed = " ".join([*words[:place], strange, *words[place:]])
                parse = english().parse(plain_wording(changed))
                assert parse is None or parse.kind == "unsafe", changed


def test_a_word_beside_what_is_wired_is_never_dropped() -> None:
    for wish in wishes("done"):
        if with_wired_things(wish.sentence) is None:
            continue
        words = wish.sentence.split(" ")
        for strange in ("unless", "except"):
            for place in range(len(words) + 1):
                changed = " ".join([*words[:place], strange, *words[place:]])
                pinned = with_wired_things(changed) or changed
                parse = english().parse(plain_wording(normalize_quantities(pinned)))
                assert parse is None or parse.kind == "unsafe", changed
