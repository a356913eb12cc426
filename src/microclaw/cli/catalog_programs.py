"""Programs of catalogues on boards: the values of their acts, and newer versions put in their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.apps import operations as programs
from microclaw.apps.building import program_language
from microclaw.apps.results import AppFacts, AppOrigin
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.operation_commands import done
from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import ProgramKind
from microclaw.operations.connection import HostError
from microclaw.patterns.catalog import Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.patterns.operations import folders_of
from microclaw.wire.host_api import failure_object


def entry_values(
    options: GlobalOptions, entry: Entry, params: Mapping[str, Value], kinds: Collection[ProgramKind]
) -> dict[str, Any]:
    """The program of an entry, as the acts on programs take it: of these kinds the one that it prefers. ConfigError."""
    kind = next((one for one in entry.kinds if one in kinds), None)
    if kind is None:
        text = f"{entry.name} ({entry.languages}) has no program that all of these boards take"
        raise ConfigError(f"{text}; {entry.missing}".rstrip("; "), next_step="choose others with -d, or --in c or py")
    # What another machine's host builds is not known here: the form that needs least.
    program = entry.fill(params, kind, blocking=None if options.address() is None else False)
    return {
        "source": program.source,
        "language": program_language(program.file),
        "expect": program.expect or None,
        "origin": AppOrigin(entry=entry.name, version=entry.version_text, catalog=entry.folder, params=dict(params)),
    }


def upgrade_from_catalogs(
    options: GlobalOptions, name: str | None, sets: Sequence[str], how: Mapping[str, Any], *, dry_run: bool
) -> None:
    """Upgrade the program of a name, or all, to the newer version of the catalogue; each is verified as by `upgrade`.

    Exit code 5 when some failed, 1 when all did.
    """
    host, catalog = options.host(), Catalog(folders_of(options.settings()))
    chosen = set(chosen_names(options, host)) if options.chooses_many or options.device else None
    there = [
        (app, app.origin, catalog.newest(app.origin.entry, app.origin.catalog))
        for app in host.call(programs.list_apps).apps
        if app.origin and name in (None, app.name) and (chosen is None or app.device in chosen)
    ]
    newer = [(app, origin, one) for app, origin, one in there if one and one.version > parse_version(origin.version)]
    lost = [(app, origin, one) for app, origin, one in there if one is None]
    if dry_run:
        _show(options, [*lost, *newer])
        return
    if name is not None and len(lost) == len(there):
        text = f"no program {name[:63]!r} came from a catalogue that is there"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    asked = []
    for app, origin, entry in newer:  # what is wrong is refused before anything is changed
        params = {**origin.params, **entry.values(sets)}
        program = entry_values(options, entry, params, (app.kind or "wasm",))
        asked.append({**how, "device": app.device, "name": app.name, **program})
    if len(newer) > 1:
        what = names_text([f"{one.name} on {one.device}" for one, *_ in newer])
        options.agree(f"Upgrade {len(newer)} programs: {what}?")
    results: list[dict[str, Any]] = []
    for values in asked:
        which = {"device": values["device"], "name": values["name"]}
        try:
            made = done(options, host, programs.upgrade, values)
            results.append({**which, "made": to_builtins(made)})
            options.say(made.text)
        except HostError as exc:
            if len(newer) == 1:
                raise
            results.append({**which, "error": failure_object(exc.failure)})
            options.say(f"{values['name']} on {values['device']}: {exc.message}")
    failed = sum("error" in one for one in results)
    text = f"{len(results) - failed} of {len(results)} programs" if results else "no program has a newer version"
    options.report("upgrades", {"results": results}, text)
    if failed:
        raise Exit(FAILED if failed == len(results) else SOME_FAILED)


def _show(options: GlobalOptions, found: Sequence[tuple[AppFacts, AppOrigin, Entry | None]]) -> None:
    """`newest` is None where the catalogue is not looked at, or has the entry no more."""
    rows = [
        {"name": app.name, "device": app.device, **to_builtins(origin), "newest": entry and entry.version_text}
        for app, origin, entry in found
    ]
    if not options.wrote_json("outdated", {"apps": rows}):
        shown = [tuple(row[key] or "-" for key in ("name", "device", "entry", "version", "newest")) for row in rows]
        options.table(shown, head=("NAME", "DEVICE", "ENTRY", "HAS", "NEW"), empty="no program has a newer version")
