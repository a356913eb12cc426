"""`microclaw task`: code in the host's sandbox, its secrets and what it may ask. It runs nothing itself."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args
from unicodedata import normalize

import click
import msgspec
from click.exceptions import Exit

from microclaw.cli.options import FAILED, GlobalOptions, command, on_interrupt, secret_value
from microclaw.config.load import private_home
from microclaw.durable import read_given, read_given_text, write_given
from microclaw.egress.allowlist import FILE_NAME, AllowEntry, read_allowlist
from microclaw.egress.secret_values import SecretValues, missing_secrets
from microclaw.errors import ConfigError
from microclaw.operations.client import Client
from microclaw.operations.connection import segment
from microclaw.store.tasks import TaskLanguage
from microclaw.tasks import operations as tasks
from microclaw.text import clean_text

WAIT_S: Final = 20
MAX_FILE_BYTES: Final = 4 << 20  # of one file that goes in: as base64 the request has to fit the host's limit
_BY_SUFFIX: Final[dict[str, TaskLanguage]] = {
    ".py": "python", ".sh": "shell", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript"
}  # fmt: skip
task_group = click.Group(no_args_is_help=True)


@command(task_group, "run")
@click.argument("file", type=Path, metavar="FILE", help="Python, shell or JavaScript; - is the input.")
@click.option("--with", "given", multiple=True, metavar="[NAME=]FILE", help="A file it reads, as NAME; repeatable.")
@click.option("--keep", multiple=True, metavar="NAME", help="A file that it writes and that is kept.")
@click.option("--allow", metavar="NAME", help="It may ask what egress.yaml allows to NAME. [default: nothing]")
@click.option("--language", type=click.Choice(get_args(TaskLanguage)), help="[default: by its suffix]")
@click.option("--seconds", type=float, metavar="S", help="How long it may take.")
def run(
    options: GlobalOptions, file: Path, given: tuple[str, ...], language: TaskLanguage | None, **terms: Any
) -> None:
    """Run code in the sandbox and show what it prints; Ctrl-C ends it."""
    code = _code(file)
    language = language or ("python" if str(file) == "-" else _BY_SUFFIX.get(file.suffix.lower()))
    if language is None:
        step = "--language python, shell (it is run by sh) or javascript"
        raise ConfigError(f"{file} does not say which language it is in", next_step=step)
    files = _files(given)
    host = options.host()
    began = host.call(tasks.run, code=code, language=language, files=files, **terms)
    printed: list[str] = []
    with on_interrupt(lambda: host.call(tasks.cancel, number=began.number), once=True):
        for page in _pages(options, host, began.number, wait_s=WAIT_S):
            printed.append(page.output)
            if not options.json:
                _print(page.output)
    if not options.wrote_json("task", {**msgspec.to_builtins(page), "output": "".join(printed), "output_begins": 0}):
        _note(options, page.summary)
        for one in page.files:
            command = shlex.join(("microclaw", "task", "get", str(page.number), one.name))
            _note(options, f"{one.name}, {one.size_bytes:,} bytes: {command}")
    for name, why in page.refused.items():
        sys.stderr.write(f"{clean_text(name, one_line=True)} is not kept: {clean_text(why, one_line=True)}\n")
    if page.state != "done":
        raise Exit(1)


@command(task_group, "get")
@click.argument("number", type=int, metavar="NUMBER", help="As `task list` shows it.")
@click.argument("name", required=False, metavar="[NAME]", help="A file that it left.")
@click.option("-o", "--out", type=Path, metavar="FILE", help="Where it goes. [default: its own name, here]")
def get(options: GlobalOptions, number: int, name: str | None, out: Path | None) -> None:
    """Fetch a file that a task left (-o - is the output), or show what it printed."""
    host = options.host()
    if name is None:
        for page in _pages(options, host, number, wait_s=0):
            _print(page.output)
        return
    path = "/".join(segment(part) for part in name.split("/"))
    chunks = host.download(f"/v1/tasks/{number}/files/{path}", method="GET")
    if str(out) == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        return
    place = out or Path(name.rpartition("/")[2])
    size = write_given(place, chunks, replace=out is not None, next_step="choose another one with -o")
    document = {"task": number, "name": name, "file": str(place), "size_bytes": size}
    options.report("task_file", document, f"{size:,} bytes in {place}")


def _pages(options: GlobalOptions, host: Client, number: int, *, wait_s: int) -> Iterator[tasks.TaskWithOutput]:
    """Yield its output, page by page as it comes; with `wait_s` until it has ended."""
    after = 0
    last = "\n"
    goes_on = True
    while goes_on:
        page = host.call(tasks.show, number=number, after=after, wait_s=wait_s)
        goes_on = page.output_more or bool(wait_s and page.is_open)
        missing = page.output_begins - after
        after = page.output_ends
        last = page.output or last
        if not goes_on and not page.is_open:
            missing += page.output_bytes - after
        if missing > 0:
            _note(options, f"{missing:,} bytes that it printed are not kept, and not shown")
        yield page
    if not last.endswith("\n") and sys.stdout.isatty():
        _print("\n")


def _note(options: GlobalOptions, text: str) -> None:
    """About a task, on stderr: stdout has what the task printed."""
    if not options.quiet and not options.json:
        sys.stdout.flush()
        sys.stderr.write(clean_text(text) + "\n")


def _code(file: Path) -> str:
    if str(file) != "-":
        return read_given_text(file, MAX_FILE_BYTES)
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        step = "save the code as UTF-8 (iconv -f LATIN1 -t UTF-8), without a coding line"
        raise ConfigError(f"the input is not UTF-8 (byte {exc.start + 1:,})", next_step=step) from exc


def _files(given: Sequence[str]) -> dict[str, bytes]:
    """The contents of [NAME=]FILE, by their names in the task's folder."""
    found: dict[str, bytes] = {}
    for one in given:
        name, is_named, path = one.partition("=")
        file = Path(path if is_named else one)
        name = normalize("NFC", name if is_named else file.name)
        if not name or name in found:
            if name:
                text = f"two files would be {name} in the task's folder"
            else:
                text = f"{one!r} is not NAME=FILE"
            raise ConfigError(text, next_step="give each a name: --with data.csv=measured/monday.csv")
        found[name] = read_given(file, MAX_FILE_BYTES)
    return found


