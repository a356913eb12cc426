"""A compiler in an image, by a client that takes Docker's command line: the engine is doubled, the rest is real."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from microclaw.errors import BuildError
from microclaw.hardware.boards import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.builds.process import Processes
from microclaw.programs.wasm.compile import compile_module
from microclaw.programs.wasm.source_files import join_files
from microclaw.programs.wasm.toolchain import compiler_chosen, find_toolchain, list_compilers

DOUBLE = Path(__file__).parents[2] / "programs/builds/docker_double.py"
BLINK = """#include <microclaw.h>
#include <stdio.h>
int twice(int value);
int main(void) {
    int led = gpio_open(4, GPIO_OUT);
    for (int number = 0;; number = twice(number)) { gpio_toggle(led); printf("%d\\n", number); delay(500); }
}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` and a `podman` on the PATH."""
    for name in ("docker", "podman"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {DOUBLE} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MICROCLAW_DOCKER_IMAGE", "example/wasi-sdk:1")
    return tmp_path


def calls(home: Path) -> list[list[str]]:
    return [json.loads(line) for line in (home / "docker-calls").read_text().splitlines()]


async def test_a_program_is_compiled_in_the_image(home: Path, cache: BuildCache) -> None:
    text = join_files("blink.c", BLINK, {"twice.c": "int twice(int value) { return 2 * value + 1; }\n"})
    with compiler_chosen("podman"):
        image = await compile_module(text, load_board("virtual"), name="blink", cache=cache)
    assert image.compiler.startswith("podman ")
    assert image.compiler.endswith("abababababab")
    assert image.pins == (4,)
    ran = [words for words in calls(home) if words[0] == "run"]
    assert ran
    for words in ran:
        assert words[words.index("--network") :][:2] == ["--network", "none"]
        assert words[words.index("--cap-drop") :][:4] == ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        assert {"--rm", "--read-only", "--pids-limit", "--memory"} <= set(words)
        assert "--userns=keep-id" in words
        own, *others = [words[at + 1] for at, word in enumerate(words) if word == "--mount"]
        assert "readonly" not in own
        assert all(mount.endswith(",readonly") for mount in others)


async def test_a_finding_names_its_line_and_no_file_outside_is_read(home: Path, cache: BuildCache) -> None:
    (home / "secret.h").write_text("int secret_of_mine;\n")
    with compiler_chosen("docker"):
        with pytest.raises(BuildError) as wrong:
            await compile_module(BLINK.replace("gpio_toggle", "gpio_togle"), load_board("virtual"), cache=cache)
        assert wrong.value.diagnostics[0].line == 6
        toolchain = find_toolchain()
    folder = home / "build"
    folder.mkdir()
    (folder / "a.c").write_text(f'#include "{home}/secret.h"\n')
    done = Processes().run([*toolchain.compiler, "-fsyntax-only", "-target", "wasm32", "a.c"], folder)
    assert done.returncode != 0
    assert "file not found" in done.output
    assert "secret_of_mine" not in done.output


async def test_what_takes_too_long_is_killed_by_its_name(home: Path) -> None:
    with compiler_chosen("docker"):
        toolchain = find_toolchain()
    folder = home / "build"
    folder.mkdir()
    os.mkfifo(folder / "a.c")  # nobody ever writes
    done = Processes().run([*toolchain.compiler, "-fsyntax-only", "a.c"], folder, time_limit_s=12)
    assert done.timed_out
    started = next(words for words in reversed(calls(home)) if words[0] == "run")
    assert ["kill", started[started.index("--name") + 1]] in calls(home)


@pytest.mark.parametrize("image", ["", "example/other:2", "--privileged"])
def test_an_image_that_is_not_there_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    monkeypatch.setenv("MICROCLAW_DOCKER_IMAGE", image)
    found = next(one for one in list_compilers() if one.compiler == "docker")
    assert found.version is None
    assert found.problem
