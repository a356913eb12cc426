"""A command line becomes a result, or an error in lines and an exit code, whatever it is; words that cannot be read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import Run, run_in

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.child import Child
from microclaw.interfaces.cli.main import app, hoist_globals


@pytest.mark.parametrize(
    ("words", "hoisted"),
    [
        ("device list --json", "--json device list"),
        ("run x.c -d desk -q", "-d desk -q run x.c"),
        ("run --device=desk x.c", "--device=desk run x.c"),
        ("chat -- --json -d", "chat -- --json -d"),
        ("run -d", "run -d"),
        ("--home /x up --port 0", "--home /x up --port 0"),
    ],
)
def test_global_options_come_first(words: str, hoisted: str) -> None:
    assert hoist_globals(words.split()) == hoisted.split()


@pytest.fixture
def broken() -> Iterator[str]:
    """A command that fails as no command should."""

    def fail() -> None:
        raise ZeroDivisionError("ours")

    app.command("broken", hidden=True)(fail)
    yield "broken"
    del app.commands["broken"]


def test_an_unexpected_error_is_told_with_its_traceback_and_a_document(run: Run, broken: str, tmp_path: Path) -> None:
    told = run("--json", broken)
    assert (told.code, 'raise ZeroDivisionError("ours")' in told.err, (tmp_path / "home").exists()) == (1, True, False)
    assert (told.json["schema"], told.json["error"]["code"]) == ("microclaw.error/1", "internal_error")


WRONG = """schedule rm
schedule rm nope
schedule rm 0
schedule run 999999999999999999999999
schedule add '' x
schedule add 7:00 ' '
memory search ''
schedule rm 1 2
memory skills a b
memory search x --limit 51
logs x --tail -1
logs x --since soon
status --usage --by moon
moon
setup --modle x
app stop
schedule rm
person add
firmware trust
device rename kitchen
--home
chat ''
person tokens --add a --rm b
person log --tail -1
voice fetch moon
memory sessions --rm x -n 3
device telemetry lamp --since soon
device crashes nope
exec kitchen
run x.c --for 5s
run x.c --try --force"""


def test_a_line_that_cannot_be_read_is_an_error_and_a_next_step(run: Run) -> None:
    for line in WRONG.splitlines():
        told = run(*shlex.split(line))
        assert told.code == 2, line
        assert [one.partition(" ")[0] for one in told.err.splitlines()] == ["error:", "next:"], line
        assert told.out == "" or "--json" in line
    document = run("--json", "memory", "search", "x", "--limit", "abc")
    assert (document.code, document.json["error"]["code"]) == (2, "usage")
    for words in ("memory skills", "memory check-skills", "memory sessions", "memory sessions --rm", "approval list"):
        for name in ("", " ", "a/b", "../x"):  # no host is asked for it: none runs, and that would be exit code 3
            assert run(*words.split(), name).code in (1, 2)


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """`command` in bash; MICROCLAW in it is the program."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    text = f"set -o pipefail; {command}".replace("MICROCLAW", f'"{sys.executable}" -m microclaw')
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, env=environ, check=False)


@pytest.mark.parametrize("words", ["device list | head -c 1", "--help | head -c 1", "--help >&-", "chat <&-"])
def test_a_stream_that_is_closed_is_no_error(tmp_path: Path, words: str) -> None:
    ran = shell(f"MICROCLAW --home {tmp_path}/home {words}")
    assert (ran.returncode in (0, 3), "unexpected" in ran.stderr) == (True, False), ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", ["--help", "--json device list"])
def test_output_that_cannot_be_written_is_said_and_is_no_fault_of_ours(tmp_path: Path, words: str) -> None:
    ran = shell(f"MICROCLAW --home {tmp_path}/home {words} > /dev/full")
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.splitlines()[-2].startswith("error: ")
    assert not {"unexpected", "Traceback"} & set(ran.stderr.split())


@pytest.mark.parametrize(
    "interrupted", ["click", "microclaw.interfaces.cli.main", "microclaw.interfaces.cli.host_commands"]
)
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
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"microclaw": "microclaw.__main__:main"}  # where it is caught


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_offered_the_commands_and_no_home_is_made(tmp_path: Path, shell: str) -> None:
    asked = {"_MICROCLAW_COMPLETE": f"{shell}_complete", "COMP_WORDS": "microclaw device sh"}
    ran = run_in(tmp_path / "home", environ={**asked, "COMP_CWORD": "sh" if shell == "fish" else "2"})
    assert (ran.code, ran.err, "show" in ran.out) == (0, "", True)
    assert not (tmp_path / "home").exists()


def test_a_child_that_does_not_start_is_quoted_or_refused_and_one_that_does_is_stopped_at_the_end(
    tmp_path: Path,
) -> None:
    for words in (["microclaw", "--home", "/dev/null/home", "--json", "up"], ["json.tool", "--help"]):
        with Child("host", words, log=tmp_path / "log") as child, pytest.raises(ConfigError) as caught:
            child.wait_ready()
        assert (caught.value.message != "", child.running) == (True, False)
    with Child("board", ["microclaw.virtual", "--wasmachine", "0", "--serial", "none"], log=tmp_path / "log") as child:
        facts, took_s = child.wait_ready()
        assert (facts["pid"], took_s > 0, child.running) == (child.pid, True, True)
    assert not child.running
