"""`microclaw session`: conversations through the host, and those of a MimiClaw device taken over."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.cli.invocation import invocation

SEE: Final = "microclaw session list"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Conversations that are kept.", no_args_is_help=True)
    group.command("list")(list_sessions)
    group.command()(show)
    group.command("rm")(remove)
    group.command("import")(import_folder)
    app.add_typer(group, name="session")


def list_sessions(ctx: typer.Context) -> None:
    """List conversations, the latest first."""
    options = invocation(ctx)
    found = options.host().get("/v1/sessions")
    if options.json:
        options.document("sessions", found)
        return
    rows = [(s["name"], _when(s["changed_s"]), f"{s['size_bytes']:,} B") for s in found["sessions"]]
    options.table(rows, head=("NAME", "LAST", "SIZE"))


def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As session list names it, or its chat alone.")],
    newest: Annotated[int, typer.Option("-n", "--newest", min=1, max=1000, help="So many messages.")] = 40,
) -> None:
    """Print the newest messages of a conversation."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    found = options.host().get(f"/v1/sessions/{segment(name, SEE)}", {"newest": newest})
    if options.json:
        options.document("session", found)
        return
    for message in found["messages"]:
        who = message["person"] if message["role"] == "user" else "microclaw"
        options.line(f"{_when(message['ts'])}  {who}: {message['content']}")


def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As session list names it, or its chat alone.")],
) -> None:
    """Remove a conversation for good."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    host = options.host()
    full = host.get(f"/v1/sessions/{segment(name, SEE)}", {"newest": 1})["name"]
    if not options.yes and not options.json:
        typer.confirm(f"Remove the conversation {full} for good?", abort=True)
    found = host.delete(f"/v1/sessions/{segment(full)}")
    if options.json:
        options.document("session_rm", found)
    options.say(f"removed {full}")


def import_folder(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A copy of the device's files: config/, memory/, sessions/ ...")],
) -> None:
    """Take over a MimiClaw device's conversations, memory, persona, skills and schedules. Overwrites nothing."""
    options = invocation(ctx)
    found = options.host().post("/v1/sessions/import", {"folder": str(folder.expanduser().absolute())})
    if options.json:
        options.document("session_import", found)
        return
    rows = [(f["name"], f["outcome"], f["detail"]) for f in found["files"]]
    options.table(rows, head=("FILE", "OUTCOME", "WHAT"))
    for job in found["jobs"]:
        options.line(_job_line(job))
    if found["jobs"]:
        places = (folder / "cron.json", folder / "config" / "cron.json")
        jobs = next((str(place) for place in places if place.is_file()), "FILE")
        options.say(f"next: microclaw schedule import {shlex.quote(jobs)}")


def _job_line(job: dict[str, Any]) -> str:
    when = f"every {job['every_s']} s" if job["every_s"] is not None else f"once at {_when(job['at_s'])}"
    return f"schedule {job['name']}: {when}: {job['message']}"


def _when(seconds: int) -> str:
    """Local time; the number itself where no calendar reaches (files of others may count milliseconds)."""
    from datetime import datetime

    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"
