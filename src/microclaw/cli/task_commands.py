"""`microclaw task`: code in the host's sandbox. It runs nothing itself."""

from __future__ import annotations

import base64
import re
import shlex
import sys
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from microclaw.cli.interrupts import on_interrupt
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.client import Client
from microclaw.client.request import segment
from microclaw.durable import read_given, write_given
from microclaw.errors import ConfigError, TaskRefused, UnknownName
from microclaw.text import clean_text, format_duration, moment_text

if TYPE_CHECKING:
    from microclaw.api import answers

WAIT_S: Final = 20
MAX_FILE_BYTES: Final = 4 << 20  # of one file that goes in: as base64 the request has to fit the host's limit
_BY_SUFFIX: Final = {
    ".py": "python", ".sh": "shell", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript"
}  # fmt: skip
_BY_PROGRAM: Final = {"python": "python", "sh": "shell", "dash": "shell", "node": "javascript", "nodejs": "javascript"}
_FIRST_LINE: Final = re.compile(r"#![ \t]*(?:\S*/env(?:[ \t]+-\S+)*[ \t]+)?(\S+)")
_OPEN: Final = ("queued", "running")
task_group = command_group()
Number = Annotated[str, typer.Argument(metavar="ID", help="As `task list` shows it.")]


@task_group.command("run")
def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Python, shell or JavaScript; - is the input.")],
    given: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="[NAME=]FILE", help="A file that it reads, as NAME or by its own; repeatable."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="NAME", help="A file that it writes and that is kept.")
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option("--allow", metavar="NAME", help="It may ask what egress.yaml allows to NAME. [default: nothing]"),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", metavar="NAME", help="python, shell or javascript. [default: by its suffix or first line]"
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="How long it may take.")] = None,
) -> None:
    """Run code in the sandbox and show what it prints; Ctrl-C ends it."""
    options = global_options(ctx)
    code = _code(file)
    body: dict[str, Any] = {
        "code": code,
        "language": language or code_language(file, code),
        "files": _files(given or ()),
        "keep": keep or [],
        "allow": allow,
        "seconds": seconds,
    }
    host = options.host()
    taken = host.post("/v1/tasks", body)
    with on_interrupt(lambda: _end(host, taken["task"]), once=True):
        ended = _pages(options, host, taken["task"], wait_s=WAIT_S, is_shown=not options.json)
    if not options.wrote_json("task", ended):
        _note(options, end_text(ended))
        for one in ended["files"]:
            command = shlex.join(("microclaw", "task", "get", str(ended["task"]), one["name"]))
            _note(options, f"{one['name']}, {one['size_bytes']:,} bytes: {command}")
    for name, why in ended["not_kept"].items():
        sys.stderr.write(f"{clean_text(name, one_line=True)} is not kept: {clean_text(why, one_line=True)}\n")
    if ended["state"] != "done":
        raise typer.Exit(1)


@task_group.command("list")
def list_tasks(
    ctx: typer.Context, limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.")] = 20
) -> None:
    """Tasks, the newest first."""
    options = global_options(ctx)
    found = options.fetch("tasks", "/v1/tasks", {"limit": limit})
    rows = [
        (one["task"], one["state"], one["ending"] or "-", one["language"], one["by"], moment_text(one["created_ms"]))
        for one in found["tasks"]
    ]
    options.table(rows, head=("ID", "STATE", "ENDING", "LANGUAGE", "BY", "SINCE"), empty="no task has run")


@task_group.command("show")
def show(
    ctx: typer.Context,
    number: Number,
    output: Annotated[bool, typer.Option("--output", help="What it printed.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, help="Only the last N lines of what it printed.")
    ] = None,
) -> None:
    """One task: who asked, how it ended, its files."""
    options = global_options(ctx)
    host = options.host()
    if tail is not None and not options.json:
        found = _pages(options, host, _number(number), wait_s=0, is_shown=False)
        _print("".join(deque(re.findall(r"[^\n]*\n|[^\n]+", found["output"]), maxlen=tail)))
        _tell_missing(options, 0 if found["state"] in _OPEN else found["output_bytes"] - found["output_ends"])
        return
    if output and not options.json:
        _pages(options, host, _number(number), wait_s=0)
        return
    if options.json:
        options.document("task", _pages(options, host, _number(number), wait_s=0, is_shown=False))
        return
    task = host.tasks.get(_number(number))
    options.line(end_text(task))
    options.line(f"{task['language']}, {task['code_bytes']:,} bytes, sha256 {task['code_sha256']}, by {task['by']}")
    limits = task["limits"]
    options.line(f"limits: {limits['wall_s']:g} s, {int(limits['memory_bytes']) >> 20} MB")
    for one in task["files"]:
        options.line(f"file: {one['name']}, {one['size_bytes']:,} bytes, {one['media_type']}")
    options.line(f"printed: {task['output_bytes']:,} bytes (microclaw task show {number} --output)")


@task_group.command("cancel")
def cancel(ctx: typer.Context, number: Number) -> None:
    """End a task; all of its processes are dead afterwards. Exit 1 when it has ended already."""
    options = global_options(ctx)
    host = options.host()
    found: answers.TaskFacts = host.tasks.get(_number(number))
    ended = host.tasks.cancel(_number(number)) if found["state"] in _OPEN else found
    if ended is found or ended["state"] != "cancelled":  # in between it came to its own end
        text = f"nothing to cancel, it has ended already: {end_text(ended)}"
        raise TaskRefused(text, next_step=f"microclaw task show {ended['task']} --output")
    options.report("task", ended, end_text(ended))


@task_group.command("get")
def get(
    ctx: typer.Context,
    number: Number,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file that it left.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where it goes. [default: its own name, here]")
    ] = None,
) -> None:
    """Fetch a file that a task left; - is the output."""
    options = global_options(ctx)
    path = "/".join(segment(part) for part in name.split("/"))
    chunks = options.host().download(f"/v1/tasks/{_number(number)}/files/{path}", method="GET")
    if str(out) == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        return
    place = out or Path(name.rpartition("/")[2])
    size = write_given(place, chunks, replace=out is not None, next_step="choose another one with -o")
    document = {"task": _number(number), "name": name, "file": str(place), "size_bytes": size}
    options.report("task_file", document, f"{size:,} bytes in {place}")


