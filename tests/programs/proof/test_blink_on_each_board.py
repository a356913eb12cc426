"""The blink pattern, compiled for and tried on every board of the profiles: on its plain LED, else on a free pin."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.patterns.library import fill
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.compile import compile_module


@pytest.mark.parametrize("board_id", board_ids())
async def test_blink_lights_first_and_then_changes_each_half_second(board_id: str, build_cache: Path) -> None:
    board = load_board(board_id)
    led = board.led if board.led is not None and board.led.kind == "simple" else None
    pin, on = (led.pin, led.active_level) if led is not None else (board.usable_pins("output")[0], 1)
    source = fill("blink", {"PIN": pin, "ON": on}).source
    image = await compile_module(source, board, name="blink", cache=BuildCache(build_cache))
    trial = await try_image(image, board, TrialOptions(for_ms=1700))
    assert trial.ok, trial.error
    assert {edge.pin for edge in trial.edges} == {pin}
    # A pin starts low: lighting by low is no edge.
    levels = [edge.level for edge in trial.edges]
    assert levels == ([1, 0, 1, 0] if on else [1, 0, 1])
    gaps = [b.t_ms - a.t_ms for a, b in zip(trial.edges, trial.edges[1:], strict=False)]
    assert all(490 <= gap <= 510 for gap in gaps)
