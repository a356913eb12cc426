"""`microclaw voice record`: what a device hears, kept for one's own debugging. Off unless an owner switches it on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from microclaw.apps.trial import parse_duration_ms
from microclaw.cli.known_names import device_names
from microclaw.cli.options import command_group, global_options
from microclaw.client.request import segment
from microclaw.text import one_line

record_group = command_group()
DAY_S = 86_400


@record_group.callback()
def record() -> None:
    """Keep what a device hears, to find out why it is not understood. The device says so aloud."""


@record_group.command("on")
def begin(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", autocompletion=device_names)],
    for_time: Annotated[str, typer.Option("--for", metavar="TIME", help="10s to 1d, as 30s, 10m, 2h or 1d.")] = "10m",
) -> None:
    """Record DEVICE for a while. It begins when the device has said so, and ends by itself."""
    options = global_options(ctx)
    window = options.host().post("/v1/voice/recordings", {"device": device, "for_s": seconds_of(for_time)})
    options.report("voice-recording", window, f"{recording_line(window)}; off: microclaw voice record off {device}")


@record_group.command("off")
def end(
    ctx: typer.Context, device: Annotated[str, typer.Argument(metavar="DEVICE", autocompletion=device_names)]
) -> None:
    """Record no more of DEVICE; what was kept stays until `record rm`, or its days are over."""
    options = global_options(ctx)
    ended = options.host().delete(f"/v1/voice/recordings/on/{segment(device)}")
    options.report("voice-recording", ended, f"{device} is not recorded any more")


@record_group.command("list")
def show(ctx: typer.Context) -> None:
    """The devices that are recorded, and every recording with what was understood."""
    options = global_options(ctx)
    found = options.fetch("voice-recordings", "/v1/voice/recordings")
    for window in found["on"]:
        options.line(recording_line(window))
    if not found["on"]:
        options.say("no device is recorded")
    if found["files"]:
        rows = [_row(one) for one in found["files"]]
        options.table(rows, head=("NAME", "DEVICE", "LENGTH", "SURE", "TEXT"))
        options.say(f"in {found['files'][0]['file'].rpartition('/')[0]}, for {found['days']} days")


@record_group.command("rm")
def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|all", help="As `record list` has it, or all of them.")],
) -> None:
    """Remove a recording, or all of them."""
    options = global_options(ctx)
    if name == "all":
        options.agree("Remove every recording?")
    path = "/v1/voice/recordings" if name == "all" else f"/v1/voice/recordings/{segment(name)}"
    found = options.host().delete(path)
    options.report("voice-recordings-removed", found, f"{found['removed']} removed")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    text = one_line(one["text"]) or "-"
    return one["name"], one["device"], f"{one['seconds']:.1f} s", f"{one['confidence']:.2f}", text


def seconds_of(text: str) -> int:
    """10m, 2h, 1d; the host says what is too short or too long."""
    ms = parse_duration_ms(text)
    if not 10_000 <= ms <= DAY_S * 1000:
        raise typer.BadParameter(f"--for {text}: 10s to 1d, as 30s, 10m, 2h or 1d")
    return round(ms / 1000)


def recording_line(window: dict[str, Any]) -> str:
    until = datetime.fromtimestamp(window["until_ms"] / 1000).astimezone()
    is_today = until.date() == datetime.now().astimezone().date()
    shown = f"{until:%H:%M:%S}" if is_today else f"{until:%a %d %b %H:%M:%S}"
    if window["told"]:
        return f"{window['device']} is recorded until {shown}"
    return f"{window['device']} will be recorded until {shown}, once it is connected and has said so"
