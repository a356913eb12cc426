"""A line that is wrong gets the line that was meant, to be pasted: it can be read, and a guess runs nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.interfaces.cli.conftest import Run

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.main import app, hoist_globals, load_command
from microclaw.interfaces.cli.no_program import refuse_other_files
from microclaw.interfaces.cli.typed_words import LISTS, TYPED_COMMANDS
from microclaw.interfaces.cli.usage_advice import meant_lines

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests/vectors/wrong_usages.txt"
NAMED_COMMAND = re.compile(r"\bmicroclaw ([a-z]+) ([a-z][a-z-]*)")
PROSE = ("backup made",)


def usages() -> Iterator[tuple[str, str]]:
    for line in VECTORS.read_text().splitlines():
        if not line.startswith("#"):
            usage, _, answer = line.partition(" => ")
            yield usage, answer


def guesses_of(step: str) -> list[str]:
    """The lines of a next step that are there to be pasted."""
    if not step.startswith("did you mean: "):
        return []
    return step.removeprefix("did you mean: ").split("; or: ")


def parse(line: str) -> None:
    """Read a line as the command line does, up to the command. Raises UsageError if it cannot be read."""
    words = hoist_globals(shlex.split(line)[1:])
    if "--help" in words:
        return
    context = app.make_context("microclaw", words)
    arguments = [*context._protected_args, *context.args]
    command = load_command(arguments[0])
    inner = command.make_context(arguments[0], arguments[1:], parent=context)
    if isinstance(command, click.Group):
        arguments = [*inner._protected_args, *inner.args]
        command.commands[arguments[0]].make_context(arguments[0], arguments[1:], parent=inner)


@pytest.mark.parametrize(("usage", "answer"), list(usages()))
def test_a_wrong_usage_names_the_line_that_was_meant(run: Run, tmp_path: Path, usage: str, answer: str) -> None:
    ran = run(*shlex.split(usage))
    assert (ran.code, ran.out) == (2, "")
    error, step = ran.err.splitlines()
    assert error.startswith("error: ")
    assert answer in step
    assert not (tmp_path / "home").exists()
    for guess in guesses_of(step.removeprefix("next: ")):
        # Names in capital letters are still to be written.
        parse(guess.replace("APPROVAL_ID", "4kq7"))


def test_each_line_of_the_table_is_a_command_that_exists() -> None:
    for templates in (*TYPED_COMMANDS.values(), LISTS.values()):
        for template in templates:
            names = template.removeprefix("... ").split()
            command = load_command(names[0]) if not names[0].startswith("-") else app
            if isinstance(command, click.Group) and command is not app:
                assert names[1] in command.commands, template


def test_each_command_of_a_group_that_a_text_names_exists() -> None:
    groups = dict[str, click.Group]()
    for name in app.list_commands(click.Context(app)):
        command = load_command(name)
        if isinstance(command, click.Group):
            groups[name] = command
    unknown = list[str]()
    for file in sorted([*(ROOT / "src/microclaw").rglob("*"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]):
        if file.suffix not in (".py", ".md", ".js", ".toml"):
            continue
        for name, word in NAMED_COMMAND.findall(file.read_text(encoding="utf-8")):
            if name not in groups:
                continue
            if word not in groups[name].commands and f"{name} {word}" not in PROSE:
                unknown.append(f"{file.name}: microclaw {name} {word}")
    assert unknown == []


def test_each_guess_of_the_table_keeps_the_name_that_was_typed() -> None:
    for typed in TYPED_COMMANDS:
        path, _, word = typed.rpartition(" ")
        assert meant_lines(path, word, [])
        for line in meant_lines(path, word, ["kitchen", "--tail", "5"]):
            assert "kitchen --tail 5" in line


def test_a_guess_keeps_json(run: Run) -> None:
    document = run("--json", "app", "rm", "blink").json
    assert document["error"]["next"] == "did you mean: microclaw --json app uninstall blink"


@pytest.mark.parametrize(
    ("name", "kind", "step"),
    [
        ("README.md", "a text", ".ino"),
        ("x.expect", "expectations", "--expect x.expect"),
        ("diagram.json", "a wiring", "--wiring diagram.json"),
        ("photo.PNG", "an image", ".py"),
        ("my fleet.yaml", "a fleet file", "microclaw fleet apply -f 'my fleet.yaml'"),
        ("led.h", "a header", "#include"),
    ],
)
def test_a_file_that_is_no_program_is_named_by_its_kind(name: str, kind: str, step: str) -> None:
    with pytest.raises(ConfigError, match=kind) as caught:
        refuse_other_files(Path(name))
    assert step in (caught.value.next_step or "")


def test_the_lines_of_two_devices_are_refused(run: Run) -> None:
    ran = run("-d", "hall", "logs", "kitchen/fan")
    assert (ran.code, ran.out) == (1, "")
    assert "next: microclaw logs kitchen/fan" in ran.err
