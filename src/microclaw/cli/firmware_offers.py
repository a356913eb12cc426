"""Offers of updates on the command line: sent, and followed to each device's end. The host does the work."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer

from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions
from microclaw.client import Client

FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
RESTART_S: Final = 120.0
"""A board that is short of memory restarts for an offer: it is away only after that."""
_POLL_S: Final = 0.5


def offer(options: GlobalOptions, host: Client, release: str, choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One result a device: its `offer`, the version that it runs `already`, or the `error` why it was not offered."""
    made = host.post("/v1/firmware/offers", {"release": release, **choice})
    for one in made["results"]:
        if "error" in one:
            step = one["error"]["next"]
            options.say(f"{one['device']}: not offered: {one['error']['message']}{f'; next: {step}' if step else ''}")
        elif "already" in one:
            options.say(f"{one['device']}: runs {one['already']} already")
    return list(made["results"])


def follow_offers(
    options: GlobalOptions, host: Client, version: str, results: Sequence[dict[str, Any]], *, follow: bool
) -> None:
    """Tell each change until every offer is over, or waits for a device that is away; the exit code of all."""
    ends = {str(one["device"]): one for one in results}
    until_s = time.monotonic() + FOLLOW_S
    shown: dict[str, tuple[Any, ...]] = {}
    online_s: dict[str, float] = {}  # when each was last online
    while follow and time.monotonic() < until_s:
        waits = False
        for status in host.firmware.status():
            name = str(status["device"])
            if "offer" not in ends.get(name, {}):
                continue
            mine = ends[name]["offer"]
            both = (status["offer"], status["keys_offer"])
            found = next((one for one in both if one is not None and one["offer"] == mine["offer"]), None)
            if found is None:
                ends[name] = {"device": name, "offer": {**mine, "state": "idle", "error": "superseded", "over": True}}
                continue
            ends[name] = {"device": name, "offer": found}
            if status["online"]:
                online_s[name] = time.monotonic()
            is_away = found["state"] == "waiting" and time.monotonic() - online_s.get(name, -RESTART_S) > RESTART_S
            waits = waits or not (found["over"] or is_away)
            said = (found["state"], found["progress"], found["error"], is_away)
            if shown.get(name) != said:
                shown[name] = said
                options.say(f"{name}: {offer_text(found, is_away=is_away)}")
        if not waits:
            break
        time.sleep(_POLL_S)
    _end(options, version, [ends[str(one["device"])] for one in results])


def offer_text(offer: Mapping[str, Any], *, is_away: bool = False) -> str:
    """How an update stands, in a line."""
    if offer["state"] == "waiting":
        return f"{offer['version']} waits until the device is back" if is_away else f"{offer['version']} was sent"
    percent = f" {float(offer['progress']) * 100:.0f} %" if offer["state"] == "downloading" else ""
    why = f": {offer['error']}" if offer["error"] else ""
    return f"{offer['version']} {str(offer['state']).replace('_', ' ')}{percent}{why}"


def _end(options: GlobalOptions, version: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Failed is what was not offered, or ended in another state than healthy."""
    done = [one for one in results if "already" in one or ("offer" in one and one["offer"]["state"] == "healthy")]
    failed = [one for one in results if one not in done and ("error" in one or one["offer"]["over"])]
    document = {"version": version, "results": list(results)}
    if not options.wrote_json("firmware-update", document):
        going_on = len(results) - len(failed) - len(done)
        rest = f", {going_on} under way: microclaw firmware status" if going_on else ""
        options.say(f"{version}: healthy on {len(done)} of {len(results)}, {len(failed)} not updated{rest}")
    if failed:
        raise typer.Exit(FAILED if len(failed) == len(results) else SOME_FAILED)
