"""`microclaw catalog`: ready programs, shipped and in folders: found, shown, installed. The host builds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeAlias

import typer

from microclaw.cli.call_commands import is_address
from microclaw.cli.catalog_programs import catalog_of, chosen_values, entry_body, kind_for, languages, show_mistakes
from microclaw.cli.catalog_publish import publish
from microclaw.cli.catalog_upgrades import outdated_apps, upgrade_from_catalogs
from microclaw.cli.many_devices import chosen_device, chosen_names
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.cli.programs import WhenBackOption, install_program, refuse_when_back
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import SHIPPED, Entry
from microclaw.patterns.expected import Value
from microclaw.patterns.library import Parameter, Program

catalog_group = command_group()
From: TypeAlias = Annotated[
    str | None,
    typer.Option("--from", metavar="DIR", help=f"This catalogue alone: a folder, a git checkout, or {SHIPPED}."),
]
Sets: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat.")
]
_KINDS: dict[str, ProgramKind] = {"c": "wasm", "py": "py"}


@catalog_group.command()
def search(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(help="All of them are in what is found; none: all.")] = None,
    only: From = None,
) -> None:
    """Find entries by words of their names, titles, descriptions and parts."""
    options = global_options(ctx)
    catalog = catalog_of(options, only)
    found = catalog.search(words or ())
    if options.wrote_json(
        "catalog", {"entries": [_object(one) for one in found], "mistakes": [one.message for one in catalog.mistakes]}
    ):
        return
    show_mistakes(options, catalog)
    rows = [(one.name, one.version_text, languages(one), one.title, one.folder) for one in found]
    options.table(rows, head=("NAME", "VERSION", "IN", "WHAT", "FROM"), empty="no entry has all of these words")


@catalog_group.command()
def show(
    ctx: typer.Context,
    name: str,
    sets: Sets = None,
    source: Annotated[bool, typer.Option("--source", help="Also its programs.")] = False,
    only: From = None,
) -> None:
    """Show an entry: what it does, its parameters, how it is wired, what proves it."""
    options = global_options(ctx)
    entry = catalog_of(options, only).find(name)
    params = chosen_values(entry, sets or ())
    programs = {kind: entry.fill(params, kind, blocking=True) for kind in entry.kinds}
    expect = programs[entry.kinds[0]].expect
    if options.json:
        sources = {program.file: program.source for program in programs.values()} if source else {}
        document = {**_object(entry), "diagram": entry.diagram(params), "expect": expect, "sources": sources}
        options.document("catalog-entry", document)
        return
    options.line(f"{entry.name} {entry.version_text}: {entry.title} ({languages(entry)}; {entry.folder})")
    options.paragraph(entry.about)
    if entry.missing:
        options.line(f"In {languages(entry)} alone: {entry.missing}.")
    options.line()
    rows = [parameter_row(one, params) for one in entry.parameters.values()]
    options.table(rows, head=("PARAMETER", "IS", "MAY BE", "WHAT"))
    options.line()
    options.line(entry.diagram(params))
    options.line()
    options.line("What its trial has to show (docs/proof.md):")
    options.line(expect.rstrip("\n"))
    for program in programs.values() if source else ():
        options.line(f"\n{program.file}\n{program.source}")


@catalog_group.command()
def install(
    ctx: typer.Context,
    name: str,
    sets: Sets = None,
    only: From = None,
    app: Annotated[str | None, typer.Option("--name", help="The program's name on the board.")] = None,
    language: Annotated[
        Literal["c", "py"] | None, typer.Option("--in", help="c or py, where the board takes both.")
    ] = None,
    heap: Annotated[int, typer.Option("--heap", min=256, help="The app's heap in bytes.")] = 8192,
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")] = False,
    board: Annotated[str, typer.Option("--board", help="With -d HOST:PORT: the board's profile.")] = "virtual",
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify an entry, as `run` does with a file."""
    options = global_options(ctx)
    entry = catalog_of(options, only).find(name)
    params = chosen_values(entry, sets or ())
    if not options.chooses_many and options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        program = entry.fill(params, _KINDS[language or "c"])
        _install_directly(options, program, (options.device, app or entry.app_name, board, heap, replace, force))
        return
    host = options.host()
    names = chosen_names(options, host) if options.chooses_many else [chosen_device(options, host)]
    kind = kind_for(entry, host, names, None if language is None else _KINDS[language])
    values = {
        "name": app or entry.app_name,
        "heap_bytes": heap,
        "replace": replace,
        "force": force,
        "when_back": when_back,
        **entry_body(options, entry, params, kind),
    }
    options.say(entry.diagram(params))
    install_program(options, values)


