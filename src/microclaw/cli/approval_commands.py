"""`microclaw approval list|approve|decline`: acts that wait for a yes or a no."""

from __future__ import annotations

from typing import Any

import typer

from microclaw.cli.invocation import invocation


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Acts that wait for a yes or a no.")
    group.command("list")(list_approvals)
    group.command("approve")(approve)
    group.command("decline")(decline)
    app.add_typer(group, name="approval")
    app.add_typer(group, name="approvals", hidden=True)


def list_approvals(ctx: typer.Context) -> None:
    """What waits, and exactly what would happen."""
    options = invocation(ctx)
    found = options.host().get("/v1/approvals")
    if options.json:
        options.document("approvals", found)
        return
    for waiting in found["approvals"]:
        for line in approval_lines(waiting):
            options.line(line)
    if not found["approvals"]:
        options.say("nothing waits")


def approval_lines(waiting: dict[str, Any]) -> list[str]:
    """One question, with what would happen below it."""
    risky = ", risky" if waiting["risky"] else ""
    asked = f"asked by {waiting['person']} ({waiting['channel']}){risky}, {waiting['expires_s']:.0f} s left"
    return [f"{waiting['approval_id']}  {waiting['action']}", f"    {asked}", *(f"    {d}" for d in waiting["detail"])]


def approve(ctx: typer.Context, approval_id: str) -> None:
    """Yes: it is done now."""
    _decide(ctx, approval_id, approved=True)


def decline(ctx: typer.Context, approval_id: str) -> None:
    """No: it is not done."""
    _decide(ctx, approval_id, approved=False)


def _decide(ctx: typer.Context, approval_id: str, *, approved: bool) -> None:
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    done = options.host().post(f"/v1/approvals/{segment(approval_id)}", {"approved": approved})
    if options.json:
        options.document("approval", done)
    else:
        options.say(f"{done['outcome']}: {done['action']}")
