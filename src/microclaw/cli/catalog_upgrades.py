"""Programs on boards that came from a catalogue: which have a newer version there, and putting it in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from microclaw.apps.building import program_language
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions
from microclaw.cli.programs import follow
from microclaw.client.request import HostError, segment
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.patterns.operations import folders_of
from microclaw.wire.host_api import failure_object


def upgrade_from_catalogs(
    options: GlobalOptions, name: str | None, sets: Sequence[str] = (), *, dry_run: bool = False
) -> None:
    """Upgrade the program of a name, or all, to the newer version of the catalogue; each is verified as by `upgrade`.

    Exit code 5 when some failed, 1 when all did.
    """
    if sets and name is None:
        raise ConfigError("--set is of one program", next_step="microclaw catalog upgrade NAME --set pin=4")
    host, catalog = options.host(), Catalog(folders_of(options.settings()))
    chosen = set(chosen_names(options, host)) if options.chooses_many or options.device else None
    there = [
        (app, catalog.newest(app["origin"]["entry"], app["origin"]["catalog"]))
        for app in host.get("/v1/apps")["apps"]
        if app["origin"] and name in (None, app["name"]) and (chosen is None or app["device"] in chosen)
    ]
    lost = [app for app, entry in there if entry is None]
    newer = [(app, one) for app, one in there if one and one.version > parse_version(app["origin"]["version"])]
    if dry_run:
        _show(options, newer, lost)
        return
    if name is not None and (lost or not there):
        text = f"no program {name[:63]!r} came from a catalogue that is there"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    bodies = [_body(options, app, entry, sets) for app, entry in newer]  # refused before anything is changed
    if len(newer) > 1:
        what = names_text([f"{app['name']} on {app['device']}" for app, _ in newer])
        options.agree(f"Upgrade {len(newer)} programs: {what}?")
    results: list[dict[str, Any]] = []
    for (app, _), body in zip(newer, bodies, strict=True):
        which = {"device": app["device"], "name": app["name"]}
        try:
            path = f"/v1/devices/{segment(app['device'])}/apps/{segment(app['name'])}/upgrade"
            made = follow(options, host, path, body)
            results.append({**which, "made": made})
            options.say(str(made["text"]))
        except HostError as exc:
            if len(newer) == 1:
                raise
            results.append({**which, "error": failure_object(exc.failure)})
            options.say(f"{app['name']} on {app['device']}: {exc.message}")
    failed = sum("error" in one for one in results)
    text = f"{len(results) - failed} of {len(results)} programs" if results else "no program has a newer version"
    options.report("upgrades", {"results": results}, text)
    if failed:
        raise typer.Exit(FAILED if failed == len(results) else SOME_FAILED)


def entry_body(options: GlobalOptions, entry: Entry, params: Mapping[str, Value], kind: ProgramKind) -> dict[str, Any]:
    """The program of an entry as the host takes it."""
    # What another machine's host builds is not known here: the form that needs least.
    program = entry.fill(params, kind, blocking=None if options.address() is None else False)
    origin = {"entry": entry.name, "version": entry.version_text, "catalog": entry.folder, "params": dict(params)}
    body = {"source": program.source, "language": program_language(program.file), "origin": origin}
    return {**body, "expect": program.expect} if program.expect else body


def _show(
    options: GlobalOptions, newer: Sequence[tuple[Mapping[str, Any], Entry]], lost: Sequence[Mapping[str, Any]]
) -> None:
    """`newest` is None where the catalogue is not looked at, or has the entry no more."""
    found = [(app, entry.version_text) for app, entry in newer] + [(app, None) for app in lost]
    rows = [{"name": app["name"], "device": app["device"], **app["origin"], "newest": newest} for app, newest in found]
    if not options.wrote_json("outdated", {"apps": rows}):
        shown = [tuple(row[key] or "-" for key in ("name", "device", "entry", "version", "newest")) for row in rows]
        options.table(shown, head=("NAME", "DEVICE", "ENTRY", "HAS", "NEW"), empty="no program has a newer version")
        if lost:
            options.say(f"not looked at: {', '.join({row['catalog'] for row in rows if not row['newest']})}")


def _body(options: GlobalOptions, app: Mapping[str, Any], entry: Entry, sets: Sequence[str]) -> dict[str, Any]:
    try:
        return entry_body(options, entry, {**app["origin"]["params"], **entry.values(sets)}, app["kind"])
    except ConfigError as exc:
        raise ConfigError(
            f"{app['name']} on {app['device']}, which was installed with other values: {exc.message}",
            next_step=f"install it again: microclaw catalog install {entry.name} -d {app['device']} --set NAME=VALUE",
        ) from exc
