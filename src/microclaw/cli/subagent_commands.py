"""`microclaw subagent`: who works in the background. It starts none: the agent does."""

from __future__ import annotations

import typer

from microclaw.cli.invocation import invocation


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Work in the background.")
    group.command("list")(list_subagents)
    group.command("cancel")(cancel)
    app.add_typer(group, name="subagent")


def list_subagents(ctx: typer.Context) -> None:
    """Subagents that work, and the latest that ended."""
    options = invocation(ctx)
    found = options.host().get("/v1/subagents")
    if options.json:
        options.document("subagents", found)
        return
    if not found["subagents"]:
        options.say("no subagent works")
        return
    rows = [(s["subagent"], s["state"], f"{s['tokens']:,}", s["task"][:60]) for s in found["subagents"]]
    options.table(rows, head=("ID", "STATE", "TOKENS", "TASK"))


def cancel(ctx: typer.Context, subagent: str) -> None:
    """End a subagent; what it has begun is finished."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    done = options.host().delete(f"/v1/subagents/{segment(subagent)}")
    if options.json:
        options.document("cancelled", done)
    else:
        options.say(f"subagent {done['cancelled']} ends")
