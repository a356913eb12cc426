"""The folder of a new program, and the files that a program is run with because they lie beside it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import Run

from microclaw.hardware.boards import board_ids
from microclaw.interfaces.cli.program_files import name_of_program

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("language", "main", "board"),
    [("c", "main.c", "virtual"), ("arduino", "lamp.ino", "xiao-esp32s3"), ("py", "main.py", "esp32-devkitc-v4")],
)
def test_a_new_program_does_what_its_folder_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, main: str, board: str
) -> None:
    folder = tmp_path / "lamp"
    made = run("new", folder, "--in", language, "--board", board)
    assert made.code == 0, made.err
    assert {path.name for path in folder.iterdir()} == {
        main,
        f"{Path(main).stem}.expect",
        "wiring.toml",
        "README.md",
    }
    tried = run(*_words(made.out.partition("next: ")[2]))
    assert tried.code == 0, tried.err
    assert "met in the trial" in tried.out
    assert "wired by wiring.toml: led1" in tried.out
    assert f"expected by {Path(main).stem}.expect" in tried.out

    monkeypatch.chdir(folder)
    assert name_of_program(Path()) == "lamp"
    commands = (folder / "README.md").read_text().split("```")[1].split("\n")
    tried = run(*_words(commands[1]))
    assert tried.code == 0, tried.err
    assert _words(commands[2]) == ["run", "."]
    built = run("app", "build", ".", "-o", tmp_path / "program")
    assert built.code == 0, built.err


def _words(command: str) -> list[str]:
    """Return the words of a command that a person is shown, without the name of the program."""
    words = shlex.split(command)
    assert words[0] == "microclaw"
    return words[1:]


def test_every_board_has_a_pin_for_a_new_program(run: Run, tmp_path: Path) -> None:
    for board in board_ids():
        made = run("new", tmp_path / board.replace(".", "-"), "--board", board)
        assert made.code == 0, made.err


def test_a_folder_that_exists_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "lamp"
    folder.mkdir()
    (folder / "main.c").write_text("mine")
    refused = run("new", folder)
    assert refused.code == 1
    assert "exists already" in refused.err
    assert [path.name for path in folder.iterdir()] == ["main.c"]
    assert (folder / "main.c").read_text() == "mine"


@pytest.mark.parametrize("name", ["my lamp", "größe", "x" * 64, "-lamp"])
def test_a_name_that_no_program_can_have_makes_no_folder(run: Run, tmp_path: Path, name: str) -> None:
    assert run("new", "--", tmp_path / name).code == 1
    assert not (tmp_path / name).exists()


def test_expectations_beside_a_program_count_without_an_option(run: Run, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "blink", tmp_path / "blink")
    (tmp_path / "blink" / "blink.expect").write_text("pin 2: high for 300 ms, low for 300 ms\n")
    refused = run("run", tmp_path / "blink" / "blink.py", "--try")
    assert refused.code == 1
    assert "expected by blink.expect" in refused.out
    own = tmp_path / "own.expect"
    own.write_text("pin 2: high for 500 ms, low for 500 ms\n")
    tried = run("run", tmp_path / "blink" / "blink.py", "--try", "--expect", own)
    assert tried.code == 0, tried.err
