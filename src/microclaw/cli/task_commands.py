"""`microclaw task`: code in the host's sandbox. It runs nothing itself."""

from __future__ import annotations

import base64
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer

from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.durable import write_chunks
from microclaw.errors import ConfigError, UnknownName
from microclaw.host_client.client import HostClient
from microclaw.host_client.request import segment
from microclaw.text import clean_text, format_duration

WAIT_S: Final = 20
MAX_FILE_BYTES: Final = 4 << 20  # of one file that goes in: as base64 the request has to fit the host's limit
_LANGUAGES: Final = {".py": "python", ".sh": "shell", ".js": "javascript", ".mjs": "javascript"}
task_group = command_group()
Number = Annotated[str, typer.Argument(metavar="ID", help="As `task list` shows it.")]


@task_group.command("run")
def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Python, shell or JavaScript; - is the input.")],
    given: Annotated[
        list[Path] | None, typer.Option("--with", metavar="FILE", help="A file that it reads, by its name; repeatable.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="NAME", help="A file that it writes and that is kept.")
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option("--allow", metavar="NAME", help="It may ask what egress.yaml allows to NAME. [default: nothing]"),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="NAME", help="[default: by the file's name, else python]")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="How long it may take.")] = None,
) -> None:
    """Run code in the sandbox and show what it prints; Ctrl-C ends it."""
    options = global_options(ctx)
    code = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    body: dict[str, Any] = {
        "code": code.decode(errors="replace"),
        "language": language or _LANGUAGES.get(file.suffix, "python"),
        "files": {path.name: base64.b64encode(_read_plain(path)).decode() for path in given or ()},
        "keep": keep or [],
        "allow": allow,
        "seconds": seconds,
    }
    host = options.host()
    taken = host.post("/v1/tasks", body)
    with _cancelling(host, taken["task"]):
        ended = _followed(options, host, taken["task"])
    if not options.wrote_json("task", ended):
        options.say(_end_text(ended))
        for one in ended["files"]:
            options.say(f"{one['name']}, {one['size_bytes']:,} bytes: microclaw task get {ended['task']} {one['name']}")
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
        (one["task"], one["state"], one["ending"] or "-", one["language"], one["by"], _moment(one["created_ms"]))
        for one in found["tasks"]
    ]
    options.table(rows, head=("ID", "STATE", "ENDING", "LANGUAGE", "BY", "SINCE"), empty="no task has run")


@task_group.command("show")
def show(
    ctx: typer.Context,
    number: Number,
    output: Annotated[bool, typer.Option("--output", help="What it printed.")] = False,
) -> None:
    """One task: who asked, how it ended, its files."""
    options = global_options(ctx)
    found = options.fetch("task", f"/v1/tasks/{_number(number)}")
    if output:
        _print(found["output"])
        return
    options.line(_end_text(found))
    options.line(f"{found['language']}, {found['code_bytes']:,} bytes, sha256 {found['code_sha256']}, by {found['by']}")
    limits = found["limits"]
    options.line(f"limits: {limits['wall_s']:g} s, {limits['memory_bytes'] >> 20} MB")
    for one in found["files"]:
        options.line(f"file: {one['name']}, {one['size_bytes']:,} bytes, {one['media_type']}")
    options.line(f"printed: {found['output_bytes']:,} bytes (microclaw task show {number} --output)")


@task_group.command("cancel")
def cancel(ctx: typer.Context, number: Number) -> None:
    """End a task; all of its processes are dead afterwards."""
    options = global_options(ctx)
    ended = options.host().delete(f"/v1/tasks/{_number(number)}")
    options.report("task", ended, _end_text(ended))


@task_group.command("get")
def get(
    ctx: typer.Context,
    number: Number,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file that it left.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="[default: its own name, here]")
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
    try:
        size = write_chunks(place, chunks, replace=out is not None)
    except FileExistsError as exc:
        raise ConfigError(f"{place} is there already", next_step="choose another one with -o") from exc
    except OSError as exc:
        text = f"{place} cannot be written: {exc.strerror or exc}"
        raise ConfigError(text, next_step="choose another one with -o") from exc
    document = {"task": _number(number), "name": name, "file": str(place), "size_bytes": size}
    options.report("task_file", document, f"{size:,} bytes in {place}")


def _followed(options: GlobalOptions, host: HostClient, number: int) -> dict[str, Any]:
    """The task once it has ended; what it prints is shown as it comes."""
    printed, after = [], 0
    while True:
        found = host.get(f"/v1/tasks/{number}", {"after": after, "wait_s": WAIT_S})
        if options.json:
            printed.append(found["output"])
        else:
            _print(found["output"])
        after = found["output_ends"]
        if found["state"] not in ("queued", "running"):
            return {**found, "output": "".join(printed)} if options.json else found


@contextmanager
def _cancelling(host: HostClient, number: int) -> Iterator[None]:
    """While inside, SIGINT ends the task; its end is shown then."""

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        host.delete(f"/v1/tasks/{number}")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print(text: str) -> None:
    """It steers no terminal."""
    sys.stdout.write(clean_text(text))
    sys.stdout.flush()


def _end_text(task: dict[str, Any]) -> str:
    how = task["ending"] or task["state"]
    if task["ending"] == "ended":
        how = f"exit code {task['exit_code']}"
    took = ""
    if task["started_ms"] is not None and task["ended_ms"] is not None:
        took = f", {format_duration(task['ended_ms'] - task['started_ms'])}"
    why = f": {task['reason']}" if task["reason"] else ""
    return f"task {task['task']}: {task['state']}, {how.replace('_', ' ')}{took}{why}"


def _read_plain(path: Path) -> bytes:
    """A pipe or a device is refused before it is opened: it could wait for ever."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no plain file", next_step="name a plain file")
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        text = f"{path} cannot be read: {exc.strerror or exc}"
        raise ConfigError(text, next_step="name a file that is there") from exc
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES >> 20} MB", next_step="give it a smaller file")
    return content


def _moment(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UnknownName(f"there is no task {text[:80]!r}: each has a number", next_step="microclaw task list")
    return int(text)
