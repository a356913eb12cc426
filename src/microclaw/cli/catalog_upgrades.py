"""Programs on boards that came from a catalogue: which have a newer version there, and putting it in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from msgspec import to_builtins

from microclaw.apps import operations as programs
from microclaw.apps.results import AppFacts
from microclaw.cli.catalog_programs import catalog_of, chosen_values, entry_body
from microclaw.cli.operation_commands import done
from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions
from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.wire.host_api import failure_object


@dataclass(frozen=True, slots=True)
class CatalogApp:
    """A program on a device that came from `catalog`; `newest` is its entry there when that is newer.

    `is_lost`: the catalogue is not looked at, or has the entry no more.
    """

    name: str
    device: str
    entry: str
    version: str
    catalog: str
    kind: ProgramKind
    params: dict[str, Value]
    newest: Entry | None
    is_lost: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "device": self.device,
            "entry": self.entry,
            "version": self.version,
            "catalog": self.catalog,
            "params": self.params,
            "newest": None if self.newest is None else self.newest.version_text,
        }


def catalog_apps(options: GlobalOptions, host: Client, catalog: Catalog) -> list[CatalogApp]:
    """The programs on the chosen devices, or all, that came from a catalogue."""
    names: set[str] | None = None
    if options.chooses_many or options.device:
        from microclaw.cli.many_devices import chosen_names

        names = set(chosen_names(options, host))
    apps = [one for one in host.call(programs.list_apps).apps if one.origin]
    return [_catalog_app(one, catalog) for one in apps if names is None or one.device in names]


def outdated_apps(options: GlobalOptions, host: Client, catalog: Catalog) -> list[CatalogApp]:
    """Those with a newer version, and those whose catalogue or entry is not there any more."""
    return [one for one in catalog_apps(options, host, catalog) if one.newest is not None or one.is_lost]


def upgrade_from_catalogs(options: GlobalOptions, name: str | None, sets: Sequence[str] = ()) -> None:
    """Upgrade the program of a name, or all, to the newer version of the catalogue; each is verified as by `upgrade`.

    Exit code 5 when some failed, 1 when all did.
    """
    if sets and name is None:
        raise ConfigError("--set is of one program", next_step="microclaw catalog upgrade NAME --set pin=4")
    host, catalog = options.host(), catalog_of(options, None)
    there = catalog_apps(options, host, catalog)
    if name is not None:
        there = _named(there, name)
    newer = [(one, one.newest) for one in there if one.newest is not None]
    if not newer:
        options.report("upgrades", {"results": []}, _nothing(there))
        return
    bodies = [_body(options, one, entry, sets) for one, entry in newer]  # refused before anything is changed
    if len(newer) > 1:
        what = names_text([f"{one.name} on {one.device}" for one, _ in newer])
        options.agree(f"Upgrade {len(newer)} programs: {what}?")
    results: list[dict[str, Any]] = []
    for (one, _), body in zip(newer, bodies, strict=True):
        try:
            made = done(options, host, programs.upgrade, {"device": one.device, "name": one.name, **body})
            results.append({"device": one.device, "name": one.name, "made": to_builtins(made)})
            options.say(made.text)
        except HostError as exc:
            if len(newer) == 1:
                raise
            results.append({"device": one.device, "name": one.name, "error": failure_object(exc.failure)})
            options.say(f"{one.name} on {one.device}: {exc.message}")
    failed = sum("error" in one for one in results)
    options.report("upgrades", {"results": results}, f"{len(results) - failed} of {len(results)} programs")
    if failed:
        raise typer.Exit(FAILED if failed == len(results) else SOME_FAILED)


def _named(there: Sequence[CatalogApp], name: str) -> list[CatalogApp]:
    found = [one for one in there if one.name == name]
    if not found:
        text = f"no program {name[:63]!r} came from a catalogue"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    for one in found:
        if one.is_lost:
            raise ConfigError(
                f"{name} on {one.device} came from {one.catalog}, which is not in catalog.folders or lacks {one.entry}",
                next_step="microclaw config set catalog.folders, or install it from another catalogue",
            )
    return found


def _nothing(there: Sequence[CatalogApp]) -> str:
    if len(there) == 1:
        return f"{there[0].name} on {there[0].device} has {there[0].version}, the newest"
    return "no program has a newer version"


def _body(options: GlobalOptions, app: CatalogApp, entry: Entry, sets: Sequence[str]) -> dict[str, Any]:
    params = {**app.params, **chosen_values(entry, sets)}
    try:
        return entry_body(options, entry, params, app.kind)
    except ConfigError as exc:
        raise ConfigError(
            f"{app.name} on {app.device}, which was installed with other values: {exc.message}",
            next_step=f"install it anew: microclaw catalog install {entry.name} -d {app.device} --set NAME=VALUE",
        ) from exc


def _catalog_app(app: AppFacts, catalog: Catalog) -> CatalogApp:
    origin = app.origin
    assert origin is not None
    found = catalog.newest(origin.entry, origin.catalog)
    is_newer = found is not None and found.version > parse_version(origin.version)
    return CatalogApp(
        app.name,
        app.device,
        origin.entry,
        origin.version,
        origin.catalog,
        app.kind or "wasm",
        origin.params,
        found if is_newer else None,
        is_lost=found is None,
    )
