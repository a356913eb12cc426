"""`microclaw egress` and `microclaw secret`: what tasks may ask of the Internet, with which secrets. No host needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.cli.secret_value import secret_value
from microclaw.config.load import private_home
from microclaw.config.yaml_file import FileMistakes
from microclaw.egress.allowlist import FILE_NAME, Allowance, AllowEntry, Allowlist, read_allowlist
from microclaw.egress.policy import Verdict, judge
from microclaw.egress.request_head import RequestRefused, connect_target, url_parts
from microclaw.egress.secret_values import SecretValues, missing_secrets, missing_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.text import count_text

egress_group = command_group()
secret_group = command_group()
NOTHING: Final = "nothing is allowed: tasks have no network"


@egress_group.command("show")
@egress_group.command("status", hidden=True)
def show(ctx: typer.Context) -> None:
    """What tasks in the sandbox may ask, and which secrets are missing for that."""
    options = global_options(ctx)
    home = _home(options)
    path = home / FILE_NAME
    allowlist = _read(options, path)
    missing = missing_secrets(home, os.environ, allowlist)
    rows = [_entry_object(entry) for entry in allowlist.entries]
    limits = {**_allowance(allowlist.limits), "connections": allowlist.connections}
    value = {"file": str(path), "exists": path.exists(), "allow": rows, "limits": limits}
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
                f"{entry.secret or ''}{' (missing)' if entry.secret in missing else ''}",
            )
            for entry in allowlist.entries
        ],
        head=("HOST", "PORTS", "METHODS", "TASKS", "TLS", "SECRET"),
        empty=f"{NOTHING} ({path})",
    )
    _say_missing(options, missing)


@egress_group.command("check")
def check(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The home's egress.yaml without it.")] = None,
) -> None:
    """Name every mistake of an allowlist with its line, and secrets that are not there; exit 1 when there is one."""
    options = global_options(ctx)
    home = _home(options)
    path = file or home / FILE_NAME
    if file is not None and not file.exists():
        raise ConfigError(f"there is no {file}", next_step="microclaw egress check FILE")
    allowlist = _read(options, path)
    missing = missing_secrets(home, os.environ, allowlist)
    found = {"ok": not missing, "file": str(path), "mistakes": [], "secrets_missing": list(missing)}
    if not options.wrote_json("egress_check", found):
        _say_missing(options, missing)
        if not missing:
            options.say(
                f"{path}: nothing wrong, {count_text(len(allowlist.entries), 'host')}"
                if path.exists()
                else f"there is no {path}: {NOTHING}"
            )
    if missing:
        raise typer.Exit(FAILED)


@egress_group.command("test")
def try_request(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, ..., or CONNECT.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="http://HOST/..., https://HOST/..., or HOST:PORT.")],
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="For the task of this name.")] = "task",
) -> None:
    """The verdict on a request and why, without connecting and without looking a name up.

    Exit 1 when refused, or when the secret that goes with it is missing.
    """
    options = global_options(ctx)
    home = _home(options)
    allowlist = _read(options, home / FILE_NAME)
    verdict, way = _verdict(allowlist, method.upper(), url, task)
    line = None if verdict.entry is None else verdict.entry.line
    secret = verdict.entry.secret if verdict.allowed and verdict.entry is not None else None
    missing = secret if secret is not None and secret not in SecretValues(home, os.environ).names() else None
    value = {"allowed": verdict.allowed, "why": verdict.why, "port": verdict.port, "line": line, "way": way}
    value |= {"secret_missing": missing, "next": verdict.next_step or None}
    if not options.wrote_json("egress_test", value):
        but = "" if missing is None else f", but secret {missing} is missing"
        options.line(f"{f'allowed{but}' if verdict.allowed else 'refused'}: {verdict.why}")
        if missing is not None:
            options.line(f"  next: microclaw secret set {missing} @FILE")
        elif verdict.next_step:
            options.line(f"  next: {verdict.next_step}")
        elif verdict.allowed:
            options.say(f"by {way}; its addresses are looked up when it is asked, and have to be public")
    if not verdict.allowed or missing is not None:
        raise typer.Exit(FAILED)


@secret_group.command("set")
def set_secret(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, - and _.")],
    value: Annotated[str, typer.Argument(metavar="[@FILE|-]", help="Where the value is; - is stdin.")] = "-",
) -> None:
    """Keep a secret that tasks use through the proxy and never see. It is never shown again."""
    options = global_options(ctx)
    if value != "-" and not value.startswith("@"):
        step = f"microclaw secret set {name[:40]} @FILE, or: microclaw secret set {name[:40]} - for stdin"
        raise ConfigError("a value on the command line can be seen by others and stays in the history", next_step=step)
    if value == "-" and sys.stdin.isatty():
        secret = str(typer.prompt(name, hide_input=True)).strip()
    else:
        secret = secret_value(name, value)
    SecretValues(_home(options), os.environ).set(name, secret)
    options.report("secret_set", {"name": name}, f"{name} is kept in secrets.toml")


@secret_group.command("list")
def list_secrets(ctx: typer.Context) -> None:
    """The names of the secrets, and which hosts each goes to."""
    options = global_options(ctx)
    home = _home(options)
    names = SecretValues(home, os.environ).names()
    try:
        entries = read_allowlist(home / FILE_NAME).entries
    except ConfigError:
        entries = ()  # `egress check` tells what is wrong there
    hosts = {name: sorted({entry.host for entry in entries if entry.secret == name}) for name in names}
    rows = [{"name": name, "hosts": hosts[name]} for name in names]
    if not options.wrote_json("secrets", {"secrets": rows}):
        lines = [(name, " ".join(hosts[name]) or "no host") for name in names]
        options.table(lines, head=("NAME", "FOR"), empty="no secrets (microclaw secret set NAME @FILE)")


@secret_group.command("rm")
def remove_secret(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Forget a secret; what needs it is refused from then on."""
    options = global_options(ctx)
    values = SecretValues(_home(options), os.environ)
    if name not in values.names():
        raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw secret list")
    options.agree(f"Remove the secret {name}? Nobody can show it again.")
    values.remove(name)
    options.report("secret_removed", {"name": name}, f"{name} is removed")


