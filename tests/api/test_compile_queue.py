"""Compilers are few at a time, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.apps.conftest import make_image

from microclaw.api.compile_routes import MAX_WAITING, PARALLEL_COMPILERS, CompileQueue
from microclaw.apps.building import ProgramLanguage
from microclaw.boards import BoardProfile, load_board
from microclaw.errors import Overloaded
from microclaw.events import ProgramKind
from microclaw.wasm.image import Image


async def test_few_compilers_run_at_once_and_the_line_behind_them_is_bounded() -> None:
    running = peak = 0
    free = asyncio.Event()

    busy = asyncio.Event()

    async def slow(
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
    ) -> Image:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == PARALLEL_COMPILERS:
            busy.set()
        await free.wait()
        running -= 1
        return make_image("x")

    queue = CompileQueue(slow)
    board = load_board("virtual")

    async def one(*, is_owner: bool = False) -> None:
        await queue.compile("x", board, name="x", optimization="O3", is_owner=is_owner)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(PARALLEL_COMPILERS - 1 + MAX_WAITING):
            group.create_task(one())
        await asyncio.sleep(0.05)
        assert running == PARALLEL_COMPILERS - 1  # one place is kept
        with pytest.raises(Overloaded, match="wait to be compiled"):
            await one()
        group.create_task(one(is_owner=True))  # past all of them
        await busy.wait()
        free.set()
    assert peak == PARALLEL_COMPILERS
