"""Writes docs/reference/cli.md from the parser of the command line. Run: make docs"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from microclaw.interfaces.cli.main import COMMANDS, EXAMPLES, SECTIONS, app, load_command

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
_HEAD: Final = """# Command line

<!-- made from the parser (src/microclaw/interfaces/cli) by `make docs`: change it there -->

Every command with its arguments, options and examples, as `microclaw COMMAND --help` says them. How the command line
is used (completion, narrow terminals, old locales): [command-line.md](../command-line.md); commands by what you want to
do: [commands.md](../commands.md).

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no host runs, 4 the device cannot be reached, 5 some of many failed,
130 interrupted. Errors are one line on stderr, and what to do next.
"""
_NUMBER: Final = re.compile(r"(INTEGER|FLOAT)( RANGE)?")
_FACTS: Final = re.compile(r"\s*\[([^\[\]]+)\]$")  # "[default: O3; 1<=x<=9]", "[required]"


def page() -> str:
    """The whole page."""
    root = app
    parts = [_HEAD, _sections(), "## Options of every command\n\nThey may stand anywhere on the line.\n", _table(root)]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += [_command(path, command) for path, command in _below(name, load_command(name))]
    return "\n".join(parts)


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command, and those below it."""
    yield path, command
    for word, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            yield from _below(f"{path} {word}", one)


def _sections() -> str:
    rows = (
        f"- [{title}](#{title.lower().replace(' ', '-')}): {', '.join(f'`{name}`' for name in names)}"
        for title, names in SECTIONS.items()
    )
    return "\n".join(rows) + "\n"


def _command(path: str, command: Any) -> str:
    if path in COMMANDS and not command.help:
        about = COMMANDS[path][1]
    else:
        about = command.help or ""
    lines = [f"### microclaw {path}", "", " ".join(about.split()), ""]
    below = [word for word, one in getattr(command, "commands", {}).items() if not one.hidden]
    if below:
        return "\n".join([*lines, f"Commands: {', '.join(f'`{word}`' for word in below)}.", ""])
    lines += [f"Usage: `{_usage(path, command)}`", ""]
    table = _table(command)
    if table:
        lines += [table]
    return "\n".join([*lines, *_examples(path)])


def _usage(path: str, command: Any) -> str:
    """In the words of the page's tables: `[OPTIONS]` only where there are some."""
    has_options = any(isinstance(one, click.Option) and not one.hidden for one in command.params)
    words = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    return " ".join(["microclaw", path, *(["[OPTIONS]"] if has_options else []), *words])


def _argument(argument: Any) -> str:
    """Its name as a value's: NAME, [NAME] where it may be left out, NAME... where there may be more."""
    name = re.sub(r"^\[(.+)\](\.\.\.)?$", r"\1\2", argument.metavar or argument.name.upper())
    name += "..." if argument.nargs != 1 and not name.endswith("...") else ""
    if argument.required:
        return name
    return f"[{name}]"


def _examples(path: str) -> list[str]:
    lines = [f"microclaw {line}" for line in EXAMPLES.get(path, ())]
    if lines:
        return ["```", *lines, "```", ""]
    return []


def _table(command: Any) -> str:
    """Arguments that say no more than their name are in the usage alone."""
    with click.Context(command, info_name="x", show_default=True) as ctx:
        shown = [(one, one.get_help_record(ctx)) for one in command.params if not getattr(one, "hidden", False)]
    rows = [_row(one, *record) for one, record in shown if record]
    head = ["| argument, option | meaning | default, limits |", "| --- | --- | --- |"]
    if any(rows):
        return "\n".join([*head, *filter(None, rows)]) + "\n"
    return ""


def _row(parameter: Any, label: str, about: str) -> str | None:
    facts = _FACTS.search(about)
    meaning = " ".join(_FACTS.sub("", about).split())
    if facts is None:
        limits = ""
    else:
        limits = facts[1].removeprefix("default: ")
    if isinstance(parameter, click.Option):
        name = re.sub(" PATH$", " FILE", _NUMBER.sub("N", label))
    elif meaning:
        name = re.sub(r"^\[(.+)\]$", r"\1", _argument(parameter))
        limits = limits.replace("required", "").strip("; ")
    else:
        return None
    cells = (f"`{name}`", meaning, f"`{limits}`" if limits else "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
