"""`microclaw device wifi`: the Wi-Fi of a board that is connected, changed over its link."""

from __future__ import annotations

import sys
import time
from typing import Final

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.cli.flash_command import read_password
from microclaw.cli.options import GlobalOptions, NobodyToAsk
from microclaw.errors import DeviceTimeout, DeviceUnreachable
from microclaw.link_server import operations as links
from microclaw.operations.client import Client

_BACK_S: Final = 120.0  # after the trial: until the board is back in its former network, and has dialled again
_POLL_S: Final = 0.5


@click.command()
@click.argument("name", help="The device.")
@click.argument("ssid", required=False, help="The network; none: list those that it knows.")
@click.option("--password", metavar="@FILE|-", help="From a file or stdin; none: asked.")
@click.option("--open", "is_open", is_flag=True, help="The network has no password.")
@click.option("--later", is_flag=True, help="Only note it: a network that is not there yet.")
@click.option("--forget", is_flag=True, help="The device is to forget this network.")
@click.pass_obj
def wifi(
    options: GlobalOptions, name: str, ssid: str | None, password: str | None, is_open: bool, later: bool, forget: bool
) -> None:
    """Another Wi-Fi for a device: it is tried, and the former one counts again if this host is not reached over it."""
    host = options.host()
    if ssid is None:
        if is_open or later or forget or password is not None:
            raise click.BadParameter("name the network, too")
        _list(options, host.call(links.list_wifi, device=name))
        return
    if forget:
        if is_open or later or password is not None:
            raise click.BadParameter("--forget goes with the network's name alone")
        done = host.call(links.set_wifi, device=name, ssid=ssid, forget=True)
        options.report("wifi", to_builtins(done), f"{done.device} has forgotten {done.ssid}")
        return
    if is_open and password is not None:
        raise click.BadParameter("--open and --password exclude each other")
    secret = None if is_open else _password(ssid, password)
    trial = host.call(links.set_wifi, device=name, ssid=ssid, password=secret, later=later)
    if trial.state == "trying":
        options.say(f"{trial.device} tries {trial.ssid}, for {trial.seconds or 0} s at most; this waits")
        trial = _wait(host, trial)
    is_kept = trial.state == "kept"
    told = f"{trial.device} knows {trial.ssid}"
    failed = f"{trial.device} stays in its former Wi-Fi: {trial.ssid}: {trial.why}"
    options.report("wifi", to_builtins(trial), told if is_kept else failed)
    if not is_kept:
        raise Exit(1)


def _list(options: GlobalOptions, found: links.WifiNetworks) -> None:
    if not found.online:
        raise DeviceUnreachable(f"{found.device} is not connected", next_step="switch it on, and ask again")
    options.end_with_json("wifi", to_builtins(found))
    for known in found.networks:
        options.line(f"{known}{'  (connected)' if known == found.ssid else ''}")
    if (trial := found.trial) is not None and trial.state == "failed":
        options.say(f"the last change failed: {trial.ssid}: {trial.why or 'no reason given'}")


def _password(ssid: str, source: str | None) -> str:
    if source is not None:
        return read_password(ssid, source, "--password") or ""
    if not sys.stdin.isatty():
        step = "give --password @FILE, or --open; or run it at a terminal and type it there"
        raise NobodyToAsk("nobody is at a terminal to be asked for the password", step)
    return str(click.prompt(f"Password of {ssid}", hide_input=True, err=True))


def _wait(host: Client, began: links.WifiTrialFacts) -> links.WifiTrialFacts:
    """How the trial ended, once the board is back and says so."""
    until_s = time.monotonic() + (began.seconds or 0) + _BACK_S
    while time.monotonic() < until_s:
        time.sleep(_POLL_S)
        trial = host.call(links.list_wifi, device=began.device).trial
        if trial is not None and trial.ssid == began.ssid and trial.state != "trying":
            return trial
    raise DeviceTimeout(
        f"{began.device} tries {began.ssid} and has not come back yet",
        next_step="it takes its former Wi-Fi again by itself; is that one still there? Else it opens its own access "
        "point after two minutes, or: microclaw flash --wifi SSID, with a cable",
    )
