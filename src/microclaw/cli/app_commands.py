"""`microclaw app`: programs of files and of catalogues: build, install, list, upgrade. Most acts are declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.apps import operations as programs
from microclaw.apps.building import program_language
from microclaw.apps.results import AppFacts, AppOrigin
from microclaw.cli.firmware_option import described_board, firmware_option
from microclaw.cli.many_devices import chosen_device, chosen_names, known_devices
from microclaw.cli.operation_commands import done, perform
from microclaw.cli.options import FAILED, SOME_FAILED, GlobalOptions, command_group
from microclaw.cli.program_files import name_of_file, program_values
from microclaw.cli.programs import (
    board_option,
    check_way,
    expect_option,
    force_option,
    heap_option,
    optimization_option,
    replace_option,
    when_back_option,
)
from microclaw.cli.targets import is_address
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import write_given
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import ProgramKind
from microclaw.operations.connection import HostError
from microclaw.patterns.catalog import KIND_OF, SHIPPED, Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.patterns.operations import folders_of
from microclaw.wire.host_api import failure_object

app_group = command_group()
_sets_option = click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat."
)


@app_group.command()
@click.argument("file", type=Path, help="C, C++ or Python source, or a sketch (.ino).")
@click.option("-o", "--output", type=Path, help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
@board_option
@optimization_option
@firmware_option
@click.pass_obj
def build(
    options: GlobalOptions, file: Path, output: Path | None, board: str, optimization: str, firmware: tuple[str, ...]
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.cli.trials import build_program

    values = {"name": name_of_file(file), "optimization": optimization, **program_values(file)}
    image = build_program(options, values, described_board(board, firmware))
    target = output or file.with_suffix(".wasm" if image.kind == "wasm" else ".mpy")
    write_given(target, [image.code], replace=True, next_step="give another path with -o")
    facts = {name: getattr(image, name) for name in ("size_bytes", "sha256", "compiler", "cached", "kind", "pins")}
    compile_ms, warnings = round(image.compile_ms, 1), [one.to_json() for one in image.warnings]
    document = {"file": str(target), **facts, "compile_ms": compile_ms, "warnings": warnings}
    if not options.wrote_json("build", document) and not options.quiet:
        options.terminal().row("file", str(target))


@app_group.command()
@click.argument("name", help="Of a catalogue's entry (app search); a file: microclaw run FILE.")
@_sets_option
@click.option("--from", "only", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
@click.option("--name", "app", help="The program's name on the board.")
@click.option("--in", "language", type=click.Choice(["c", "py"]), help="c or py, where the board takes both.")
@heap_option
@replace_option
@force_option
@when_back_option
@click.pass_obj
def install(
    options: GlobalOptions,
    /,
    name: str,
    sets: tuple[str, ...],
    only: str | None,
    app: str | None,
    language: Literal["c", "py"] | None,
    **terms: Any,
) -> None:
    """Build, check, try, install and verify a ready program, as `run` does with a file."""
    if Path(name).suffix:
        raise ConfigError(f"{name} is a file; this installs ready programs", next_step=f"microclaw run {name}")
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    host = options.host()
    names = {*chosen_names(options, host)} if options.chooses_many else {chosen_device(options, host)}
    boards = [one for one in known_devices(host) if {one.name, one.device_id} & names]
    taking = [{*one.kinds} for one in boards if AppInstall.method in one.capabilities]
    kinds = set(entry.kinds if language is None else (KIND_OF[language],)).intersection(*taking)
    values = {"name": app or entry.app_name, **terms, **_entry_values(options, entry, params, kinds)}
    options.say(entry.diagram(params))
    perform(options, programs.install, values)


@app_group.command()
@click.argument("file", type=Path, metavar="NAME.toml", help="An entry, with its sources beside it.")
@click.option("--to", type=Path, metavar="DIR", help="The catalogue; the first of catalog.folders without it.")
@click.pass_obj
def publish(options: GlobalOptions, file: Path, to: Path | None) -> None:
    """Build and try a catalogue's entry, and put it there when it does what it says; needs no host."""
    from microclaw.cli.catalog_publish import publish_entry  # with the compiler, which the host has otherwise

    publish_entry(options, file, to)


@app_group.command()
@click.argument("name")
@when_back_option
@click.pass_obj
def uninstall(options: GlobalOptions, name: str, when_back: bool) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    if not options.chooses_many and options.device and is_address(options.device):
        from microclaw.cli.direct_programs import uninstall_directly

        check_way()
        uninstall_directly(options, options.device, name)
    else:
        perform(options, programs.uninstall, {"name": name, "when_back": when_back})


@app_group.command()
@click.argument("name", required=False, help="A program's name; else all that are outdated.")
@click.argument(
    "file", required=False, type=Path, help="Source or a .wasm file; without it the newer version of its catalogue."
)
@optimization_option
@expect_option
@when_back_option
@_sets_option
@click.option("--dry-run", is_flag=True, help="Show what is newer, and change nothing.")
@click.pass_obj
def upgrade(
    options: GlobalOptions,
    /,
    name: str | None,
    file: Path | None,
    expect: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    **terms: Any,
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    if (expect and file is None) or (file is not None and (sets or dry_run)) or (sets and name is None):
        raise click.BadParameter("--expect is of a FILE, --dry-run of a catalogue's programs, --set of one of them")
    if file is None:
        _upgrade_from_catalogs(options, name, sets or (), terms, dry_run=dry_run)
    else:
        perform(options, programs.upgrade, {"name": name, **terms, **program_values(file, expect)})


def _entry_values(
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


def _upgrade_from_catalogs(
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
        _show_outdated(options, [*lost, *newer])
        return
    if name is not None and len(lost) == len(there):
        text = f"no program {name[:63]!r} came from a catalogue that is there"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    asked = []
    for app, origin, entry in newer:  # what is wrong is refused before anything is changed
        params = {**origin.params, **entry.values(sets)}
        program = _entry_values(options, entry, params, (app.kind or "wasm",))
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


def _show_outdated(options: GlobalOptions, found: Sequence[tuple[AppFacts, AppOrigin, Entry | None]]) -> None:
    """`newest` is None where the catalogue is not looked at, or has the entry no more."""
    rows = [
        {"name": app.name, "device": app.device, **to_builtins(origin), "newest": entry and entry.version_text}
        for app, origin, entry in found
    ]
    if not options.wrote_json("outdated", {"apps": rows}):
        shown = [tuple(row[key] or "-" for key in ("name", "device", "entry", "version", "newest")) for row in rows]
        options.table(shown, head=("NAME", "DEVICE", "ENTRY", "HAS", "NEW"), empty="no program has a newer version")
