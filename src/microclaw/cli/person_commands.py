"""`microclaw person list|pair|rm`: who may write to this host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from microclaw.cli.invocation import invocation


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"
    GUEST = "guest"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who may write to this host.")
    group.command("list")(list_people)
    group.command("pair")(pair)
    group.command("rm")(remove)
    app.add_typer(group, name="person")
    app.add_typer(group, name="people", hidden=True)


def list_people(ctx: typer.Context) -> None:
    """Who this host knows, and who asks to be let in."""
    options = invocation(ctx)
    found = options.host().get("/v1/people")
    if options.json:
        options.document("people", found)
        return
    rows = [
        (p["name"], p["role"], ", ".join(f"{a['channel']}:{a['id']}" for a in p["addresses"]) or "-")
        for p in found["people"]
    ]
    options.table(rows, head=("NAME", "ROLE", "WHERE"))
    for asking in found["asking"]:
        options.line(
            f"{asking['name'] or 'somebody'} in {asking['channel']} asks to be let in "
            f"({asking['seconds_left']} s left): microclaw person pair CODE"
        )


def pair(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="The 6 digits that the person was shown.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call them, or somebody known already.")] = None,
    role: Annotated[
        Role | None, typer.Option("--role", help="owner without --name: you, at another address. [default: member]")
    ] = None,
) -> None:
    """Let in who shows CODE: guests look, members act, owners decide."""
    options = invocation(ctx)
    body = {"code": code, "name": name, "role": None if role is None else role.value}
    person = options.host().post("/v1/people/pair", body)
    if options.json:
        options.document("person", person)
    else:
        options.say(f"{person['name']} may write now, as {person['role']}")


def remove(ctx: typer.Context, name: str) -> None:
    """Forget somebody, with their addresses and tokens."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    if not options.yes and not options.json:
        typer.confirm(f"{name} and every token of theirs will be shut out. Go on?", abort=True)
    done = options.host().delete(f"/v1/people/{segment(name)}")
    if options.json:
        options.document("removed", done)
    else:
        options.say(f"{done['removed']} is a stranger again")
