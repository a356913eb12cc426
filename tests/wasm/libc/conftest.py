"""A C program on the device (our build, a virtual board in this process) and on the host (its compiler, its libc)."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.wasm.conftest import CompileC

from microclaw.boards.profile import BoardProfile
from microclaw.virtual.board import Board
from microclaw.virtual.firmware.app_manager import AppManager
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wasm.wasm_image import Image

RunImage = Callable[..., list[str]]
RunC = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def run_image(board: BoardProfile, tmp_path: Path) -> Iterator[RunImage]:
    """Run a module for 5 s on a virtual board in this process that is up for `up_ms`: the lines that it printed."""
    clock = VirtualClock()
    virtual = Board(board, clock, storage_dir=tmp_path / "storage")
    manager = AppManager(virtual, lambda _type, _payload: None)

    def run(image: Image, up_ms: float = 0) -> list[str]:
        clock.advance(up_ms)
        assert manager.install("main", image.wasm, 8192)
        clock.settle()
        clock.advance(5000)
        virtual.end_line("main")
        return [record.text for record in virtual.log().records if record.app == "main"]

    yield run
    manager.close()


@pytest.fixture
def run_c(compile_c: CompileC, run_image: RunImage) -> RunC:
    async def run_c(source: str, up_ms: float = 0, **options: Any) -> list[str]:
        return run_image(await compile_c(source, **options), up_ms)

    return run_c


def native(source: str, folder: Path) -> list[str]:
    """The output of the program when the host's compiler builds it for the host, in UTC."""
    (folder / "native.c").write_text(source)
    options = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-ffp-contract=off", "-w"]
    subprocess.run(["clang", *options, "native.c", "-lm", "-o", "native"], cwd=folder, check=True)
    done = subprocess.run([folder / "native"], env={"TZ": "UTC"}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
