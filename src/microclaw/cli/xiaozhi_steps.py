"""`microclaw device add --xiaozhi` and `device update`: how a device with xiaozhi's firmware comes, and is renewed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microclaw.cli.known_names import DeviceName
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.client.request import segment
from microclaw.errors import ConfigError


def add_xiaozhi(options: GlobalOptions, name: str | None) -> None:
    """Print the steps, with this host's address."""
    state = options.host().status()["xiaozhi"]
    if state["ota"] is None:
        raise ConfigError(
            f"this host takes no devices of xiaozhi's firmware{': ' + state['text'] if state['text'] else ''}",
            next_step="microclaw config set voice.xiaozhi 0.0.0.0:8003, then start the host again (docs/xiaozhi.md)",
        )
    steps = [
        "Press the device's BOOT button while it starts. Join its Wi-Fi (Xiaozhi-...), open http://192.168.4.1, and "
        f"under Advanced set the custom OTA URL to {state['ota']} - save, then choose your own Wi-Fi.",
        f"It shows and says six digits. Type them here: microclaw device pair CODE --name {name or 'kitchen'}",
        "Press its button or say its wake word, and speak.",
    ]
    if options.wrote_json("xiaozhi", {"ota": state["ota"], "steps": steps}):
        return
    for number, step in enumerate(steps, 1):
        options.line(f"{number}. {step}")
    if state["ota"].startswith(("http://127.", "http://localhost")):
        options.say("this address is good on this machine alone: microclaw config set voice.xiaozhi 0.0.0.0:8003")


def show_xiaozhi(options: GlobalOptions, found: dict[str, Any] | None, name: str) -> None:
    """What it runs, what is there for it, and how its last update ended."""
    if found is None or found["version"] is None:
        why = "its server is off: microclaw status" if found is None else "it tells at its next start"
        options.line(f"{'version':<12} not known: {why}")
        return
    options.line(f"{'version':<12} {found['version'] or 'one that is not of numbers'}, as it says itself")
    options.line(f"{'image name':<12} {found['board'] or '-'} on {found['chip'] or '-'}")
    if found["problem"] is not None:
        options.line(f"{'newer':<12} {found['problem']}")
    elif found["newer"] is not None:
        options.line(f"{'newer':<12} {found['newer']['version']}: microclaw device update {name}")
    elif found["folder"]:
        options.line(f"{'newer':<12} nothing in the folder voice.xiaozhi_firmware")
    if found["update"] is not None:
        options.line(f"{'update':<12} {_update_line(found['update'])}")


def _update_line(update: dict[str, Any]) -> str:
    state = update["state"].replace("_", " ")
    return f"{update['from']} to {update['version']}: {state} ({update['text']})"


def update(
    ctx: typer.Context,
    name: DeviceName,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take the yes back; what it fetched already stays.")] = False,
) -> None:
    """Let a device with xiaozhi's firmware take a newer one from your folder at its next start."""
    options = global_options(ctx)
    path = f"/v1/devices/{segment(name)}"
    host = options.host()
    if cancel:
        ended = host.delete(f"{path}/update")
        text = f"{ended['cancelled']} is not offered any more" if ended["cancelled"] else "no update waited"
        options.report("update", ended, f"{ended['device']}: {text}")
        return
    found = host.get(path)["xiaozhi"]
    if found is None:
        raise ConfigError(
            f"{name} is no device of xiaozhi's firmware, or their server is off",
            next_step="microclaw status; a board with other firmware: microclaw flash",
        )
    if found["problem"] is not None:
        raise ConfigError(f"nothing is offered to {name}: {found['problem']}", next_step="docs/xiaozhi.md")
    if found["newer"] is None:
        reason = (
            f"nothing newer than {found['version']} for {found['board']} is in the folder"
            if found["folder"]
            else "this host has no folder with images"
        )
        raise ConfigError(
            f"{reason}", next_step="microclaw config set voice.xiaozhi_firmware FOLDER; BOARD-VERSION.bin goes there"
        )
    newer = found["newer"]
    if not options.json:
        options.say(f"{newer['file']}, SHA-256 {newer['sha256']}")
        options.say("its firmware checks no signature: take an image that you built, or whose source you trust")
    options.agree(f"{name} runs {found['version']}. Let it take {newer['version']} at its next start?")
    done = host.post(f"{path}/update", {"version": newer["version"], "sha256": newer["sha256"]})
    options.report(
        "update",
        done,
        f"{done['device']} may take {newer['version']} within a day: switch it off and on. "
        f"How it ended: microclaw device show {name}",
    )