@catalog_group.command()
def outdated(ctx: typer.Context) -> None:
    """Programs that came from a catalogue which has a newer version now."""
    options = global_options(ctx)
    catalog = catalog_of(options, None)
    found = outdated_apps(options, options.host(), catalog)
    if options.wrote_json("outdated", {"apps": [one.to_json() for one in found]}):
        return
    show_mistakes(options, catalog)
    rows = [(one.name, one.device, one.entry, one.version, one.newest.version_text) for one in found if one.newest]
    options.table(rows, head=("NAME", "DEVICE", "ENTRY", "HAS", "NEW"), empty="no program has a newer version")
    lost = sorted({one.catalog for one in found if one.newest is None})
    if lost:
        options.say(f"not looked at, or without their entries now: {', '.join(lost)} (setting catalog.folders)")


@catalog_group.command()
def upgrade(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A program's name; else all that are outdated.")] = None,
    sets: Sets = None,
) -> None:
    """Put the newer version of its catalogue where a program is, with the values that it has."""
    upgrade_from_catalogs(global_options(ctx), name, sets or ())


catalog_group.command()(publish)


def parameter_row(one: Parameter, params: Mapping[str, Value]) -> tuple[str, str, str, str]:
    """Name, value, range and meaning, with the unit."""
    unit = f" {one.unit}" if one.unit else ""
    may_be = ", ".join(one.choices) if one.choices else "a pin" if one.pin_use else f"{one.min} to {one.max}{unit}"
    return one.name.lower(), f"{params.get(one.name, one.default)}{unit}", may_be, one.title


def _install_directly(options: GlobalOptions, program: Program, terms: tuple[str, str, str, int, bool, bool]) -> None:
    """`terms`: address, name, board, heap, replace, force. No host keeps where it came from."""
    from microclaw.cli.direct_programs import DirectRun, run_directly
    from microclaw.cli.firmware_option import described_board

    target, name, board, heap, replace, force = terms
    with TemporaryDirectory(prefix="microclaw-") as folder:
        file, expect = Path(folder) / program.file, Path(folder) / "expect"
        file.write_text(program.source, encoding="utf-8")
        expect.write_text(program.expect, encoding="utf-8")
        profile = described_board(board, None)
        asked = DirectRun(target, file, name, profile, "O3", heap, replace, force, expect if program.expect else None)
        run_directly(options, asked)


def _object(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "version": entry.version_text,
        "title": entry.title,
        "about": entry.about,
        "app": entry.app_name,
        "kinds": list(entry.kinds),
        "missing": entry.missing or None,
        "catalog": entry.folder,
        "parameters": [
            {
                "name": one.name,
                "title": one.title,
                "default": one.default,
                "min": one.min,
                "max": one.max,
                "unit": one.unit,
                "choices": list(one.choices),
                "pin": one.pin_use,
            }
            for one in entry.parameters.values()
        ],
        "wiring": [
            {
                "part": part.name,
                "wires": [{"pin": one.pin, "terminal": one.terminal, "through": one.through} for one in part.wires],
            }
            for part in entry.wiring
        ],
    }
