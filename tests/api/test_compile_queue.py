"""Compilers are few at a time, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.apps.conftest import make_image

from microclaw.api.compile_routes import MAX_WAITING, MAX_WAITING_OF_PERSON, PARALLEL_COMPILERS, CompileQueue
from microclaw.apps.building import ProgramLanguage
from microclaw.auth.people import OWNER
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

    async def one(person_id: str | None = None) -> None:
        await queue.compile("x", board, name="x", optimization="O3", person_id=person_id)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(PARALLEL_COMPILERS - 1 + MAX_WAITING):
            group.create_task(one())
        await asyncio.sleep(0.05)
        assert running == PARALLEL_COMPILERS - 1  # one place is kept
        with pytest.raises(Overloaded):
            await one()
        group.create_task(one(OWNER.person_id))  # past all of them
        await busy.wait()
        free.set()
    assert peak == PARALLEL_COMPILERS


async def test_one_person_does_not_fill_the_line_of_all() -> None:
    free = asyncio.Event()

    async def slow(
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
    ) -> Image:
        await free.wait()
        return make_image("x")

    queue = CompileQueue(slow)
    board = load_board("virtual")
    refused: list[str] = []

    async def one(person_id: str) -> None:
        try:
            await queue.compile("x", board, name="x", optimization="O3", person_id=person_id)
        except Overloaded:
            refused.append(person_id)
            free.set()  # the last to ask is the first to be refused

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(one("p-gus"))  # it is compiled
        for number in range(MAX_WAITING_OF_PERSON):
            group.create_task(one("p-gus" if number else "p-gus~read-only"))
        group.create_task(one("p-ada"))
        group.create_task(one("p-gus"))
    assert refused == ["p-gus"]
