"""`microclaw task secrets` and `egress`: what tasks use and never see, and what they may ask. No host is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec
from click.exceptions import Exit

from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.cli.secret_value import secret_value
from microclaw.config.load import private_home
from microclaw.egress.allowlist import FILE_NAME, Allowlist, read_allowlist
from microclaw.egress.secret_values import SecretValues, missing_secrets
from microclaw.errors import ConfigError
from microclaw.findings import Finding


@click.command()
@click.option("--file", type=Path, metavar="FILE", help="Instead of the home's egress.yaml.")
@click.pass_obj
def egress(options: GlobalOptions, file: Path | None) -> None:
    """The allowlist, its mistakes and its missing secrets. Exit 1 for a mistake or a missing secret."""
    options.only_here("the allowlist")
    home = private_home(os.environ, options.home)
    path = file or home / FILE_NAME
    if file is not None and not file.exists():
        raise ConfigError(f"there is no {file}", next_step="name an allowlist: --file FILE")
    allowlist = read_allowlist(path)
    missing = missing_secrets(home, os.environ, allowlist)
    _show(options, path, allowlist, missing)
    if missing:
        raise Exit(FAILED)


def _show(options: GlobalOptions, path: Path, allowlist: Allowlist, missing: dict[str, Finding]) -> None:
    found: dict[str, Any] = msgspec.to_builtins(allowlist, order="deterministic")
    value = {"ok": not missing, "file": str(path), "exists": path.exists(), **found}
    if options.wrote_json("egress", {**value, "secrets_missing": list(missing)}):
        return
    options.table(
        [
            (
                entry.host,
                " ".join(map(str, sorted(entry.ports))),
                "any" if entry.methods is None else " ".join(sorted(entry.methods)),
                "all" if entry.tasks is None else " ".join(sorted(entry.tasks)),
                "the proxy's" if entry.tls else "the task's own",
                entry.secret or "",
            )
            for entry in allowlist.entries
        ],
        head=("HOST", "PORTS", "METHODS", "TASKS", "TLS", "SECRET"),
        empty=f"nothing is allowed: tasks have no network ({path})",
    )
    for one in missing.values():
        options.line(f"{one.text}\n  next: {one.next_step}")


@click.command()
@click.argument("name", required=False, metavar="[NAME]", help="Small letters, digits, - and _.")
@click.argument("value", default="-", metavar="[@FILE|-]", help="Where the value is; - is stdin.")
@click.option("--rm", "remove", metavar="NAME", help="What needs it is refused then.")
@click.pass_obj
def secrets(options: GlobalOptions, name: str | None, value: str, remove: str | None) -> None:
    """The secrets that tasks use through the proxy and never see; with NAME: keep one. It is never shown again."""
    options.only_here("tasks' secrets")
    values = SecretValues(private_home(os.environ, options.home), os.environ)
    if remove is not None:
        options.agree(f"Remove the secret {remove}? Nobody can show it again.")
        values.remove(remove)
        options.report("secret_removed", {"name": remove}, f"{remove} is removed")
    elif name is not None:
        values.set(name, secret_value(name, value, strictly=True).strip())
        options.report("secret_set", {"name": name}, f"{name} is kept in secrets.toml")
    elif not options.wrote_json("secrets", {"secrets": [{"name": one} for one in values.names()]}):
        rows = [(one,) for one in values.names()]
        options.table(rows, head=("NAME",), empty="no secrets (microclaw task secrets NAME @FILE)")
