"""Which compiler is used, and what is said where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.wasm.toolchain import find_toolchain


def test_zig_is_the_compiler_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROCLAW_COMPILER", raising=False)
    assert find_toolchain().name.startswith("zig ")


def test_clang_of_the_system_is_used_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    toolchain = find_toolchain()
    assert toolchain.name.startswith("clang ")
    assert toolchain.path.is_file()
    assert toolchain.link_command({}, 4096)[0].endswith("wasm-ld")


def test_clang_that_is_not_there_is_said_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        find_toolchain()
    assert caught.value.next_step == "apt-get install clang lld, or leave MICROCLAW_COMPILER out"


def test_unknown_compiler_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "tcc")
    with pytest.raises(ConfigError, match="MICROCLAW_COMPILER=tcc") as caught:
        find_toolchain()
    assert caught.value.next_step == "zig or clang"


def test_the_compiler_follows_the_environment_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCLAW_COMPILER", "zig")
    zig = find_toolchain()
    assert find_toolchain() is zig
    monkeypatch.setenv("MICROCLAW_COMPILER", "clang")
    assert find_toolchain().name.startswith("clang ")
    monkeypatch.setenv("MICROCLAW_COMPILER", "zig")
    assert find_toolchain() is zig
