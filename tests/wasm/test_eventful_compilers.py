"""The choice of the compiler, and the message where it is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from microclaw.boards import load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import ConfigError
from microclaw.wasm.compile import compile_module
from microclaw.wasm.toolchain import compiler_chosen, find_toolchain, list_compilers


@pytest.mark.parametrize("compiler", ["clang", "tcc"])
def test_compiler_that_is_not_there_or_unknown_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str
) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", compiler)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError):
        find_toolchain()


async def test_a_wasi_sdk_is_used_from_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: BuildCache
) -> None:
    for tool in ("clang", "wasm-ld"):  # the system's, in the layout of a wasi-sdk
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(found)
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path))
    with compiler_chosen("wasi-sdk"):
        image = await compile_module("void on_init(void) {}", load_board("virtual"), cache=cache)
    assert image.compiler.startswith("wasi-sdk ")
    assert [one.compiler for one in list_compilers() if one.version] == ["zig", "wasi-sdk", "clang"]
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path / "none"))
