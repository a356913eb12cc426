"""`microclaw crash`: how boards and their programs failed, by kind. The host keeps the reports."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from microclaw.cli.audit_command import since_ms
from microclaw.cli.options import command_group, global_options
from microclaw.text import count_text, moment_text

crash_group = command_group()
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `crash list` shows it.")]


@crash_group.command("list")
def list_crashes(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only those that came since then: 30m, 12h, 7d.")
    ] = None,
) -> None:
    """The kinds of crash, the newest first; with -d NAME those that this board had."""
    options = global_options(ctx)
    query: list[tuple[str, str | int]] = [("device", name) for name in options.devices]
    if since is not None:
        query.append(("since", since_ms(since)))
    found = options.fetch("crashes", f"/v1/crashes?{urlencode(query)}" if query else "/v1/crashes")
    rows = [
        (one["id"], moment_text(one["last_ms"]), one["count"], _boards(one["devices"]), _what(one), one["title"])
        for one in found["crashes"]
    ]
    none = "no crashes" if since is None and not options.devices else "no crashes of that time and board"
    options.table(rows, head=("ID", "LAST", "COUNT", "BOARDS", "WHAT", "TITLE"), empty=none)
    if rows:
        options.say("one of them with its traces: microclaw crash show ID")


@crash_group.command("show")
def show(ctx: typer.Context, number: Number) -> None:
    """One kind of crash: who had it, the newest traces, and the last lines before each."""
    options = global_options(ctx)
    found = options.fetch("crash", f"/v1/crashes/{number}")
    options.line(f"crash {found['id']}: {found['title']}")
    rows = [
        ("what", _what(found)),
        ("version", found["version"] or "not known"),
        ("count", f"{found['count']:,}, from {moment_text(found['found_ms'])} to {moment_text(found['last_ms'])}"),
        ("boards", ", ".join(found["devices"])),
    ]
    rows += [("meaning", found["text"]), ("next", found["next"])] if found["text"] else []
    for name, text in rows:
        options.line(f"{name:<9} {text}")
    for report in found["reports"]:
        options.line()
        firmware = f", {report['firmware']}" if report["firmware"] else ""
        options.line(f"{moment_text(report['at_ms'])}  {report['device']}{firmware}")
        for line in report["trace"].splitlines():
            options.line(f"  {line}")
        if report["log"]:
            options.line("  last lines:")
        for line in report["log"]:
            options.line(f"    {line}")


@crash_group.command("clear")
def clear(
    ctx: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", min=1, help="None: all of them.")] = None,
) -> None:
    """Forget crashes: those of these numbers, with -d NAME those of this board, else (or with --all) all."""
    options = global_options(ctx)
    if options.every and (numbers or options.devices or options.labels):
        raise typer.BadParameter("--all is every crash: give it alone")
    device = None if options.every else options.device
    if not options.json:
        which = "all crashes" if not numbers else f"crash {', '.join(map(str, numbers))}"
        options.agree(f"Forget {which}{f' of {device}' if device else ''}?")
    done = options.host().devices.clear_crashes(numbers or None, device=device)
    options.report("crashes_cleared", done, f"{count_text(done['cleared'], 'report')} forgotten")


def _what(one: dict[str, Any]) -> str:
    """ "program blink", "reset", "firmware"."""
    return f"program {one['program']}" if one["kind"] == "program" else str(one["kind"])


def _boards(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} boards"
