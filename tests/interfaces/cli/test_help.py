"""`--help`: sections, examples, and nothing heavy imported for it."""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from microclaw.interfaces.cli.main import COMMANDS, EXAMPLES, app, hoist_globals, load_command

ROOT: Final = Path(__file__).parents[3]
LINES: Final = [(name, line) for name, lines in EXAMPLES.items() for line in lines]
# What the command line's own start may not load: each of them costs more than the whole help.
HEAVY: Final = ("rich", "aiohttp", "pydantic", "fastapi", "wasmtime", "cryptography", "httpx2", "anthropic", "msgspec")


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            yield from _below(f"{name} {word}", one)


EVERY: Final = [found for name in COMMANDS for found in _below(name, load_command(name))]


def test_each_example_is_read_by_the_parser_as_its_own_command() -> None:
    assert not set(EXAMPLES) - {name for name, _ in EVERY}
    main: Any = app
    for name, line in LINES:
        command = main
        path = []
        context = command.make_context("microclaw", hoist_globals(shlex.split(line.replace("\\\n", ""))))
        while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
            word, command, rest = command.resolve_command(context, rest)
            assert command is not None, line
            path.append(word)
            context = command.make_context(command.name, rest, parent=context)
        assert path[: len(name.split())] == name.split(), line


def test_each_example_names_what_every_new_home_has() -> None:
    """A program of the catalogue; a device's name and a file are the person's own."""
    shipped = {file.stem for file in (ROOT / "src" / "microclaw" / "programs" / "patterns").glob("*.toml")}
    assert {line.split()[2] for line in EXAMPLES["app install"]} <= shipped


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom microclaw.interfaces.cli.main import main\ncode = main(['--help'])\n"
        f"sys.stderr.write(' '.join(sorted(set({HEAVY!r}) & set(sys.modules))))\nsys.exit(code)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_says_what_the_table_says_and_every_option_has_its_help() -> None:
    found = {name: load_command(name).get_short_help_str(200) for name in COMMANDS}
    assert found == {name: about for name, (_, about) in COMMANDS.items()}
    for name, command in EVERY:
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        assert not [one.opts for one in options if not (one.help or "").strip()], name


def test_the_page_of_commands_is_the_one_made_from_the_parser() -> None:
    """If this fails: make docs."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "scripts" / "cli_page.py"))["page"]() == page
