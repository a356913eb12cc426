"""Errors become lines and exit codes, whatever they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from microclaw.cli.main import COMMANDS, app, hoist_globals, load_command, main


@pytest.mark.parametrize(
    ("words", "hoisted"),
    [
        (["device", "list", "--json"], ["--json", "device", "list"]),
        (["run", "x.c", "-d", "desk", "-q"], ["-d", "desk", "-q", "run", "x.c"]),
        (["run", "--device=desk", "x.c"], ["--device=desk", "run", "x.c"]),
        (["chat", "--", "--json", "-d"], ["chat", "--", "--json", "-d"]),
        (["run", "-d"], ["run", "-d"]),
        (["--home", "/x", "up", "--port", "0"], ["--home", "/x", "up", "--port", "0"]),
    ],
)
def test_global_options_come_first(words: list[str], hoisted: list[str]) -> None:
    assert hoist_globals(words) == hoisted


def test_the_help_that_is_listed_is_the_commands_own() -> None:
    found = {name: load_command(name).get_short_help_str(200) for name in COMMANDS}
    assert found == {name: about for name, (_, about) in COMMANDS.items()}


@pytest.fixture
def broken() -> Iterator[str]:
    """A command that fails as no command should."""

    def fail() -> None:
        raise ZeroDivisionError("ours")

    app.command("broken", hidden=True)(fail)
    yield "broken"
    del app.commands["broken"]


def test_unexpected_error_is_one_line_and_a_document_and_its_traceback_is_in_the_log_or_with_v_here(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-v", "--home", str(tmp_path / "home"), broken]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()
    assert main(["--json", f"--home={tmp_path / 'home'}", broken]) == 1
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 2
    document = json.loads(shown.out)
    assert (document["schema"], document["error"]["code"]) == ("microclaw.error/1", "internal_error")
    assert 'raise ZeroDivisionError("ours")' in (tmp_path / "home" / "microclaw.log").read_text()


@pytest.mark.parametrize("words", ["device list", "--help", "chat"])
@pytest.mark.parametrize("closing", ["| head -c 1", ">&-", "<&-"])
def test_a_stream_that_is_closed_is_no_error(tmp_path: Path, words: str, closing: str) -> None:
    command = f'set -o pipefail; "{sys.executable}" -m microclaw --home "{tmp_path / "home"}" {words} {closing}'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "unexpected" not in ran.stderr
    assert ran.returncode in (0, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", ["--help", "--json device list", "--completion bash"])
@pytest.mark.parametrize("buffering", ["", "-u "])
def test_output_that_cannot_be_written_is_said_and_is_no_fault_of_ours(
    tmp_path: Path, words: str, buffering: str
) -> None:
    command = f'"{sys.executable}" {buffering}-m microclaw --home "{tmp_path / "home"}" {words} > /dev/full'
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=environ)
    lines = ran.stderr.splitlines()
    assert ran.returncode == 1, ran.stderr
    assert lines[-2].startswith("error: ")
    assert "unexpected" not in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("interrupted", ["click", "microclaw.cli.main", "microclaw.cli.host_commands"])
def test_interrupt_during_the_imports_is_no_traceback(interrupted: str) -> None:
    code = f"""
import runpy, sys
class CtrlC:
    def find_spec(self, name, *_):
        if name == "{interrupted}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
sys.argv = ["microclaw", "status"]
runpy.run_module("microclaw", run_name="__main__")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr.split()) == (130, ["interrupted"])


def test_the_command_begins_where_an_interrupt_is_caught() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"microclaw": "microclaw.__main__:main"}
