"""`microclaw device add --xiaozhi`: how a device with xiaozhi's firmware comes."""

from __future__ import annotations

from microclaw.api.operations import read_status
from microclaw.cli.options import GlobalOptions
from microclaw.errors import ConfigError


def add_xiaozhi(options: GlobalOptions, name: str | None) -> None:
    """Print the steps, with this host's address."""
    state = options.host().call(read_status).xiaozhi
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
