"""`microclaw token create|list|rm`: tokens by which programs use the API in a person's name."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from microclaw.cli.invocation import invocation


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Tokens for the API.")
    group.command("create")(create)
    group.command("list")(list_tokens)
    group.command("rm")(remove)
    app.add_typer(group, name="token")
    app.add_typer(group, name="tokens", hidden=True)


def create(
    ctx: typer.Context,
    name: str,
    person: Annotated[str, typer.Option("--person", help="In whose name it acts.")] = "owner",
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="It ends after so many days.")] = None,
) -> None:
    """Make a token and print it: it is shown this once."""
    options = invocation(ctx)
    made = options.host().post("/v1/tokens", {"name": name, "person": person, "days": days})
    if options.json:
        options.document("token", made)
        return
    options.line(made["secret"])
    options.say(
        f"{made['name']} acts as {made['person']} ({made['role']}), {_until(made['expires_ms'])}; keep it secret"
    )


def list_tokens(ctx: typer.Context) -> None:
    """Every token, never its secret."""
    options = invocation(ctx)
    found = options.host().get("/v1/tokens")
    if options.json:
        options.document("tokens", found)
        return
    rows = [
        (t["name"], t["person"], t["role"], _day(t["used_ms"]) or "never used", _until(t["expires_ms"]))
        for t in found["tokens"]
    ]
    if rows:
        options.table(rows, head=("NAME", "PERSON", "ROLE", "USED", "UNTIL"))
    else:
        options.say("no token yet: microclaw token create NAME")


def remove(ctx: typer.Context, name: str) -> None:
    """End a token: it opens nothing from now on."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    done = options.host().delete(f"/v1/tokens/{segment(name)}")
    if options.json:
        options.document("removed", done)
    else:
        options.say(f"{done['removed']} opens nothing any more")


def _until(expires_ms: int | None) -> str:
    return f"until {_day(expires_ms)}" if expires_ms is not None else "without an end"


def _day(at_ms: int | None) -> str | None:
    return None if at_ms is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at_ms / 1000))
