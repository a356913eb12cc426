"""`microclaw task`: code in the host's sandbox, its secrets and the hosts that it may ask. Runs nothing itself."""

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

from microclaw.agent.tasks import operations as tasks
from microclaw.agent.tasks.results import TaskWithOutput
from microclaw.durable import read_given, read_given_text, write_given
from microclaw.errors import ConfigError
from microclaw.host.config.load import private_home
from microclaw.host.egress.allowlist import FILE_NAME, AllowEntry, read_allowlist
from microclaw.host.egress.secret_values import SecretValues, missing_secrets
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import segment
from microclaw.host.store.tasks import TaskLanguage
from microclaw.interfaces.cli.options import FAILED, GlobalOptions, command, on_interrupt, secret_value
from microclaw.text import clean_text

WAIT_S: Final = 20
# Of one input file: encoded in base64, the request has to fit the host's limit.
MAX_FILE_BYTES: Final = 4 << 20
_BY_SUFFIX: Final[dict[str, TaskLanguage]] = {
    ".py": "python", ".sh": "shell", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript"
}  # fmt: skip
task_group = click.Group(no_args_is_help=True)


@command(task_group, "run")
@click.argument("file", type=Path, metavar="FILE", help="Python, shell or JavaScript; - is the input.")
@click.option("--with", "given", multiple=True, metavar="[NAME=]FILE", help="A file it reads, as NAME; repeatable.")
@click.option("--keep", multiple=True, metavar="NAME", help="A file that it writes and that is kept.")
@click.option("--allow", metavar="NAME", help="Let it reach what egress.yaml allows for NAME. [default: nothing]")
@click.option("--language", type=click.Choice(get_args(TaskLanguage)), help="[default: by its suffix]")
@click.option("--seconds", type=float, metavar="S", help="How long it may take.")
def run(
    options: GlobalOptions, file: Path, given: tuple[str, ...], language: TaskLanguage | None, **terms: Any
) -> None:
    """Run code in the sandbox and show its output; Ctrl-C ends it."""
    code = _read_code(file)
    language = language or _guess_language(file)
    files = _read_files(given)
    host = options.host()
    task = host.call(tasks.run, code=code, language=language, files=files, **terms)
    outputs: list[str] = []
    with on_interrupt(lambda: host.call(tasks.cancel, number=task.number), once=True):
        for page in _pages(options, host, task.number, wait_s=WAIT_S):
            outputs.append(page.output)
            if not options.json:
                _print_output(page.output)
    document = {**msgspec.to_builtins(page), "output": "".join(outputs), "output_begins": 0}
    if not options.wrote_json("task", document):
        _note(options, page.summary)
        for kept_file in page.files:
            command_line = shlex.join(("microclaw", "task", "get", str(page.number), kept_file.name))
            _note(options, f"{kept_file.name}, {kept_file.size_bytes:,} bytes: {command_line}")
    for name, reason in page.refused.items():
        sys.stderr.write(f"{clean_text(name, one_line=True)} is not kept: {clean_text(reason, one_line=True)}\n")
    if page.state != "done":
        raise Exit(FAILED)


def _guess_language(file: Path) -> TaskLanguage:
    """Return the language of a file by its suffix; stdin is Python. Raises ConfigError for another suffix."""
    if str(file) == "-":
        return "python"
    language = _BY_SUFFIX.get(file.suffix.lower())
    if language is None:
        step = "--language python, shell (it is run by sh) or javascript"
        raise ConfigError(f"{file} does not say which language it is in", next_step=step)
    return language


@command(task_group, "get")
@click.argument("number", type=int, metavar="NUMBER", help="As `task list` shows it.")
@click.argument("name", required=False, metavar="[NAME]", help="A file that it left.")
@click.option("-o", "--out", type=Path, metavar="FILE", help="Where it goes. [default: its own name, here]")
def get(options: GlobalOptions, number: int, name: str | None, out: Path | None) -> None:
    """Fetch a file that a task left (-o - prints it), or show the task's output."""
    host = options.host()
    if name is None:
        for page in _pages(options, host, number, wait_s=0):
            _print_output(page.output)
        return
    path = "/".join(segment(part) for part in name.split("/"))
    chunks = host.download(f"/v1/tasks/{number}/files/{path}", method="GET")
    if str(out) == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        return
    target = out or Path(name.rpartition("/")[2])
    size_bytes = write_given(target, chunks, replace=out is not None, next_step="choose another one with -o")
    document = {"task": number, "name": name, "file": str(target), "size_bytes": size_bytes}
    options.report("task_file", document, f"{size_bytes:,} bytes in {target}")


