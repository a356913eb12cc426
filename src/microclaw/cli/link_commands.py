"""`microclaw device pair|label|revoke|provision` and `notify`: devices that connect to this host by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from microclaw.cli.invocation import Invocation, invocation


def register(app: typer.Typer, group: typer.Typer) -> None:
    """`group` is `device`."""
    group.command("pair")(pair)
    group.command("label")(label)
    group.command("revoke")(revoke)
    group.command("provision")(provision)
    app.command()(notify)


def pair(
    ctx: typer.Context,
    code: Annotated[str | None, typer.Argument(help="The 6 digits that the device shows; none: who waits.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it.")] = None,
) -> None:
    """Let the device that shows CODE in; with -d NAME it is that known device. Without CODE: list who waits."""
    options = invocation(ctx)
    if code is None:
        _list_waiting(options)
        return
    body = {"code": code, "name": name, "device": options.device}
    device = options.host().post("/v1/devices/pair", body)
    if options.json:
        options.document("device", device)
    else:
        options.say(f"{device['name']} is paired ({device['title']}). Try: microclaw device show {device['name']}")


def waiting_lines(pairings: Iterable[dict[str, Any]]) -> list[str]:
    """Devices that wait to be paired, one a line. Their codes are theirs to show."""
    return [
        f"{found['board']} at {found['address']} shows a code, good for {found['seconds_left']} s: "
        "microclaw device pair CODE"
        for found in pairings
    ]


def _list_waiting(options: Invocation) -> None:
    found = options.host().get("/v1/pairings")
    if options.json:
        options.document("pairings", found)
        return
    for line in waiting_lines(found["pairings"]):
        options.line(line)
    if not found["pairings"]:
        options.say("no device waits to be paired. What a new one needs: microclaw device provision NAME")


def label(
    ctx: typer.Context,
    name: str,
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL]...", help="None: take all away.")] = None,
) -> None:
    """Replace a device's labels."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    device = options.host().put(f"/v1/devices/{segment(name)}/labels", {"labels": labels or []})
    if options.json:
        options.document("device", device)
    else:
        options.say(f"{device['name']}: {', '.join(device['labels']) or 'no labels'}")


def revoke(ctx: typer.Context, name: str) -> None:
    """End what a device's credentials open, at once; it can be paired again."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    if not options.yes and not options.json:
        typer.confirm(f"{name} will be cut off until it is paired again. Go on?", abort=True)
    done = options.host().post(f"/v1/devices/{segment(name)}/revoke")
    if options.json:
        options.document("revoked", done)
    else:
        options.say(f"{done['device']}: {done['revoked']} credentials revoked" if done["revoked"] else "it had none")


def provision(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the device is to be called, or a known device.")],
    board: Annotated[str | None, typer.Option("--board", help="Only a board of this profile may use it.")] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="PATH", help="Write it there, 0600.")] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show it as a QR code.")] = False,
    no_secret: Annotated[bool, typer.Option("--no-secret", help="For a device that shows a pairing code.")] = False,
    host: Annotated[str | None, typer.Option("--address", metavar="HOST", help="How the device reaches this host.")] = (
        None
    ),
) -> None:
    """Print what a device needs to trust this host and be paired: as text, file or QR code."""
    options = invocation(ctx)
    body = {"name": name, "board": board, "secret": not no_secret, "host": host, "qr": qr}
    made = options.host().post("/v1/devices/provision", body)
    if file is not None:
        _write(file, made)
    if options.json:
        options.document("provision", {key: made[key] for key in made if key not in ("text", "file", "qr")})
        return
    options.line(made["text"])
    if qr:
        options.line(made["qr"])
    if file is not None:
        options.say(f"written to {file}: whoever reads it can become this device")
    if made["only_local"]:
        options.say("this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443")
    if made["secret"]:
        options.say("the secret is good for one device, for 30 days")


def _write(path: Path, made: dict[str, Any]) -> None:
    from microclaw.durable import write_private

    write_private(path, made["file"].encode())


def notify(
    ctx: typer.Context,
    device: str,
    text: Annotated[list[str], typer.Argument(metavar="TEXT...")],
    speak: Annotated[bool, typer.Option("--speak", help="Say it aloud, where the device can.")] = False,
    expires: Annotated[
        int | None, typer.Option("--expires", metavar="SECONDS", min=1, help="Worth nothing after that.")
    ] = None,
) -> None:
    """Tell a device something: at once when it is connected, else when it comes back."""
    from microclaw.cli.host_client import segment

    options = invocation(ctx)
    body = {"text": " ".join(text), "speak": speak, "expires_s": expires}
    noted = options.host().post(f"/v1/devices/{segment(device)}/notify", body)
    if options.json:
        options.document("notify", noted)
    elif noted["state"] == "delivered":
        options.say(f"{noted['device']} has it")
    else:
        until = f", for {expires} s" if expires else ""
        options.say(f"{noted['device']} is not connected: it gets it when it comes back{until}")