def code_language(file: Path, code: str) -> str:
    """By the suffix, else by the line `#!`; the input without that line is Python. Raises ConfigError."""
    if (known := _BY_SUFFIX.get(file.suffix.lower())) is not None:
        return known
    name = "the input" if str(file) == "-" else str(file)
    step = "--language python, shell (it is run by sh) or javascript"
    if (found := _FIRST_LINE.match(code)) is not None:
        program = Path(found[1]).name
        if (known := _BY_PROGRAM.get(program.rstrip("0123456789."))) is not None:
            return known
        raise ConfigError(f"{name} asks for {program[:40]!r}, which tasks do not have", next_step=step)
    if str(file) == "-":
        return "python"
    raise ConfigError(f"{name} does not say which language it is in", next_step=step)


def end_text(task: Mapping[str, Any]) -> str:
    """How it ended, in one line."""
    how = "" if task["ending"] in (None, task["state"]) else f", {task['ending']}"
    if task["ending"] == "ended":
        how = f", exit code {task['exit_code']}"
    took = ""
    if task["started_ms"] is not None and task["ended_ms"] is not None:
        took = f", {format_duration(task['ended_ms'] - task['started_ms'])}"
    why = f": {task['reason']}" if task["reason"] else ""
    return f"task {task['task']}: {task['state']}{how.replace('_', ' ')}{took}{why}"


def _pages(options: GlobalOptions, host: Client, number: int, *, wait_s: int, is_shown: bool = True) -> dict[str, Any]:
    """The task with all that it printed, shown as it comes, or else in `output`. With `wait_s` once it has ended."""
    printed: list[str] = []
    after, begins, is_mid_line = 0, None, False
    while True:
        found = host.tasks.get(number, after=after, wait_s=wait_s)
        if is_shown:
            _tell_missing(options, found["output_begins"] - after)
            _print(found["output"])
            is_mid_line = not found["output"].endswith("\n") if found["output"] else is_mid_line
        else:
            printed.append(found["output"])
        begins = found["output_begins"] if begins is None else begins
        after = found["output_ends"]
        is_open = found["state"] in _OPEN
        if not found["output_more"] and not (wait_s and is_open):
            break
    if is_mid_line and sys.stdout.isatty():
        _print("\n")
    if is_shown and not is_open:
        _tell_missing(options, found["output_bytes"] - after)
    return {**found, "output": "".join(printed), "output_begins": begins}


def _tell_missing(options: GlobalOptions, count: int) -> None:
    if count > 0:
        _note(options, f"{count:,} bytes that it printed here are not kept, and not shown")


def _note(options: GlobalOptions, text: str) -> None:
    """About a task, on stderr: stdout has what the task printed."""
    if not options.quiet and not options.json:
        sys.stdout.flush()
        sys.stderr.write(clean_text(text) + "\n")


def _code(file: Path) -> str:
    code = sys.stdin.buffer.read() if str(file) == "-" else read_given(file, MAX_FILE_BYTES)
    try:
        return code.decode()
    except UnicodeDecodeError as exc:
        name = "the input" if str(file) == "-" else str(file)
        raise ConfigError(
            f"{name} is not UTF-8: byte {exc.start + 1:,} is 0x{code[exc.start]:02x}",
            next_step="save the code as UTF-8 (iconv -f LATIN1 -t UTF-8), without a coding line",
        ) from exc


def _files(given: Sequence[str]) -> dict[str, str]:
    """By their names, in base64."""
    found: dict[str, Path] = {}
    for name, path in map(_named, given):
        if name in found:
            raise ConfigError(
                f"{found[name]} and {path} would both be {name} in the task's folder",
                next_step=f"give one of them another name: --with {shlex.quote(f'other-{Path(name).name}={path}')}",
            )
        found[name] = path
    return {name: base64.b64encode(_read_plain(path)).decode() for name, path in found.items()}


def _named(given: str) -> tuple[str, Path]:
    """The name in the task's folder, and the file; a file whose own name has the = is meant before NAME=FILE."""
    name, is_named, file = given.partition("=")
    if is_named and not Path(given).exists():
        if not name or not file:
            raise ConfigError(f"{given!r} is not NAME=FILE", next_step="as in --with data.csv=measured/monday.csv")
        return unicodedata.normalize("NFC", name), Path(file)
    return unicodedata.normalize("NFC", Path(given).name), Path(given)


def _end(host: Client, number: int) -> None:
    host.tasks.cancel(number)


def _print(text: str) -> None:
    """As it is; on a terminal cleaned, so that it does not steer it."""
    sys.stdout.write(clean_text(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _read_plain(path: Path) -> bytes:
    """A pipe or a device is refused before it is opened: it could wait for ever."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no plain file", next_step="name a plain file")
    return read_given(path, MAX_FILE_BYTES)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UnknownName(f"there is no task {text[:80]!r}: each has a number", next_step="microclaw task list")
    return int(text)
