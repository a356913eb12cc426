"""`microclaw catalog install` and `upgrade`: ready programs on devices of a host. Those that need none are declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import typer

from microclaw.cli.catalog_publish import publish
from microclaw.cli.catalog_upgrades import entry_values, upgrade_from_catalogs
from microclaw.cli.known_devices import known_devices
from microclaw.cli.many_devices import chosen_device, chosen_names
from microclaw.cli.options import command_group, global_options
from microclaw.cli.programs import WhenBackOption, install_program
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.operations.client import Client
from microclaw.patterns.catalog import KIND_OF, LANGUAGES, SHIPPED, Catalog, Entry
from microclaw.patterns.operations import folders_of

catalog_group = command_group()
catalog_group.command()(publish)
_Sets: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat.")
]


@catalog_group.command()
def install(
    ctx: typer.Context,
    name: str,
    sets: _Sets = None,
    only: Annotated[
        str | None, typer.Option("--from", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
    ] = None,
    app: Annotated[str | None, typer.Option("--name", help="The program's name on the board.")] = None,
    language: Annotated[
        Literal["c", "py"] | None, typer.Option("--in", help="c or py, where the board takes both.")
    ] = None,
    heap: Annotated[int, typer.Option("--heap", min=256, help="The app's heap in bytes.")] = 8192,
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")] = False,
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify an entry, as `run` does with a file."""
    options = global_options(ctx)
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    host = options.host()
    names = chosen_names(options, host) if options.chooses_many else [chosen_device(options, host)]
    values: dict[str, Any] = {
        "name": app or entry.app_name,
        "heap_bytes": heap,
        "replace": replace,
        "force": force,
        "when_back": when_back,
        **entry_values(options, entry, params, _kind(entry, host, names, language)),
    }
    options.say(entry.diagram(params))
    install_program(options, values)


@catalog_group.command()
def upgrade(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A program's name; else all that are outdated.")] = None,
    sets: _Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is newer, and change nothing.")] = False,
) -> None:
    """Put the newer version of its catalogue where a program is, with the values that it has."""
    upgrade_from_catalogs(global_options(ctx), name, sets or (), dry_run=dry_run)


def _kind(entry: Entry, host: Client, names: Sequence[str], language: str | None) -> ProgramKind:
    """The language that all of these devices take, the entry's preferred one first. Raises ConfigError."""
    rows = [one for one in known_devices(host) if {one.name, one.device_id} & set(names)]
    taking = [one for one in rows if AppInstall.method in one.capabilities]
    kinds = entry.kinds if language is None else (KIND_OF[language],)
    for kind in kinds:
        if all(kind in one.kinds for one in taking):
            return kind
    others = names_text([one.name for one in taking if kinds[0] not in one.kinds])
    text = f"{entry.name} is not for all of these boards: {others} take no {LANGUAGES[kinds[0]]}"
    raise ConfigError(f"{text}; {entry.missing}".rstrip("; "), next_step="choose others with -d, or --in c or py")
