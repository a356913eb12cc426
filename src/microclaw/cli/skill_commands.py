"""`microclaw skill`: which skills there are, what one says, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from microclaw.cli.invocation import FAILED, Invocation, invocation

SEE: Final = "microclaw skill list"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Skills: how the agent does something well.", no_args_is_help=True)
    group.command("list")(list_skills)
    group.command()(show)
    group.command()(check)
    app.add_typer(group, name="skill")


def list_skills(ctx: typer.Context) -> None:
    """List skills: yours, then the shipped ones."""
    options = invocation(ctx)
    found = options.host().get("/v1/skills")
    if options.json:
        options.document("skills", found)
        return
    rows = [(s["name"], "shipped" if s["shipped"] else "yours", s["description"]) for s in found["skills"]]
    rows += [(b["name"], "broken", f"microclaw skill check {b['name']}") for b in found["broken"]]
    options.table(rows, head=("NAME", "FROM", "WHAT IT IS FOR"))
    options.say(f"\nyours are folders in {found['folder']}")


def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The skill's name.")]) -> None:
    """Print a skill's text."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    found = options.host().get(f"/v1/skills/{segment(name, SEE)}")
    if options.json:
        options.document("skill", found)
        return
    options.line(found["text"])
    for file in found["files"]:
        options.say(f"file: {file}")


def check(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The skill's name; every one without it.")] = None,
) -> None:
    """Check skills: each mistake with its line. Exit code 1 when one cannot be used."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    host = options.host()
    if name is None:
        listed = host.get("/v1/skills")
        names = [each["name"] for each in (*listed["skills"], *listed["broken"])]
    else:
        names = [name]
    checked = [host.get(f"/v1/skills/{segment(each, SEE)}/check") for each in names]
    if options.json:
        options.document("skill_check", {"skills": checked})
    else:
        for each in checked:
            _print(options, each)
    if not all(each["ok"] for each in checked):
        raise typer.Exit(FAILED)


def _print(options: Invocation, checked: dict[str, Any]) -> None:
    for mistake in checked["mistakes"]:
        options.line(mistake["text"])
    if not checked["mistakes"]:
        options.say(f"{checked['name']}: ok")
