"""Fixtures that run C programs on a virtual board in this process: compiled by zig, on a virtual clock."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import Bench, benches

from microclaw.virtual.runtime.app import App

COMPILE_S = 120
ENTRIES = ("on_init", "on_destroy", "on_timer_callback", "on_request", "on_response", "libc_builtin_set_errno")
PRELUDE = Path(__file__).with_name("prelude.h").read_text(encoding="utf-8")


def _zig() -> Path:
    spec = find_spec("ziglang")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "zig"


class CompileC:
    """C to wasm, each distinct source once a session."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._done: dict[str, bytes] = {}

    def __call__(self, source: str) -> bytes:
        if source not in self._done:
            self._done[source] = self._compile(PRELUDE + source)
        return self._done[source]

    def _compile(self, text: str) -> bytes:
        program = self._directory / "program.c"
        image = self._directory / "program.wasm"
        program.write_text(text)
        exports = [f"--export={name}" for name in ("__heap_base", "__data_end", *(e for e in ENTRIES if e in text))]
        linker = ["--no-entry", "--import-symbols", "--strip-all", "-z,stack-size=4096", *exports]
        command = [str(_zig()), "cc", "-target", "wasm32-freestanding", "-mcpu=mvp", "-nostdlib", "-O2", "-w"]
        command += ["-fno-sanitize=all", "-fno-builtin", *(f"-Wl,{word}" for word in linker)]
        command += ["-o", str(image), str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
        assert done.returncode == 0, done.stderr
        return image.read_bytes()


class CBench(Bench):
    """Runs C programs, too."""

    def __init__(self, compile_c: CompileC, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.compile = compile_c

    def run(self, source: str, name: str = "main", **room: int) -> App:
        return self.start(self.compile(source), name, **room)


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> CompileC:
    return CompileC(tmp_path_factory.mktemp("c"))


MakeBench = Callable[..., CBench]


@pytest.fixture
def make_bench(compile_c: CompileC, tmp_path: Path) -> Iterator[MakeBench]:
    """Make a bench of its own folder; the arguments are Bench's."""
    with benches(partial(CBench, compile_c, tmp_path)) as make:
        yield make
