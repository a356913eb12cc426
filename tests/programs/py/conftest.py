"""The board that programs are built for, and a cache of one's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.py.compile import build
from microclaw.programs.py.py_image import PyImage

Build: TypeAlias = Callable[..., Awaitable[PyImage]]


@pytest.fixture(scope="session")
def board() -> BoardProfile:
    return load_board("esp32-devkitc-v4")


@pytest.fixture
def build_py(board: BoardProfile, tmp_path: Path) -> Build:
    """Builds a text for the board; another one can be named."""
    cache = BuildCache(tmp_path / "cache")

    async def built(
        source: str, name: str = "app", board: BoardProfile = board, hosts: tuple[str, ...] = ()
    ) -> PyImage:
        return await build(source, name, board=board, hosts=hosts, cache=cache)

    return built
