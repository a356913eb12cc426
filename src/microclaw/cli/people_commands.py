"""`microclaw approval`, `person` and `token`: approvals, people and the tokens of programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer

from microclaw.cli.options import command_group, global_options
from microclaw.client.request import segment
from microclaw.text import clean_text, door_words, moment_text, role_words

MAX_PASSWORD_LINE: Final = 1024
Role: TypeAlias = Literal["owner", "member", "guest", "read-only"]
approval_group = command_group()
person_group = command_group()
token_group = command_group()
END_S = 30  # how long `approve` waits for the act's end


@approval_group.command("list")
def list_approvals(ctx: typer.Context) -> None:
    """What waits, and exactly what would happen."""
    options = global_options(ctx)
    found = options.fetch("approvals", "/v1/approvals")
    for waiting in found["approvals"]:
        for line in approval_lines(waiting):
            options.line(line)
    if not found["approvals"]:
        options.say("nothing waits")


@approval_group.command("show")
def show_approval(ctx: typer.Context, approval_id: str) -> None:
    """One question: what would happen, and what changes in the source of a program that is replaced."""
    options = global_options(ctx)
    found = options.fetch("approval", f"/v1/approvals/{segment(approval_id)}")
    for line in (*approval_lines(found), *program_lines(found["program"])):
        options.line(line)
    if found["outcome"] is not None:
        options.say(f"{found['outcome']}{_end_text(found.get('end'))}")


def program_lines(program: dict[str, Any] | None) -> list[str]:
    """What changes in the source of a program that is replaced; nothing for other questions."""
    if program is None or program["replaces"] is None:
        return []
    now, then = program["sha256"][:12], program["replaces"][:12]
    if not program["diff"]:
        return [f"    replaces {then}: the source is the same, or not kept"]
    return [f"    what changes, from {then} to {now}:", *(f"    {line}" for line in program["diff"])]


def approval_lines(waiting: dict[str, Any]) -> list[str]:
    """One question, with what would happen below it."""
    risky = ", risky" if waiting["risky"] else ""
    where = door_words(waiting["channel"])
    asked = f"asked by {waiting['person']} {where}{risky}, {waiting['expires_s']:.0f} s left"
    return [f"{waiting['approval_id']}  {waiting['action']}", f"    {asked}", *(f"    {d}" for d in waiting["detail"])]


@approval_group.command("approve")
def approve(ctx: typer.Context, approval_id: str) -> None:
    """Yes: it is done now."""
    _decide(ctx, approval_id, approved=True)


@approval_group.command("decline")
def decline(ctx: typer.Context, approval_id: str) -> None:
    """No: it is not done."""
    _decide(ctx, approval_id, approved=False)


def _decide(ctx: typer.Context, approval_id: str, *, approved: bool) -> None:
    options = global_options(ctx)
    done = options.host().approvals.decide(approval_id, approved=approved, wait_s=END_S)
    options.report("approval", done, f"{done['outcome']}: {done['action']}{_end_text(done.get('end'))}")
    if (end := done.get("end")) is not None and end["state"] in ("failed", "unknown"):
        raise typer.Exit(1)


def _end_text(end: Mapping[str, Any] | None) -> str:
    if end is None:
        return ""
    why, step = end.get("why", ""), f"\nnext: {end['next']}" if end.get("next") else ""
    match end["state"]:
        case "done":
            return "\ndone"
        case "under_way":
            return "\nit goes on; where it was asked its end is told"
        case "failed":
            return f"\nit failed: {why}{step}"
        case _:
            return f"\nwhat came of it is not known: {why}{step}"


@person_group.command("list")
def list_people(ctx: typer.Context) -> None:
    """Who this host knows, and who asks to be let in."""
    options = global_options(ctx)
    found = options.fetch("people", "/v1/people")
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


@person_group.command("pair")
def pair_person(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="The 6 digits that the person was shown.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call them, or somebody known already.")] = None,
    role: Annotated[
        Role | None,
        typer.Option("--role", help="owner without --name: you, at another address. [default: member]"),
    ] = None,
) -> None:
    """Let in who shows CODE: read-only people look, guests ask, members act, owners decide."""
    options = global_options(ctx)
    body = {"code": code, "name": name, "role": role}
    person = options.host().post("/v1/people/pair", body)
    options.report("person", person, f"{person['name']} may write now, as {person['role']}")


@person_group.command("add")
def add_person(
    ctx: typer.Context, name: str, role: Annotated[Role, typer.Option("--role", help="What they may do.")] = "member"
) -> None:
    """Somebody without a channel: they sign in by a link or a password."""
    options = global_options(ctx)
    person = options.host().post("/v1/people", {"name": name, "role": role})
    step = f"microclaw status --open --person {person['name']!r}"
    text = f"{person['name']} is {role_words(person['role'])}; a link for their browser: {step}"
    options.report("person", person, text)


@person_group.command("role")
def change_role(ctx: typer.Context, name: str, role: Role) -> None:
    """Another role; it counts at once, for open sessions and tokens too."""
    options = global_options(ctx)
    person = options.host().patch(f"/v1/people/{segment(name)}", {"role": role})
    options.report("person", person, f"{person['name']} is {role_words(person['role'])} from now on")


@person_group.command("password")
def password(
    ctx: typer.Context,
    name: str,
    remove: Annotated[bool, typer.Option("--remove", help="No password any more.")] = False,
) -> None:
    """Set a password, typed twice or on stdin; every session of the person ends."""
    options = global_options(ctx)
    path = f"/v1/people/{segment(name)}/password"
    if remove:
        options.report("password", options.host().delete(path), f"{name} has no password any more")
        return
    if sys.stdin.isatty():
        text = typer.prompt(f"A password for {name}, at least 12 characters", hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.readline(MAX_PASSWORD_LINE).rstrip("\r\n")
    done = options.host().put(path, {"password": text})
    options.report("password", done, f"{done['person']} signs in with it from now on; older sessions are ended")


@person_group.command("rm")
def remove(ctx: typer.Context, name: str) -> None:
    """Forget somebody, with their addresses, tokens, password and sessions."""
    options = global_options(ctx)
    if not options.json:
        options.agree(f"{name} and every token of theirs will be shut out. Go on?")
    done = options.host().delete(f"/v1/people/{segment(name)}")
    options.report("removed", done, f"{done['removed']} is no longer known here")


@token_group.command("create")
def create_token(
    ctx: typer.Context,
    name: str,
    person: Annotated[str, typer.Option("--person", help="In whose name it acts.")] = "owner",
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="It ends after so many days.")] = None,
    scope: Annotated[
        Literal["read", "chat", "act", "all"],
        typer.Option("--scope", help="read: look; chat: ask, too; act: as a member; all: as its person."),
    ] = "all",
) -> None:
    """Make a token and print it: it is shown this once."""
    options = global_options(ctx)
    made = options.host().post("/v1/tokens", {"name": name, "person": person, "days": days, "scope": scope})
    options.end_with_json("token", made)
    options.line(made["secret"])
    role = f"{made['role']}, scope {made['scope']}"
    text = f"{made['name']} acts as {made['person']} ({role}), {_until(made['expires_ms'])}; keep it secret"
    if not options.quiet:
        sys.stderr.write(clean_text(text) + "\n")  # so that TOKEN=$(microclaw token create NAME) is the token alone


@token_group.command("list")
def list_tokens(ctx: typer.Context) -> None:
    """Every token, never its secret."""
    options = global_options(ctx)
    found = options.fetch("tokens", "/v1/tokens")
    rows = [
        (
            *(t[key] for key in ("name", "person", "role", "scope")),
            moment_text(t["used_ms"]) if t["used_ms"] else "never used",
            _until(t["expires_ms"]),
        )
        for t in found["tokens"]
    ]
    none = "no token yet: microclaw token create NAME"
    options.table(rows, head=("NAME", "PERSON", "ROLE", "SCOPE", "USED", "UNTIL"), empty=none)


@token_group.command("rm")
def remove_token(ctx: typer.Context, name: str) -> None:
    """End a token: it opens nothing from now on."""
    options = global_options(ctx)
    done = options.host().delete(f"/v1/tokens/{segment(name)}")
    options.report("removed", done, f"{done['removed']} opens nothing any more")


def _until(expires_ms: int | None) -> str:
    return f"until {moment_text(expires_ms)}" if expires_ms is not None else "never expires"
