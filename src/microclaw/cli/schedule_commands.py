"""`microclaw schedule` and `subagent`: later work and background work. It runs nothing itself."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from microclaw.cli.options import command_group, global_options
from microclaw.errors import ScheduleRefused, UnknownName

schedule_group = command_group()


Number = Annotated[str, typer.Argument(metavar="NUMBER", help="As `schedule list` shows it.")]

_EXAMPLE: Final = 'microclaw schedule add "every weekday at 7" "turn on pin 4"'
subagent_group = command_group()


@schedule_group.command("list")
def list_schedules(ctx: typer.Context) -> None:
    """What is scheduled, and when it is due next."""
    options = global_options(ctx)
    found = options.fetch("schedules", "/v1/schedules")
    rows = [
        (s["schedule"], s["when"], s["what"], s["device"] or "-", s["next"] or "-", _state(s))
        for s in found["schedules"]
    ]
    none = f"nothing is scheduled; {_EXAMPLE}"
    options.table(rows, head=("NUMBER", "WHEN", "WHAT", "DEVICE", "NEXT", "STATE"), empty=none)


@schedule_group.command("add")
def add(
    ctx: typer.Context,
    when: Annotated[str, typer.Argument(metavar="WHEN", help='"every weekday at 7", "in 20 minutes", "0 7 * * 1-5"')],
    what: Annotated[list[str], typer.Argument(metavar="WHAT...", help="What to do then, in a sentence.")],
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="As Europe/Berlin. [default: yours]")
    ] = None,
    missed: Annotated[
        Literal["run", "skip"] | None,
        typer.Option("--missed", help="Host off at the time: run it once later, or skip. [default: run one-offs]"),
    ] = None,
) -> None:
    """Do WHAT at WHEN: a sentence that needs no model is worked out now, the agent gets the others then."""
    options = global_options(ctx)
    doing = " ".join(what).strip()
    if not when.strip() or not doing:
        raise ScheduleRefused("a schedule has a time and something to do", next_step=_EXAMPLE)
    made = options.host().schedules.add(when, doing, timezone=zone, missed=missed, device=options.device)
    options.end_with_json("schedule", made)
    how = "the agent is asked then" if made["asks_model"] else f"{made['tool']}, no model is asked"
    options.say(f"schedule {made['schedule']}: {made['what']} ({how})")
    options.say(f"next: {made['next']}")
    if made["warning"]:
        options.say(f"careful: {made['warning']}")


@schedule_group.command("show")
def show(ctx: typer.Context, number: Number) -> None:
    """A schedule and how its latest runs ended."""
    options = global_options(ctx)
    found = options.fetch("schedule", f"/v1/schedules/{_number(number)}")
    options.line(f"{found['when']}: {found['what']}")
    options.line(f"next {found['next'] or '-'}, {_state(found)}, missed runs: {found['missed']}")
    for one in found["runs"]:
        options.line(f"{one['due']}  {one['state']}  {one['result']}")


@schedule_group.command("run")
def run(ctx: typer.Context, number: Number) -> None:
    """Run it now; its own times stay."""
    options = global_options(ctx)
    found = options.host().schedules.run(_number(number))
    options.report("schedule", found, f"schedule {number} runs now; how it ended: microclaw schedule show {number}")


@schedule_group.command("pause")
def pause(ctx: typer.Context, number: Number) -> None:
    """Keep it, and run it no more until it is resumed."""
    options = global_options(ctx)
    found = options.host().schedules.pause(_number(number))
    options.report(
        "schedule", found, f"schedule {number} is {_state(found)}; again: microclaw schedule resume {number}"
    )


@schedule_group.command("resume")
def resume(ctx: typer.Context, number: Number) -> None:
    """Make a paused schedule due again; what it missed is not made up for."""
    options = global_options(ctx)
    found = options.host().schedules.resume(_number(number))
    options.report("schedule", found, f"schedule {number} is due next {found['next']}")


@schedule_group.command("rm")
def remove(ctx: typer.Context, number: Number) -> None:
    """Remove a schedule."""
    options = global_options(ctx)
    gone = options.host().schedules.remove(_number(number))
    options.report("removed", gone, f"removed: {gone['when']}: {gone['what']}")


def _state(schedule: dict[str, Any]) -> str:
    reasons = "; ".join(reason for reason in (schedule["why"], schedule["problem"]) if reason)
    return f"{schedule['state']}: {reasons}" if reasons else str(schedule["state"])


def _number(text: str) -> int:
    """UnknownName for what no schedule is numbered."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) < 2**63):
        raise UnknownName(
            f"there is no schedule {text[:80]!r}: each has a number", next_step="see them: microclaw schedule list"
        )
    return int(text)


@subagent_group.command("list")
def list_subagents(ctx: typer.Context) -> None:
    """Subagents that work, and the latest that ended."""
    options = global_options(ctx)
    found = options.fetch("subagents", "/v1/subagents")
    rows = [(s["subagent"], s["state"], f"{s['tokens']:,}", s["task"][:60]) for s in found["subagents"]]
    options.table(rows, head=("ID", "STATE", "TOKENS", "TASK"), empty="no subagent works")


@subagent_group.command("cancel")
def cancel_subagent(ctx: typer.Context, subagent: str) -> None:
    """End a subagent; what it has begun is finished."""
    options = global_options(ctx)
    done = options.host().schedules.end_subagent(subagent)
    options.report("cancelled", done, f"subagent {done['cancelled']} ends")
