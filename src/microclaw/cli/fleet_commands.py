"""`microclaw apply`, `diff` and `export`: a file says what runs on many devices. The host compares and acts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from microclaw.cli.fleet_file import FleetFile
from microclaw.cli.known_devices import known_devices
from microclaw.cli.many_devices import chosen_names, end_many
from microclaw.cli.options import FAILED, GlobalOptions, global_options
from microclaw.cli.programs import WhenBackOption
from microclaw.cli.steps import follow
from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError, MicroclawError
from microclaw.link_server.device_facts import ListedDevice
from microclaw.text import count_text, program_name
from microclaw.wire.host_api import Failure

if TYPE_CHECKING:
    pass

FileOption: TypeAlias = Annotated[Path, typer.Option("-f", "--file", metavar="FILE", help="What shall run where.")]
PruneOption: TypeAlias = Annotated[
    bool, typer.Option("--prune", help="Also take off what is not in the file and this host installed.")
]
_ACTS: Final = ("install", "replace", "remove")


def apply(
    ctx: typer.Context,
    file: FileOption = Path("fleet.yaml"),
    prune: PruneOption = False,
    when_back: WhenBackOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what differs and change nothing: diff.")] = False,
) -> None:
    """Make the devices run what a file says. A second time it does nothing."""
    options = global_options(ctx)
    host = options.host()
    asked = read_fleet(options, host, file)
    found = follow(options, host, "/v1/fleet/diff", asked)
    if dry_run:
        _end_diff(options, found, prune=prune)
        return
    _check_refused(file, _with_refusals(found["rows"], prune=prune))
    acts = [row for row in found["rows"] if _act(row, prune=prune) in _ACTS]
    if not acts:
        nothing = {"results": [], "failed": 0, "left_out": []}
        options.report("fleet_applied", nothing, f"nothing to do: {_unchanged(found['rows'])}")
        return
    if not options.quiet and not options.json:
        _show(options, acts, prune=prune)
    options.agree(_question(acts, prune=prune))
    body = {**asked, "prune": prune, "when_back": when_back, "digest": found["digest"]}
    end_many(options, "fleet_applied", follow(options, host, "/v1/fleet/apply", body))


def diff(ctx: typer.Context, file: FileOption = Path("fleet.yaml"), prune: PruneOption = False) -> None:
    """What `apply` would change. Exit code 0 when nothing, 1 when something."""
    options = global_options(ctx)
    host = options.host()
    _end_diff(options, follow(options, host, "/v1/fleet/diff", read_fleet(options, host, file)), prune=prune)


def read_fleet(options: GlobalOptions, host: Client, file: Path) -> dict[str, Any]:
    """The file as the host takes it, for the devices that are meant. Raises FileMistakes with all that is wrong."""
    fleet = FleetFile(file)
    try:
        known = known_devices(host)
    except MicroclawError:
        fleet.check()  # what is wrong without a host is told without one
        raise
    fleet.choose_devices(known)
    fleet.check()
    ids = {one for entry in fleet.entries for one in entry.ids}
    if options.devices or options.labels or options.every:
        ids = _ids_meant(options, host, known)
    programs = [{**entry.body, "devices": [one for one in entry.ids if one in ids]} for entry in fleet.entries]
    in_order = sorted(known, key=lambda one: one.name)
    devices = [one.device_id for one in in_order if one.device_id in ids]
    return {"programs": [one for one in programs if one["devices"]], "devices": devices}


def _ids_meant(options: GlobalOptions, host: Client, known: Sequence[ListedDevice]) -> set[str]:
    """Of -d, -l or --all. Raises ConfigError for what is named and takes no programs."""
    names = chosen_names(options, host)
    meant = [one for one in known if one.name in names]
    taking = {one.device_id for one in meant if AppInstall.method in one.capabilities}
    if len(taking) < len(meant) and (options.devices or not taking):
        others = [one.name for one in meant if one.device_id not in taking]
        raise ConfigError(f"takes no programs: {names_text(others)}", next_step="microclaw device show NAME")
    return taking


def _act(row: dict[str, Any], *, prune: bool) -> str:
    """What is done about a row; "extra" when it is left alone."""
    if row["blocked"] is not None and not prune:
        return "refused"
    if row["act"] == "extra" and prune and not row["foreign"]:
        return "remove"
    return str(row["act"])


def _with_refusals(rows: Sequence[dict[str, Any]], *, prune: bool) -> list[dict[str, Any]]:
    """The rows with what is done about them; with what blocks them as their error, unless the extras go."""
    return [
        {**row, "act": _act(row, prune=prune), "error": row["error"] or (None if prune else row["blocked"])}
        for row in rows
    ]


def _end_diff(options: GlobalOptions, found: dict[str, Any], *, prune: bool) -> None:
    """Show every row; exit code 1 when `apply` would change or refuse something."""
    rows = _with_refusals(found["rows"], prune=prune)
    counts = Counter(row["act"] for row in rows)
    differences = sum(counts[act] for act in (*_ACTS, "refused"))
    if not options.wrote_json("fleet_diff", {"rows": rows, "counts": dict(counts), "differences": differences}):
        _show(options, rows, prune=prune)
        told = ", ".join(f"{count} {_COUNTED[act]}" for act in _COUNTED if (count := counts[act]))
        options.say(told or "no programs")
    if differences:
        raise typer.Exit(FAILED)


_COUNTED: Final = {
    "install": "to install",
    "replace": "to replace",
    "remove": "to remove",
    "refused": "refused",
    "extra": "extra",
    "unchanged": "unchanged",
}


def _show(options: GlobalOptions, rows: Sequence[dict[str, Any]], *, prune: bool) -> None:
    shown = [(row["device"], program_name(row["name"]), _act(row, prune=prune), _note(row)) for row in rows]
    options.table(shown, head=("DEVICE", "PROGRAM", "WHAT", "NOTE"))


def _note(row: dict[str, Any]) -> str:
    away = ("it does not answer: by what is wanted there",) if row["condition"] == "unreachable" else ()
    if row["error"] is not None:
        return str(row["error"]["message"])
    if row["act"] == "extra":
        left = "not of this host" if row["foreign"] else "not in the file; --prune takes it off"
        return "; ".join((left, *away))
    state = (row["condition"],) if row["condition"] in ("missing", "dead", "trapped", "deferred") else ()
    return "; ".join((*row["differs"], *state, *away))


def _question(acts: Sequence[dict[str, Any]], *, prune: bool) -> str:
    """What is agreed to: "Install 3 programs, replace 1 and remove 2 on 5 devices?"."""
    counts = Counter(_act(row, prune=prune) for row in acts)
    first, *others = [act for act in _ACTS if counts[act]]
    said = [f"{first.capitalize()} {count_text(counts[first], 'program')}"]
    said += [f"{act} {counts[act]}" for act in others]
    what = " and ".join(filter(None, (", ".join(said[:-1]), said[-1])))
    names = list(dict.fromkeys(str(row["device"]) for row in acts))
    return f"{what} on {len(names)} devices?" if len(names) > 1 else f"{what} on {names[0]}?"


def _unchanged(rows: Sequence[dict[str, Any]]) -> str:
    same = sum(row["act"] == "unchanged" for row in rows)
    return f"{same} unchanged on {count_text(len({row['device'] for row in rows}), 'device')}"


def _check_refused(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Raise HostError when a program cannot be installed as the file says, with every such program."""
    refused = [row for row in rows if row["act"] == "refused"]
    if not refused:
        return
    reasons: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in refused:
        reasons.setdefault((row["name"], row["error"]["message"]), []).append(row)
    found: list[dict[str, Any]] = []
    for (name, message), alike in reasons.items():
        error = alike[0]["error"]
        where = names_text([str(row["device"]) for row in alike])
        lines = [str(one["text"]) for one in error.get("diagnostics", ())] or [message]
        step = [f"    hint: {error['next']}"] if error.get("next") else []
        found.append({"text": "\n".join([f"{name} on {where}:", *lines, *step])})
    text = f"{len(reasons)} of the programs cannot be installed as the file says; nothing was changed"
    raise HostError(Failure("deploy_rejected", text, f"correct {file}, or the program", tuple(found)))
