"""`microclaw config`: the host's settings, read and changed with no host running."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.errors import ConfigError
from microclaw.host.config.edit import read_key, write_changes
from microclaw.host.config.load import Assembly, private_home
from microclaw.host.config.show import DEFAULT, SettingView, read_views, value_text
from microclaw.interfaces.cli.options import FAILED, GlobalOptions, command, secret_value

config_group = click.Group(no_args_is_help=True)


@command(config_group, "get")
@click.argument("key", required=False, metavar="[KEY]", help="One setting; without it, all settings that are set.")
@click.option("--all", "everything", is_flag=True, help="Also show defaults and settings without a value.")
def get(options: GlobalOptions, key: str | None, everything: bool) -> None:
    """Show settings and where each comes from; secrets are masked."""
    views = read_views(private_home(os.environ, options.home), os.environ)
    if key is not None:
        read_key(key)
        views = [view for view in views if view.key == key and view.value is not None]
        if not views:
            raise ConfigError(f"{key} is not set", next_step=f"microclaw config set {key} VALUE")
    elif not everything:
        views = [view for view in views if view.origin not in ("", DEFAULT)]
    if options.json:
        options.document("config", {"settings": list(map(_view_object, views))})
    elif key is not None:
        options.line(value_text(views[0].value))
    else:
        rows = list(map(_view_row, views))
        empty = "all settings are defaults (microclaw config get --all)"
        options.table(rows, head=("SETTING", "VALUE", "FROM"), empty=empty)


def _view_object(view: SettingView) -> dict[str, Any]:
    return {"key": view.key, "value": view.value, "from": view.origin or None, "about": view.about}


def _view_row(view: SettingView) -> tuple[str, str, str]:
    value = "" if view.value is None else value_text(view.value)
    return view.key, value, view.origin or "not set"


@command(config_group, "set")
@click.argument("key", help="Such as agent.turn_s or telegram.token.")
@click.argument("value", required=False, metavar="[VALUE]", help="-: stdin. A secret: @FILE, or asked for without it.")
@click.option("--default", is_flag=True, help="Remove it: its default holds again.")
def set_value(options: GlobalOptions, key: str, value: str | None, default: bool) -> None:
    """Change one setting; comments stay. Secrets go to secrets.toml, or write '${ENV}' for a variable's value."""
    _, setting = read_key(key)
    if default:
        value = None
    elif setting.secret and (value is not None or sys.stdin.isatty()):
        value = _read_secret(key, value)
    elif value == "-":
        value = sys.stdin.readline().strip()
    elif value is None:
        raise click.BadParameter(f"{key} needs a value")
    files, warnings = write_changes(private_home(os.environ, options.home), os.environ, {key: value})
    options.end_with_json("config_written", {"files": files, "warnings": to_builtins(warnings)})
    if files:
        state = "not set any more" if value is None else "set"
        options.say(f"{key} is {state} ({', '.join(files)}); the host reads it when it starts")
    else:
        options.say("nothing changed")
    for mistake in warnings:
        # Some messages name their next step already.
        step = "" if "(next: " in mistake.message else f" (next: {mistake.next_step})"
        sys.stderr.write(f"note: {mistake.message}{step}\n")


def _read_secret(key: str, value: str | None) -> str:
    """Return a secret from stdin, a file or the terminal. Warn if it is in the command line itself."""
    if value is None or value == "-" or value.startswith("@"):
        return secret_value(key, value or "-").strip()
    # The name of a variable (${NAME}) is not a secret.
    if value and "${" not in value:
        text = f"warning: a value of {key} on the command line can be seen by other accounts of this machine (ps)"
        sys.stderr.write(f"{text} and stays in the shell's history: {key} @FILE, or {key} - for stdin\n")
    return value


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
        if mistakes:
            state = "has mistakes"
        elif path.exists():
            state = "nothing wrong"
        else:
            state = "not there, all settings are defaults"
        options.say(f"{path}: {state}")
        for problem in problems:
            options.say(f"note: {problem}")
    if mistakes:
        raise Exit(FAILED)
