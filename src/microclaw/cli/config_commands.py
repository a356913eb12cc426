"""`microclaw config`: the host's settings, read and changed with no host running."""

from __future__ import annotations

import os
import sys

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.cli.options import FAILED, GlobalOptions, command, secret_value
from microclaw.config.edit import read_key, write_changes
from microclaw.config.load import Assembly, private_home
from microclaw.config.show import DEFAULT, read_views, value_text
from microclaw.errors import ConfigError

config_group = click.Group(no_args_is_help=True)


@command(config_group, "get")
@click.argument("key", required=False, metavar="[KEY]", help="One setting; all that are set without it.")
@click.option("--all", "everything", is_flag=True, help="Defaults and what is not set, too.")
def get(options: GlobalOptions, key: str | None, everything: bool) -> None:
    """Show settings and where each comes from; secrets are masked."""
    found = read_views(private_home(os.environ, options.home), os.environ)
    if key is not None:
        read_key(key)
        found = [item for item in found if item.key == key and item.value is not None]
        if not found:
            raise ConfigError(f"{key} is not set", next_step=f"microclaw config set {key} VALUE")
    elif not everything:
        found = [item for item in found if item.origin not in ("", DEFAULT)]
    if options.json:
        items = [{"key": i.key, "value": i.value, "from": i.origin or None, "about": i.about} for i in found]
        options.document("config", {"settings": items})
    elif key is not None:
        options.line(value_text(found[0].value))
    else:
        rows = [(i.key, "" if i.value is None else value_text(i.value), i.origin or "not set") for i in found]
        none = "all settings are defaults (microclaw config get --all)"
        options.table(rows, head=("SETTING", "VALUE", "FROM"), empty=none)


@command(config_group, "set")
@click.argument("key", help="Such as agent.turn_s or telegram.token.")
@click.argument("value", required=False, metavar="[VALUE]", help="-: stdin. A secret: @FILE, or asked for without it.")
@click.option("--default", is_flag=True, help="Remove it: its default holds again.")
def set_value(options: GlobalOptions, key: str, value: str | None, default: bool) -> None:
    """Change one setting; comments stay. Secrets go to secrets.toml, or write '${ENV}' for a variable's value."""
    _, known = read_key(key)
    if default:
        value = None
    elif known.secret and (value is not None or sys.stdin.isatty()):
        if value is None or value == "-" or value.startswith("@"):
            value = secret_value(key, value or "-").strip()
        elif value and "${" not in value:  # a variable's name is no secret
            text = f"warning: a value of {key} on the command line can be seen by other accounts of this machine (ps)"
            sys.stderr.write(f"{text} and stays in the shell's history: {key} @FILE, or {key} - for stdin\n")
    elif value == "-":
        value = sys.stdin.readline().strip()
    elif value is None:
        raise click.BadParameter(f"{key} needs a value")
    files, warnings = write_changes(private_home(os.environ, options.home), os.environ, {key: value})
    options.end_with_json("config_written", {"files": files, "warnings": to_builtins(warnings)})
    done = f"{key} is {'set' if value is not None else 'not set any more'} ({', '.join(files)})"
    options.say(f"{done}; the host reads it when it starts" if files else "nothing changed")
    for mistake in warnings:
        if "(next: " in mistake.message:
            step = ""
        else:
            step = f" (next: {mistake.next_step})"
        sys.stderr.write(f"note: {mistake.message}{step}\n")


@command(config_group, "check")
def check(options: GlobalOptions) -> None:
    """Name every mistake in the files and the environment with its line; exit 1 when there is one."""
    home = private_home(os.environ, options.home)
    assembly = Assembly(home, os.environ)
    path = home / "config.toml"
    mistakes = assembly.mistakes
    problems = assembly.problems
    value = {"ok": not mistakes, "file": str(path), "mistakes": to_builtins(mistakes), "off": problems}
    if not options.wrote_json("config_check", value):
        for mistake in mistakes:
            options.line(f"{mistake}\n  next: {mistake.next_step}")
        is_right = "nothing wrong" if path.exists() else "not there, all settings are defaults"
        options.say(f"{path}: {'has mistakes' if mistakes else is_right}")
        for problem in problems:
            options.say(f"note: {problem}")
    if mistakes:
        raise Exit(FAILED)
