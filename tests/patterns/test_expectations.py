"""Every pattern meets its own expectations, in both forms and with a light that low switches on."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.patterns.library import Value, fill, load_pattern, pattern_names
from microclaw.wasm import BuildCache, compile_module

BOARD = load_board("virtual")


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("name", pattern_names())
async def test_a_pattern_meets_its_expectations(name: str, blocking: bool, tmp_path: Path) -> None:
    for values in _variants(name):
        program = fill(name, values, blocking=blocking)
        image = await compile_module(program.source, BOARD, name="pattern", cache=BuildCache(tmp_path))
        options = TrialOptions(expectations=parse_expectations(f"{program.expect}\nuptime 1 min"))
        trial = await try_image(image, BOARD, options)
        assert trial.ok, trial.error


def _variants(name: str) -> list[dict[str, Value]]:
    return [{}, {"ON": 0}] if "ON" in load_pattern(name).parameters else [{}]
