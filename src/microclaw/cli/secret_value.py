"""Secrets that a command line is given: from a file or stdin, as every account of a machine sees its command lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError, over_limit

MAX_SECRET_BYTES: Final = 4096
SECRET_METAVAR: Final = "@FILE|-"  # noqa: S105 - what help shows


def secret_value(name: str, given: str) -> str:
    """What `@FILE` or `-` (stdin) stands for; a value itself is taken with a warning. ConfigError without a secret."""
    if given.startswith("@"):
        try:
            with Path(given[1:]).expanduser().open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as exc:
            raise ConfigError(
                f"{name}: cannot read {given[1:]}: {exc.strerror}", next_step=f"{name} @FILE, or {name} - for stdin"
            ) from exc
    elif given == "-":
        content = sys.stdin.readline(MAX_SECRET_BYTES + 1).encode(errors="replace")
    else:
        if given and "${" not in given:
            sys.stderr.write(
                f"warning: a value of {name} on the command line can be seen by other accounts of this machine (ps) "
                f"and stays in the shell's history: {name} @FILE, or {name} - for stdin\n"
            )
        return given
    secret = content.decode(errors="replace").strip()
    place = "stdin" if given == "-" else given[1:]
    if len(content) > MAX_SECRET_BYTES:
        text = over_limit(f"{name}: {place}", MAX_SECRET_BYTES, "byte")
        raise ConfigError(text, next_step="give the secret alone, as one line of a file (@FILE) or of stdin (-)")
    if not secret or "\n" in secret:
        has = f"{len(secret.splitlines())} lines" if secret else "empty"
        text = f"{name}: {place} is {has}, not one line with a secret"
        raise ConfigError(text, next_step="give the secret alone, as one line of a file (@FILE) or of stdin (-)")
    return secret
