"""`microclaw app`: programs of files and of catalogues: build, install, list, upgrade. Most acts are declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from microclaw.apps import operations as programs
from microclaw.apps.building import program_language
from microclaw.apps.results import AppOrigin
from microclaw.cli.firmware_option import described_board, firmware_option
from microclaw.cli.many_devices import chosen_device, chosen_names, known_devices
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import GlobalOptions, command_group
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
from microclaw.durable import write_given
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import KIND_OF, SHIPPED, Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.patterns.operations import folders_of

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
@click.argument("name")
@click.argument("file", required=False, type=Path, help="Source or a .wasm file; else its catalogue's newer version.")
@optimization_option
@expect_option
@when_back_option
@_sets_option
@click.pass_obj
def upgrade(
    options: GlobalOptions, /, name: str, file: Path | None, expect: Path | None, sets: tuple[str, ...], **terms: Any
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    if (file is None and expect) or (file is not None and sets):
        raise click.BadParameter("--expect is of a FILE, --set of a catalogue's program")
    program = _newer_values(options, name, sets) if file is None else program_values(file, expect)
    perform(options, programs.upgrade, {"name": name, **terms, **program})


def _newer_values(options: GlobalOptions, name: str, sets: Sequence[str]) -> dict[str, Any]:
    """The newer version of a program in the catalogue that it came from, with its values. UnknownName, ConfigError."""
    host, catalog = options.host(), Catalog(folders_of(options.settings()))
    device = chosen_device(options, host, name)
    app = next((one for one in host.call(programs.list_apps, device=device).apps if one.name == name), None)
    origin = None if app is None else app.origin
    entry = None if origin is None else catalog.newest(origin.entry, origin.catalog)
    if app is None or origin is None or entry is None:
        text = f"no program {name[:63]!r} came from a catalogue that is there"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    if entry.version <= parse_version(origin.version):
        raise ConfigError(f"{name} has the newest version: {origin.version}", next_step=f"microclaw app show {name}")
    return _entry_values(options, entry, {**origin.params, **entry.values(sets)}, (app.kind or "wasm",))


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