def _pages(options: GlobalOptions, host: Client, number: int, *, wait_s: int) -> Iterator[TaskWithOutput]:
    """Yield a task's output page by page: the output so far, or with `wait_s` all until the task has ended."""
    after = 0
    last_output = "\n"
    has_more = True
    while has_more:
        page = host.call(tasks.show, number=number, after=after, wait_s=wait_s)
        is_awaited = wait_s > 0 and page.is_open
        has_more = page.output_more or is_awaited
        missing_bytes = page.output_begins - after
        after = page.output_ends
        last_output = page.output or last_output
        if not has_more and not page.is_open:
            missing_bytes += page.output_bytes - after
        if missing_bytes > 0:
            _note(options, f"{missing_bytes:,} bytes that it printed are not kept, and not shown")
        yield page
    if not last_output.endswith("\n") and sys.stdout.isatty():
        _print_output("\n")


def _note(options: GlobalOptions, text: str) -> None:
    """Print a line about a task on stderr; stdout has only the task's output."""
    if not options.quiet and not options.json:
        sys.stdout.flush()
        sys.stderr.write(clean_text(text) + "\n")


def _read_code(file: Path) -> str:
    """Return the text of a file, or of stdin for "-". Raises ConfigError if it is not UTF-8."""
    if str(file) != "-":
        return read_given_text(file, MAX_FILE_BYTES)
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        step = "save the code as UTF-8 (iconv -f LATIN1 -t UTF-8), without a coding line"
        raise ConfigError(f"the input is not UTF-8 (byte {exc.start + 1:,})", next_step=step) from exc


def _read_files(arguments: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of [NAME=]FILE arguments, by their names in the task's folder."""
    step = "give each a name: --with data.csv=measured/monday.csv"
    contents: dict[str, bytes] = {}
    for argument in arguments:
        name, is_named, path = argument.partition("=")
        file = Path(path)
        if not is_named:
            file = Path(argument)
            name = file.name
        name = normalize("NFC", name)
        if not name:
            raise ConfigError(f"{argument!r} is not NAME=FILE", next_step=step)
        if name in contents:
            raise ConfigError(f"two files would be {name} in the task's folder", next_step=step)
        contents[name] = read_given(file, MAX_FILE_BYTES)
    return contents


def _print_output(text: str) -> None:
    """Print a task's output as it is, but without control characters on a terminal."""
    sys.stdout.write(clean_text(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


@command(task_group)
def egress(options: GlobalOptions) -> None:
    """Show the allowlist, its mistakes and its missing secrets. Exit 1 for a mistake or a missing secret."""
    options.only_here("the allowlist")
    home = private_home(os.environ, options.home)
    path = home / FILE_NAME
    allowlist = read_allowlist(path)
    missing = missing_secrets(home, os.environ, allowlist)
    fields: dict[str, Any] = msgspec.to_builtins(allowlist, order="deterministic")
    document = {"ok": not missing, "file": str(path), "exists": path.exists(), **fields}
    document["secrets_missing"] = list(missing)
    if not options.wrote_json("egress", document):
        rows = list(map(_entry_row, allowlist.entries))
        empty = f"nothing is allowed: tasks have no network ({path})"
        options.table(rows, head=("HOST", "PORTS", "METHODS", "TASKS", "TLS", "SECRET"), empty=empty)
        for problem in missing.values():
            options.line(f"{problem.text}\n  next: {problem.next_step}")
    if missing:
        raise Exit(FAILED)


def _entry_row(entry: AllowEntry) -> tuple[str, ...]:
    ports = " ".join(map(str, sorted(entry.ports)))
    methods = "any" if entry.methods is None else _sorted_words(entry.methods)
    names = "all" if entry.tasks is None else _sorted_words(entry.tasks)
    tls = "the proxy's" if entry.tls else "the task's own"
    return entry.host, ports, methods, names, tls, entry.secret or ""


def _sorted_words(values: Iterable[object]) -> str:
    return " ".join(sorted(map(str, values)))


@command(task_group)
@click.argument("name", required=False, metavar="[NAME]", help="Small letters, digits, - and _.")
@click.argument("value", default="-", metavar="[@FILE|-]", help="Where the value is; - is stdin.")
@click.option("--rm", "remove", metavar="NAME", help="What needs it is refused then.")
def secrets(options: GlobalOptions, name: str | None, value: str, remove: str | None) -> None:
    """Store or list the secrets that tasks use through the proxy and never see. A value is never shown again."""
    options.only_here("tasks' secrets")
    values = SecretValues(private_home(os.environ, options.home), os.environ)
    if remove is not None:
        options.agree(f"Remove the secret {remove}? Nobody can show it again.")
        values.remove(remove)
        options.report("secret_removed", {"name": remove}, f"{remove} is removed")
        return
    if name is not None:
        values.set(name, secret_value(name, value).strip())
        options.report("secret_set", {"name": name}, f"{name} is kept in secrets.toml")
        return
    names = values.names()
    if not options.wrote_json("secrets", {"secrets": [{"name": secret} for secret in names]}):
        rows = [(secret,) for secret in names]
        options.table(rows, head=("NAME",), empty="no secrets (microclaw task secrets NAME @FILE)")
