"""`microclaw rollout`: updates of many boards in stages. The host carries them on; this shows and steers."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal

import typer

from microclaw.apps.trial import parse_duration_ms
from microclaw.cli.many_devices import ask_once, choice_body
from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.client import Client
from microclaw.devices.selection import names_text
from microclaw.ota.rollout_plan import DEFAULT_STAGES
from microclaw.text import count_text, format_duration

rollout_group = command_group()
POLL_S: Final = 1.0
_OPEN: Final = ("running", "paused")
_BAD: Final = ("rolled_back", "refused", "failed", "late")
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Of the rollout: microclaw rollout list.")]


def _option(name: str, metavar: str, about: str) -> Any:
    return typer.Option(name, metavar=metavar, help=about)


@rollout_group.command("start")
def start(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A published version: microclaw firmware list.")],
    stages: Annotated[str, _option("--stages", "LIST", "Boards, or shares of them, one after the other.")] = (
        DEFAULT_STAGES
    ),
    outdated: Annotated[bool, typer.Option("--outdated", help="Leave out who runs it, or a newer one.")] = False,
    revision: Annotated[
        list[str] | None, _option("--revision", "R", "Only boards of this revision; may be given again.")
    ] = None,
    healthy: Annotated[
        int, typer.Option("--healthy", metavar="PERCENT", min=50, max=100, help="Of a stage: else it stops.")
    ] = 95,
    crashes: Annotated[int, typer.Option("--crashes", min=0, help="New crash reports that are borne.")] = 0,
    soak: Annotated[str, _option("--soak", "TIME", "Between a stage and the next.")] = "10m",
    device_time: Annotated[str, _option("--device-time", "TIME", "An update without an end has failed then.")] = "30m",
    absent: Annotated[str, _option("--absent", "TIME", "How long a stage waits for boards that are off.")] = "24h",
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Boards that update at the same time.")] = 50,
    per_minute: Annotated[int, typer.Option("--per-minute", min=1, help="Offers in a minute.")] = 600,
    window: Annotated[str | None, _option("--window", "02:00-05:00", "Offers go out then alone; local time.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show how it goes on, until its end.")] = False,
) -> None:
    """Update boards in stages: it goes on by itself, and stops by itself when boards do not become healthy."""
    options = global_options(ctx)
    host = options.host()
    ask_once(options, host, f"roll {version} out to")
    body = {
        **choice_body(options),
        "version": version,
        "stages": stages,
        "outdated": outdated,
        "revisions": revision or [],
        "healthy_share": healthy / 100,
        "max_crashes": crashes,
        "soak_s": _seconds(soak),
        "device_s": _seconds(device_time),
        "absent_s": _seconds(absent),
        "under_way": at_once,
        "per_minute": per_minute,
        "window": window,
    }
    made = host.post("/v1/rollouts", body)
    if not options.json:
        for left in made["left_out"]:
            options.say(f"left out: {left['device']}: {left['reason']}")
        _show(options, made)
    if follow:
        made = {**_followed(options, host, made["rollout"]), "left_out": made["left_out"]}
    else:
        options.say(f"next: microclaw rollout status {made['rollout']} -f")
    options.wrote_json("rollout", made)
    _end(made, follow=follow)


@rollout_group.command("list")
def list_rollouts(ctx: typer.Context) -> None:
    """Rollouts, the newest first."""
    options = global_options(ctx)
    found = options.fetch("rollouts", "/v1/rollouts")["rollouts"]
    for one in found:
        options.line(_line(one))
    if not found:
        options.say("no rollout yet. next: microclaw rollout start VERSION --all")


@rollout_group.command("status")
def status(
    ctx: typer.Context,
    number: Annotated[int | None, typer.Argument(metavar="[NUMBER]", min=1, help="None: the newest.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show how it goes on, until its end.")] = False,
) -> None:
    """How a rollout stands, and which boards did not become healthy."""
    options = global_options(ctx)
    host = options.host()
    if number is None:
        found = host.rollouts.list()
        if not found:
            options.report("rollout", {"rollout": None}, "no rollout yet. next: microclaw rollout start VERSION --all")
            return
        number = int(found[0]["rollout"])
    if follow:
        one = _followed(options, host, number)
    else:
        one = host.rollouts.get(number)
        if not options.json:
            _show(options, one)
    options.wrote_json("rollout", one)
    _end(one, follow=follow)


@rollout_group.command("pause")
def pause(ctx: typer.Context, number: Number) -> None:
    """Offer it to no more boards; what is under way goes on."""
    _steer(ctx, number, "pause")


@rollout_group.command("resume")
def resume(ctx: typer.Context, number: Number) -> None:
    """Go on with a paused rollout."""
    _steer(ctx, number, "resume")


@rollout_group.command("stop")
def stop(ctx: typer.Context, number: Number) -> None:
    """End it for good: boards that have the update keep it."""
    _steer(ctx, number, "stop")


@rollout_group.command("undo")
def undo(ctx: typer.Context, number: Number) -> None:
    """Take its boards back to the version that they ran before."""
    options = global_options(ctx)
    host = options.host()
    one = host.rollouts.get(number)
    options.agree(f"take {count_text(one['counts']['healthy'], 'board')} back from {one['version']}?")
    made = host.post(f"/v1/rollouts/{number}/undo")
    if not options.wrote_json("rollouts", made):
        for each in made["rollouts"]:
            _show(options, each)
            options.say(f"next: microclaw rollout status {each['rollout']} -f")


def _steer(ctx: typer.Context, number: int, act: Literal["pause", "resume", "stop"]) -> None:
    options = global_options(ctx)
    one = options.host().rollouts.change(number, act)
    if not options.wrote_json("rollout", one):
        _show(options, one)


def _followed(options: GlobalOptions, host: Client, number: int) -> dict[str, Any]:
    """A line for each change, until it is over; Ctrl-C leaves it going on."""
    shown = ""
    while True:
        one = host.rollouts.get(number)
        line = _line(one)
        if line != shown and not options.json:
            options.line(line)
            shown = line
        if one["state"] not in _OPEN and not one["counts"]["offered"]:
            if not options.json:
                _show_failures(options, one)
            return one
        time.sleep(POLL_S)


def _line(one: dict[str, Any]) -> str:
    counts = one["counts"]
    parts = [f"{counts['healthy']} of {one['count']} healthy"]
    bad = sum(counts[state] for state in _BAD)
    parts += [f"{counts['offered']} under way"] * bool(counts["offered"]) + [f"{bad} not"] * bool(bad)
    undoes = f", takes back {one['undoes']}" if one["undoes"] else ""
    stage = f", stage {one['stage']} of {len(one['stages'])}" if one["state"] in _OPEN else ""
    soaking = ", soaking" if one["soaking_since_ms"] is not None and one["state"] == "running" else ""
    reason = f": {one['reason']}" if one["reason"] and one["state"] not in ("done", "running") else ""
    return f"{one['rollout']}  {one['version']}{undoes}  {one['state']}{stage}{soaking}  {', '.join(parts)}{reason}"


def _show(options: GlobalOptions, one: dict[str, Any]) -> None:
    options.line(_line(one))
    ago = format_duration(max(0, time.time() * 1000 - one["began_ms"]), decimals=0)
    window = f", offers from {one['window'].replace('-', ' to ')}" if one["window"] else ""
    stages = ", ".join(map(str, one["stages"]))
    options.line(f"   begun {ago} ago by {one['began_by']}; stages of {stages}{window}")
    _show_failures(options, one)


def _show_failures(options: GlobalOptions, one: dict[str, Any]) -> None:
    by_reason: dict[str, list[str]] = {}
    for each in one["failures"]:
        by_reason.setdefault(each["error"] or each["state"], []).append(each["device"])
    for reason, names in by_reason.items():
        options.line(f"   {names_text(names)}: {reason}")
    if one["state"] == "halted":
        undone = f"; microclaw rollout undo {one['rollout']} takes the others back" if one["counts"]["healthy"] else ""
        options.say(f"next: mend the firmware, publish it as a new version, and roll that out --outdated{undone}")


def _end(one: dict[str, Any], *, follow: bool) -> None:
    if follow and one["state"] == "halted":
        raise typer.Exit(FAILED)


def _seconds(text: str) -> float:
    return parse_duration_ms(text) / 1000
