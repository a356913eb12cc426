"""The libraries of our own C: built once, by one builder, and not waited for by who is cancelled."""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from microclaw.errors import MicroclawError
from microclaw.programs.builds import confinement
from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.toolchain import OWN_FOLDERS, Toolchain, find_toolchain


@dataclass(frozen=True)
class Counted:
    toolchain: Toolchain
    log: Path

    @property
    def starts(self) -> int:
        return len(self.log.read_text().splitlines())


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """A compiler that makes empty objects and notes each start of it, where nothing keeps it from doing so."""
    monkeypatch.setattr(confinement, "detect_confinement", lambda: "none")
    log = tmp_path / "starts"
    script = tmp_path / "compiler"
    each = (
        'for at in "$@"; do case $at in *.c*) name=${at##*/}; printf "\\0asm\\1\\0\\0\\0" > "${name%.*}.o";; esac; done'
    )
    script.write_text(f"#!/bin/sh\necho >> {log}\n{each}\n")
    script.chmod(0o700)
    log.touch()
    return Counted(replace(find_toolchain(), compiler=(str(script),)), log)


async def test_builders_at_once_compile_once(tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    first, second = await asyncio.gather(*(build_glue(counted.toolchain, tmp_path / "cache") for _ in range(2)))
    assert first == second
    assert all(library.is_file() for library in first.values())
    assert counted.starts == len(OWN_FOLDERS)


async def test_waiting_for_another_builder_ends_when_the_build_is_cancelled(tmp_path: Path, counted: Counted) -> None:
    with (tmp_path / "glue.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(build_glue(counted.toolchain, tmp_path), 0.1)
    assert counted.starts == 0


async def test_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path, counted: Counted) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MicroclawError) as caught:
        await build_glue(counted.toolchain, tmp_path / "file")
    assert caught.value.next_step
