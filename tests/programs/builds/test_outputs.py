"""The files that a compiler leaves in its folder, as one leaves it that a program took over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.builds.outputs import read_output, write_input
from microclaw.programs.wasm.compile import compile_module


@pytest.mark.parametrize("kind", ["missing", "fifo", "link", "hard link", "folder", "long"])
def test_what_is_no_ordinary_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    made = tmp_path / "program.o"
    secret.write_text("the secret")
    if kind == "fifo":
        os.mkfifo(made)
    elif kind == "link":
        made.symlink_to(secret)
    elif kind == "hard link":
        made.hardlink_to(secret)
    elif kind == "folder":
        made.mkdir()
    elif kind == "long":
        with made.open("wb") as file:
            file.truncate(600 << 20)
    with pytest.raises(BuildError) as caught:
        read_output(made, stage="link")
    assert caught.value.stage == "link"
    assert "the secret" not in str(caught.value)


def test_what_is_written_follows_no_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    place = tmp_path / "compiled.wasm"
    folder = tmp_path / "folder"
    other.write_text("as it was")
    place.symlink_to(other)
    write_input(place, b"code", stage="link")
    assert other.read_text() == "as it was"
    assert read_output(place, stage="link", limit_bytes=4) == b"code"
    folder.mkdir()
    with pytest.raises(BuildError):
        write_input(folder, b"code", stage="link")


async def test_a_compiler_that_was_taken_over_ends_its_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    compiler = tmp_path / "clang"
    cache = BuildCache(tmp_path / "cache")
    for act in ("/usr/bin/mkfifo program.d", "/usr/bin/ln -s /etc/passwd program.d", "/usr/bin/mkfifo program.o"):
        undone = f"[ -e program.d ] && /usr/bin/rm {act.rsplit(maxsplit=1)[1]} && {act}"
        compiler.write_text(f'#!/bin/sh\n/usr/bin/clang "$@" || exit\n{undone}\nexit 0\n')
        compiler.chmod(0o755)
        with pytest.raises(BuildError):
            await compile_module("void on_init(void) {}\n", load_board("virtual"), cache=cache)
