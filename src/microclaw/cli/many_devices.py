"""Commands that act on several devices: ask before the first act, then a line for each and the exit code of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from microclaw.cli.known_devices import known_devices
from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions
from microclaw.cli.programs import follow
from microclaw.client import Client
from microclaw.devices.selection import Selection, names_text
from microclaw.errors import ConfigError


def _selection(options: GlobalOptions) -> Selection:
    selection = Selection(options.devices, options.labels, options.every)
    selection.check()
    return selection


def choice_body(options: GlobalOptions) -> dict[str, Any]:
    """The choice as the host takes it. Raises ConfigError where it has two meanings."""
    _selection(options)
    return {"devices": list(options.devices), "labels": list(options.labels), "all": options.every}


def chosen_names(options: GlobalOptions, host: Client) -> list[str]:
    """The names of the devices that are meant, sorted. Raises ConfigError for a name or label that there is not."""
    selection = _selection(options)
    known = known_devices(host)
    if options.devices:
        unknown = sorted(set(options.devices) - {key for one in known for key in (one.name, one.device_id)})
        if unknown:
            raise ConfigError(f"no device named {', '.join(unknown)}", next_step="microclaw device list")
        return sorted({one.name for one in known if {one.name, one.device_id} & set(options.devices)})
    names = sorted(one.name for one in known if selection.means(one.labels))
    if not names:
        what = f"no device has the label {' and '.join(options.labels)}" if options.labels else "no device is known"
        raise ConfigError(what, next_step="microclaw device list")
    return names


def act_on_many(
    options: GlobalOptions,
    host: Client,
    act: str,
    path: str,
    body: Mapping[str, Any],
    schema: str,
    *,
    loses: Callable[[Sequence[str]], Sequence[str]] = lambda _names: (),
) -> None:
    """Ask, let the host do it on each device with its steps shown, tell the end. `act` is "install blink on".

    `loses` says on which of the devices something else of that name is replaced: that is asked even of one.
    """
    ask_once(options, host, act, loses)
    made = follow(options, host, path, {**body, **choice_body(options)})
    end_many(options, schema, made)


def ask_once(
    options: GlobalOptions,
    host: Client,
    act: str,
    loses: Callable[[Sequence[str]], Sequence[str]] = lambda _names: (),
) -> None:
    names = chosen_names(options, host)
    replaced = loses(names)
    lost = f"another program of that name is replaced on {names_text(replaced)}" if replaced else ""
    if lost:
        options.say(f"careful: {lost}")
    if len(names) > 1 or lost:
        how_many = f"{len(names)} devices: " if len(names) > 1 else ""
        hint = f"; {lost}" if lost else ""
        options.agree(f"{act} {how_many}{names_text(names)}?", hint=hint)


def end_many(options: GlobalOptions, schema: str, made: Mapping[str, Any]) -> None:
    """One document with --json, else how many it is done on. Exit code 5 when some failed, 1 when all did.

    A program that was not verified counts as failed.
    """
    results = made["results"]
    failed = [one for one in results if "error" in one or not one["made"].get("verified", True)]
    if not options.wrote_json(schema, made):
        left_out = f"; left out: {names_text(made['left_out'])}" if made["left_out"] else ""
        waiting = sum(1 for one in results if "made" in one and one["made"].get("deferred"))
        later = f", {waiting} of them deferred until they are back" if waiting else ""
        options.say(f"{len(results) - len(failed)} of {len(results)} devices{later}{left_out}")
    if failed:
        raise typer.Exit(FAILED if len(failed) == len(results) else SOME_FAILED)
