"""Secrets that a command line is given: from a file or stdin, as every account of a machine sees its command lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from microclaw.durable import read_given
from microclaw.errors import ConfigError

MAX_SECRET_BYTES: Final = 4096
SECRET_METAVAR: Final = "@FILE|-"  # noqa: S105 - what help shows


def secret_value(name: str, given: str, *, is_new: bool = False, strictly: bool = False) -> str:
    """The text that `@FILE` or `-` (stdin; a terminal is asked, for a new one twice) stands for, else ConfigError.

    A value itself is taken with a warning; `strictly` it is wrong usage, and spaces around the secret are part of it.
    """
    if given == "-" and sys.stdin.isatty():
        typed = str(click.prompt(name, hide_input=True, confirmation_prompt=is_new, err=True))
        return typed if strictly else typed.strip()
    if given != "-" and not given.startswith("@"):
        if strictly:
            text = f"{name} on the command line is seen by every program: write @FILE, or - for stdin"
            raise click.BadParameter(text)
        if given and "${" not in given:
            sys.stderr.write(
                f"warning: a value of {name} on the command line can be seen by other accounts of this machine (ps) "
                f"and stays in the shell's history: {name} @FILE, or {name} - for stdin\n"
            )
        return given
    content = (
        sys.stdin.readline(MAX_SECRET_BYTES + 1).encode(errors="surrogateescape")
        if given == "-"
        else read_given(Path(given[1:]), MAX_SECRET_BYTES)
    )
    try:
        text = content.decode("utf-8-sig")  # an editor's mark is no part of it
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{name}: {given} is not UTF-8 text", next_step="save it as UTF-8") from exc
    secret = text.rstrip("\r\n") if strictly else text.strip()
    if not secret or "\n" in secret or len(content) > MAX_SECRET_BYTES:
        text = f"{name}: {given} is not one line with a secret"
        raise ConfigError(text, next_step="give the secret alone, as one line of a file (@FILE) or of stdin (-)")
    return secret