def _home(options: GlobalOptions) -> Path:
    return private_home(os.environ, options.home)


def _say_missing(options: GlobalOptions, missing: Mapping[str, str]) -> None:
    for name, where in missing.items():
        text, step = missing_text(name, where)
        options.line(f"{text}\n  next: {step}")


def _read(options: GlobalOptions, path: Path) -> Allowlist:
    """The allowlist; with mistakes, all of them are told and the command ends with 1."""
    try:
        return read_allowlist(path)
    except FileMistakes as exc:
        value = {"ok": False, "file": str(path), "mistakes": [one.to_json() for one in exc.diagnostics]}
        if not options.wrote_json("egress_check", {**value, "secrets_missing": []}):
            for one in exc.diagnostics:
                options.line(one.render())
            options.line(f"tasks have no network until this is right: {exc.next_step}")
        raise typer.Exit(FAILED) from None


def _verdict(allowlist: Allowlist, method: str, url: str, task: str) -> tuple[Verdict, str]:
    """As clients of a proxy ask: https by CONNECT; where the content has to be seen, http://HOST/PATH."""
    plain_url = url.removeprefix("https://").rstrip("/")
    try:
        scheme, host, port, _ = connect_target(plain_url) if method == "CONNECT" else url_parts(url)
    except RequestRefused as exc:
        return Verdict(allowed=False, why=exc.why, port=0), "no way"

    asked = partial(judge, allowlist, task=task, method=method, host=host)
    if scheme == "http":
        return asked(port=port, scheme="http", tunnel=False), "HTTP"
    tunnel = asked(port=port, scheme="https", tunnel=True)
    if tunnel.allowed or method == "CONNECT":
        return tunnel, "CONNECT"
    plain = asked(port=None if port == 443 else port, scheme="http", tunnel=False)
    if plain.entry is not None and plain.entry.tls:
        return plain, f"http://{host}/PATH, as the proxy speaks TLS"
    return tunnel, "CONNECT"


def _entry_object(entry: AllowEntry) -> dict[str, Any]:
    return {
        "line": entry.line,
        "host": entry.host,
        "ports": sorted(entry.ports),
        "methods": None if entry.methods is None else sorted(entry.methods),
        "tls": entry.tls,
        "secret": entry.secret,
        "header": None if entry.header is None else entry.header[0],
        "tasks": None if entry.tasks is None else sorted(entry.tasks),
        **_allowance(entry.allowance),
    }


def _allowance(limits: Allowance) -> dict[str, int | None]:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "bytes_per_task": limits.bytes_per_task,
        "bytes_per_day": limits.bytes_per_day,
    }
