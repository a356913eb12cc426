"""A C program on the device (our build, a virtual board in this process) and on the host (its compiler, its libc)."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.programs.wasm.conftest import CompileC, OnBoard

RunC = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def run_c(compile_c: CompileC, on_board: OnBoard) -> RunC:
    """Build a program and run it for 5 s on a board that is up for `up_ms`: the lines that it printed."""

    async def run_c(source: str, up_ms: float = 0, **options: Any) -> list[str]:
        image = await compile_c(source, **options)
        on_board.clock.advance(up_ms)
        return on_board.run(image, 5000).all

    return run_c


def native(source: str, folder: Path) -> list[str]:
    """The output of the program when the host's compiler builds it for the host, in UTC."""
    (folder / "native.c").write_text(source)
    options = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-ffp-contract=off", "-w"]
    subprocess.run(["clang", *options, "native.c", "-lm", "-o", "native"], cwd=folder, check=True)
    done = subprocess.run([folder / "native"], env={"TZ": "UTC"}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
