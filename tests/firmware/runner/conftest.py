"""The runner's files on MicroPython's unix port: a script of a test in a process of its own, its answer as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

import pytest
from tests.firmware.conftest import PATIENCE_S, ROOT, SMALL

from microclaw.hardware.firmware_folder import write_part_modules
from microclaw.programs.py.compile import find_mpy_cross

PRELUDE: Final = "from world import *\n"


@dataclass(frozen=True)
class MicroPython:
    """One build of the unix port, a folder for a test's programs and flash, and one with the modules of parts."""

    words: tuple[str, ...]
    folder: Path
    parts: Path

    def with_room(self) -> MicroPython:
        """A board with PSRAM, for many programs one after the other: their names stay in memory."""
        return replace(self, words=(self.words[0], "-X", "heapsize=2M"))

    def compile(self, name: str, source: str) -> Path:
        """`source` is in the rewritten form; it becomes NAME.mpy."""
        text = self.folder / f"{name}.py"
        text.write_text(dedent(source))
        image = self.folder / f"{name}.mpy"
        words: list[str | Path] = [find_mpy_cross()[0], "-s", f"{name}.py", text, "-o", image]
        subprocess.run(words, check=True, timeout=PATIENCE_S)
        return image

    def script(self, text: str) -> list[str]:
        path = self.folder / "script.py"
        path.write_text(PRELUDE + dedent(text))
        return [*self.words, str(path), str(self.folder)]

    @property
    def environ(self) -> Mapping[str, str]:
        simulated = (Path(__file__).parent / "bench", ROOT / "tests/firmware/simulated")
        places = (*simulated, ROOT / "firmware/fw", self.parts)
        return {**os.environ, "MICROPYPATH": ":".join([*map(str, places), ".frozen"])}

    def act(self, body: str, **facts: object) -> Any:
        """Return what the lines of a coroutine return; `runner` is a new one of this folder, with these facts."""
        given = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        return self.run(
            f"async def main():\n    runner = new_runner({given})\n{indent(dedent(body), ' ' * 4)}\nrun(main)\n"
        )

    def run(self, text: str) -> Any:
        """Return what the script's `run(main)` printed last."""
        done = subprocess.run(
            self.script(text), env=self.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode or done.stderr:
            pytest.fail(f"{done.stdout}\n{done.stderr}")
        *rest, answer = done.stdout.strip().split("\n")
        if rest:
            print(*rest, sep="\n", file=sys.stderr)
        return json.loads(answer)


@pytest.fixture(scope="session")
def part_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    write_part_modules(folder)
    return folder


@pytest.fixture
def micropython(tmp_path: Path, part_modules: Path) -> MicroPython:
    """The 32-bit build, with a heap like that of a board without PSRAM."""
    if not SMALL.exists():
        pytest.skip("scripts/micropython.sh has not made this build of MicroPython's unix port")
    return MicroPython((str(SMALL), "-X", "heapsize=160K"), tmp_path, part_modules)
