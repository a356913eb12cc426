"""A compiler with a cache of its own, and a virtual board on which programs run one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.virtual_boards.trial_pool import BoardKind, TrialBoard
from microclaw.wasm.compile import compile_module
from microclaw.wasm.wasm_image import Image

CompileC = Callable[..., Awaitable[Image]]


@pytest.fixture(scope="session")
def board() -> BoardProfile:
    return load_board("virtual")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("builds"))


@pytest.fixture
def compile_c(board: BoardProfile, cache: BuildCache) -> CompileC:
    async def compile_c(source: str, **options: Any) -> Image:
        return await compile_module(source, options.pop("board", board), cache=cache, **options)

    return compile_c


@dataclass
class Ran:
    """The output of a program, without and with only what microclaw's shim says beside it; `all` is everything."""

    all: list[str]

    @property
    def own(self) -> list[str]:
        return [line for line in self.all if not line.startswith("microclaw: ")]

    @property
    def shim(self) -> list[str]:
        return [line.removeprefix("microclaw: ") for line in self.all if line.startswith("microclaw: ")]


@dataclass
class OnBoard:
    """A virtual board of the stock kind, a process of its own, on which programs run one after the other."""

    board: TrialBoard

    async def install(self, image: Image, timers: int = 20) -> None:
        await self.board.wasmachine.call(AppInstall(image.name, image.wasm, 8192, timers), 20)

    async def run(self, image: Image, ms: float, timers: int = 20) -> Ran:
        """Install, let board time pass, remove; everything printed, until after the removal."""
        before = (await self.board.control.log()).cursor
        await self.install(image, timers)
        assert (await self.board.control.advance(ms, 60)).stuck is None
        await self.board.wasmachine.call(AppUninstall(image.name), 20)
        return await self.printed(image.name, before)

    async def printed(self, name: str, since: int) -> Ran:
        page = await self.board.control.log(since)
        assert not page.dropped
        return Ran([line.text for line in page.lines if line.app == name])


@pytest.fixture
async def on_board(board: BoardProfile) -> AsyncIterator[OnBoard]:
    async with TrialBoard(BoardKind("virtual"), board) as trial_board:
        yield OnBoard(trial_board)
