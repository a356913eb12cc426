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
from microclaw.egress.policy import Verdict, judge
from microclaw.egress.request_head import Place, RequestRefused, request_place
from microclaw.egress.secret_values import SecretValues, missing_secrets
from microclaw.errors import ConfigError


@click.command()
@click.argument("method", required=False, metavar="[METHOD]", help="GET, POST, ..., or CONNECT.")
@click.argument("url", required=False, metavar="[URL]", help="http://HOST/, https://HOST/, or HOST:PORT.")
@click.option("--task", default="task", metavar="NAME", help="It is of a task of this name.")
@click.option("--file", type=Path, metavar="FILE", help="Instead of the home's egress.yaml.")
@click.pass_obj
def egress(options: GlobalOptions, method: str | None, url: str | None, task: str, file: Path | None) -> None:
    """The allowlist, its mistakes and its missing secrets; or the verdict on one request, and why.

    Nothing is connected to and no name looked up. Exit 1 for a mistake, a missing secret and a refused request.
    """
    options.only_here("the allowlist")
    home = private_home(os.environ, options.home)
    path = file or home / FILE_NAME
    if file is not None and not file.exists():
        raise ConfigError(f"there is no {file}", next_step="name an allowlist: --file FILE")
    allowlist = read_allowlist(path)
    missing = missing_secrets(home, os.environ, allowlist)
    if method is None:
        _show(options, path, allowlist, missing)
        is_right = not missing
    elif url is None:
        raise click.BadParameter("METHOD needs a URL")
    else:
        is_right = _try(options, _verdict(allowlist, method.upper(), url, task), missing)
    if not is_right:
        raise Exit(FAILED)


def _show(options: GlobalOptions, path: Path, allowlist: Allowlist, missing: dict[str, tuple[str, str]]) -> None:
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
    for text, step in missing.values():
        options.line(f"{text}\n  next: {step}")


def _try(options: GlobalOptions, found: tuple[Verdict, str], missing: dict[str, tuple[str, str]]) -> bool:
    verdict, way = found
    line, secret = (None, None) if verdict.entry is None else (verdict.entry.line, verdict.entry.secret)
    lacks = secret if verdict.allowed and secret in missing else None
    value = {"allowed": verdict.allowed, "why": verdict.why, "port": verdict.port, "line": line, "way": way}
    if not options.wrote_json("egress_test", {**value, "secret_missing": lacks}):
        but = f", but secret {lacks} is missing" if lacks else f" by {way}"
        options.line(f"{f'allowed{but}' if verdict.allowed else 'refused'}: {verdict.why}")
    return verdict.allowed and not lacks


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


def _verdict(allowlist: Allowlist, method: str, url: str, task: str) -> tuple[Verdict, str]:
    """As clients of a proxy ask: https by CONNECT; where the content has to be seen, http://HOST/PATH."""
    try:
        place = request_place(method, url.removeprefix("https://").rstrip("/") if method == "CONNECT" else url)
    except RequestRefused as exc:
        return Verdict(allowed=False, why=exc.why, port=0), "no way"
    if place.scheme == "http":
        return judge(allowlist, task=task, method=method, place=place), "HTTP"
    tunnel = judge(allowlist, task=task, method="CONNECT", place=place)
    port = None if place.port == 443 else place.port
    plain = judge(allowlist, task=task, method=method, place=Place("http", place.host, port, "/"))
    if not tunnel.allowed and method != "CONNECT" and plain.entry is not None and plain.entry.tls:
        return plain, f"http://{place.host}/PATH, as the proxy speaks TLS"
    return tunnel, "CONNECT"
