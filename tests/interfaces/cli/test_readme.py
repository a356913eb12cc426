"""Lines of docs/commands.md, pasted beside a host and a board with stock ESP-WASMachine; those of other pages parse."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from tests.forked import Child
from tests.interfaces.cli.conftest import clean_environ

from microclaw.interfaces.cli.main import app, hoist_globals

TIMEOUT_S: Final = 300
ROOT: Final = Path(__file__).parents[3]
PAGES: Final = ("README.md", "docs/commands.md", "docs/tutorial.md", "docs/lan.md", "docs/models.md")
COMMAND: Final = re.compile(r"^(?:\.venv/bin/)?(microclaw .*)$", re.MULTILINE)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


PASTED: Final = next(block for block in blocks("docs/commands.md") if "cat > blink.c" in block)
LINES: Final = [line for page in PAGES for block in blocks(page) for line in COMMAND.findall(block)]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell with `microclaw` in its path, beside a host that knows no board."""
    home = tmp_path / "home"
    tools = tmp_path / "bin"
    tools.mkdir()
    script = tools / "microclaw"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m microclaw "$@"\n')
    script.chmod(0o755)
    environ = clean_environ(home)
    words = ["microclaw", "--json", "up", "--port", "0", "--link", "off", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "host.log", environ=environ) as host:
        host.wait_ready()
        yield {**environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


def test_lines_of_using_it_work_when_they_are_pasted(shell: dict[str, str], tmp_path: Path) -> None:
    words = ["microclaw", "--json", "virtual", "--wasmachine", "0", "--serial", "none"]
    with Child("board", words, log=tmp_path / "board.log", environ=shell) as board:
        ready: dict[str, Any] = board.wait_ready()[0]
        script = PASTED.replace("127.0.0.1:18080", f"127.0.0.1:{ready['wasmachine']}")
        script = script.replace("127.0.0.1:18081", "127.0.0.1:1")  # a port where nothing answers
        work = tmp_path / "work"
        work.mkdir()
        done = subprocess.run(
            ["bash", "-exuo", "pipefail", "-c", script],
            cwd=work,
            env=shell,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert "pin 2: period 1 s, duty 50 %: met in the trial" in " ".join(done.stdout.split())
    assert "the program reports: the fan is on" in " ".join(done.stdout.split())


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_one_command_that_there_is(line: str) -> None:
    """No `a | b` for "a, or b", which a shell would pipe, and no command or option that was renamed."""
    words = shlex.split(line, comments=True)[1:]
    assert not {"|", "...", ";", "&&"} & set(words)
    command: Any = app
    context = command.make_context("microclaw", hoist_globals(words))
    while isinstance(command, click.Group):
        _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(command.name, rest, parent=context)
