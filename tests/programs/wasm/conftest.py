"""A compiler with a cache of its own, and a virtual board on which programs run one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.virtual.board import Board
from microclaw.virtual.firmware.app_manager import AppManager
from microclaw.virtual.virtual_clock import VirtualClock

CompileC = Callable[..., Awaitable[WasmImage]]


@pytest.fixture(scope="session")
def board() -> BoardProfile:
    return load_board("virtual")


@pytest.fixture(scope="session")
def cache(build_cache: Path) -> BuildCache:
    return BuildCache(build_cache)


@pytest.fixture
def compile_c(board: BoardProfile, cache: BuildCache) -> CompileC:
    async def compile_c(source: str, **options: Any) -> WasmImage:
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


class OnBoard:
    """A virtual board in this process, on a virtual clock, on which programs run one after the other."""

    def __init__(self, profile: BoardProfile, folder: Path) -> None:
        self.clock = VirtualClock()
        self.board = Board(profile, self.clock, storage_dir=folder / "storage")
        self.manager = AppManager(self.board, lambda _type, _payload: None)

    def run(self, image: WasmImage, ms: float, timers: int = 20) -> Ran:
        """Install, let board time pass, remove; everything printed, until after the removal."""
        before = self.board.log().next
        assert self.manager.install(image.name, image.wasm, 8192, timers)
        self.clock.settle()
        assert self.clock.advance(ms).stuck is None
        self.manager.remove(image.name)
        self.board.end_line(image.name)
        page = self.board.log(before)
        assert not page.dropped
        return Ran([line.text for line in page.records if line.app == image.name])


@pytest.fixture
def on_board(board: BoardProfile, tmp_path: Path) -> Iterator[OnBoard]:
    made = OnBoard(board, tmp_path)
    yield made
    made.manager.close()
