"""Names of devices, labels and programs for the shell's completion: those of this machine's running host.

It asks the control socket, waits a moment at most, and offers nothing where there is no answer. It says no error:
a shell would show it in the middle of a line.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import typer

from microclaw.client import Client
from microclaw.client.address import named_host
from microclaw.config.places import control_socket, home_folder
from microclaw.errors import MicroclawError

LIMIT_S: Final = 0.3
"""All of it: to connect, to ask, to read."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
"""zsh evaluates what it is offered: a name with other characters, as a board may report it, is left out."""


def device_names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _offered((device["name"] for device in _listed(ctx, "devices")), incomplete)


def device_labels(ctx: typer.Context, incomplete: str) -> list[str]:
    return _offered((label for device in _listed(ctx, "devices") for label in device["labels"]), incomplete)


def program_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the devices of -d, else of all."""
    chosen = ctx.find_root().params.get("devices") or ()
    return _offered((app["name"] for app in _listed(ctx, "apps") if not chosen or app["device"] in chosen), incomplete)


def device_then_program(ctx: typer.Context, incomplete: str) -> list[str]:
    """DEVICE, and after its slash the device's programs."""
    device, slash, begun = incomplete.partition("/")
    if not slash:
        return device_names(ctx, device)
    names = _offered((app["name"] for app in _listed(ctx, "apps") if app["device"] == device), begun)
    return [f"{device}/{name}" for name in names]


def first_word_device(ctx: typer.Context, incomplete: str) -> list[str]:
    """For `exec DEVICE METHOD ...`: with -d there is no word for the device."""
    typed = ctx.params.get("words") or ctx.find_root().params.get("devices")
    return [] if typed else device_names(ctx, incomplete)


DeviceName = Annotated[str, typer.Argument(autocompletion=device_names)]
ProgramName = Annotated[str, typer.Argument(autocompletion=program_names)]


def _offered(names: Iterable[str], begun: str) -> list[str]:
    return sorted({name for name in names if name.startswith(begun) and _PLAIN.fullmatch(name)})


def _listed(ctx: typer.Context, what: str) -> list[dict[str, Any]]:
    """What GET /v1/`what` lists. Another host that --host names is not asked: its token stays where it is."""
    root = ctx.find_root().params
    try:
        home = (root.get("home") or home_folder(os.environ)).expanduser().absolute()
        if named_host(root.get("host"), os.environ) is not None or not home.is_dir():
            return []
        client = Client(control_socket(home, os.environ), timeout_s=LIMIT_S)
    except (MicroclawError, OSError):
        return []
    return _within_limit(lambda: list(client.get(f"/v1/{what}")[what]))


def _within_limit(fetch: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The answer, or nothing after LIMIT_S: a thread that still waits then ends with the process."""
    found: list[dict[str, Any]] = []

    def run() -> None:
        try:
            found.extend(fetch())
        except (MicroclawError, OSError, LookupError, TypeError):  # no host, another version of it, or no host at all
            return

    asking = threading.Thread(target=run, name="completion", daemon=True)
    asking.start()
    asking.join(LIMIT_S)
    return list(found)