def _print(text: str) -> None:
    """As it is; on a terminal cleaned, so that it does not steer it."""
    sys.stdout.write(clean_text(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


@command(task_group)
def egress(options: GlobalOptions) -> None:
    """The allowlist, its mistakes and its missing secrets. Exit 1 for a mistake or a missing secret."""
    options.only_here("the allowlist")
    home = private_home(os.environ, options.home)
    path = home / FILE_NAME
    allowlist = read_allowlist(path)
    missing = missing_secrets(home, os.environ, allowlist)
    found: dict[str, Any] = msgspec.to_builtins(allowlist, order="deterministic")
    value = {"ok": not missing, "file": str(path), "exists": path.exists(), **found}
    if not options.wrote_json("egress", {**value, "secrets_missing": list(missing)}):
        rows = [_row(one) for one in allowlist.entries]
        none = f"nothing is allowed: tasks have no network ({path})"
        options.table(rows, head=("HOST", "PORTS", "METHODS", "TASKS", "TLS", "SECRET"), empty=none)
        for one in missing.values():
            options.line(f"{one.text}\n  next: {one.next_step}")
    if missing:
        raise Exit(FAILED)


def _row(entry: AllowEntry) -> tuple[str, ...]:
    def words(values: Iterable[object] | None, every: str = "") -> str:
        if values is None:
            return every
        return " ".join(sorted(map(str, values)))

    tls = "the proxy's" if entry.tls else "the task's own"
    secret = entry.secret or ""
    ports = " ".join(map(str, sorted(entry.ports)))
    return entry.host, ports, words(entry.methods, "any"), words(entry.tasks, "all"), tls, secret


@command(task_group)
@click.argument("name", required=False, metavar="[NAME]", help="Small letters, digits, - and _.")
@click.argument("value", default="-", metavar="[@FILE|-]", help="Where the value is; - is stdin.")
@click.option("--rm", "remove", metavar="NAME", help="What needs it is refused then.")
def secrets(options: GlobalOptions, name: str | None, value: str, remove: str | None) -> None:
    """The secrets that tasks use through the proxy and never see; with NAME: keep one. It is never shown again."""
    options.only_here("tasks' secrets")
    values = SecretValues(private_home(os.environ, options.home), os.environ)
    if remove is not None:
        options.agree(f"Remove the secret {remove}? Nobody can show it again.")
        values.remove(remove)
        options.report("secret_removed", {"name": remove}, f"{remove} is removed")
    elif name is not None:
        values.set(name, secret_value(name, value).strip())
        options.report("secret_set", {"name": name}, f"{name} is kept in secrets.toml")
    elif not options.wrote_json("secrets", {"secrets": [{"name": one} for one in values.names()]}):
        rows = [(one,) for one in values.names()]
        options.table(rows, head=("NAME",), empty="no secrets (microclaw task secrets NAME @FILE)")
