"""The patterns in Python do what those in C do: their own expectations, tried on the virtual board."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.patterns.test_expectations import AT_THE_ENDS, variants

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import ConfigError
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill, pattern_names
from microclaw.py.compile import build

BOARD = load_board("virtual")


async def tried(source: str, expect: str, folder: Path) -> Trial:
    image = await build(source, "pattern", board=BOARD, cache=BuildCache(folder))
    assert image.warnings == ()
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect)))


@pytest.mark.parametrize("name", pattern_names())
async def test_a_pattern_meets_its_expectations(name: str, tmp_path: Path) -> None:
    for values in variants(name):
        program = fill(name, values, kind="py")
        trial = await tried(program.source, f"{program.expect}\nsoak 20 s", tmp_path)
        assert trial.ok, trial.error


@pytest.mark.parametrize(("name", "values"), AT_THE_ENDS)
async def test_a_pattern_meets_its_expectations_at_the_ends_of_its_ranges(
    name: str, values: dict[str, Value], tmp_path: Path
) -> None:
    program = fill(name, values, kind="py")
    trial = await tried(program.source, f"{program.expect}\nsoak 0 s", tmp_path)
    assert trial.ok, trial.error


WRONG = [
    ("led_color", "(RED, GREEN, BLUE)", "(GREEN, RED, BLUE)"),
    ("led_blink", "sleep_ms(HALF_PERIOD_MS)", "sleep_ms(HALF_PERIOD_MS + 50)"),
    ("rainbow", "(down, up, 0)", "(up, down, 0)"),
    ("led_effects", "i == step % COUNT", "i == step // 2 % COUNT"),
    ("plant_watering", "if soil_mv > DRY_MV", "if soil_mv < DRY_MV"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
async def test_a_wrong_program_does_not_meet_a_patterns_expectations(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    program = fill(name, {}, kind="py")
    assert right in program.source
    trial = await tried(program.source.replace(right, wrong), f"{program.expect}\nsoak 0 s", tmp_path)
    assert not trial.ok
    assert "expected" in (trial.error or "")


def test_a_pattern_for_python_alone_says_so() -> None:
    with pytest.raises(ConfigError):
        fill("led_color", {})
