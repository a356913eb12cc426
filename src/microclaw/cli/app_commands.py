"""`microclaw app`: programs of files and of catalogues: build, install, list, upgrade. Most acts are declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from microclaw.apps import operations as programs
from microclaw.cli.catalog_programs import entry_values, upgrade_from_catalogs
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.known_devices import known_devices
from microclaw.cli.many_devices import chosen_device, chosen_names
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import command_group, global_options
from microclaw.cli.program_files import name_of_file, program_values
from microclaw.cli.programs import (
    BoardOption,
    ExpectOption,
    ForceOption,
    HeapOption,
    OptimizationOption,
    ReplaceOption,
    WhenBackOption,
    check_way,
)
from microclaw.cli.targets import is_address
from microclaw.devices.calls import AppInstall
from microclaw.durable import write_given
from microclaw.errors import ConfigError
from microclaw.patterns.catalog import KIND_OF, SHIPPED, Catalog
from microclaw.patterns.operations import folders_of

app_group = command_group()
_Sets: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as pin=4; may repeat.")
]


@app_group.command()
def build(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C, C++ or Python source, or a sketch (.ino).")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
    ] = None,
    board: BoardOption = "virtual",
    optimization: OptimizationOption = "O3",
    firmware: FirmwareOption = None,
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.cli.trials import build_program

    options = global_options(ctx)
    values = {"name": name_of_file(file), "optimization": optimization, **program_values(file)}
    image = build_program(options, values, described_board(board, firmware))
    target = output or file.with_suffix(".wasm" if image.kind == "wasm" else ".mpy")
    write_given(target, [image.code], replace=True, next_step="give another path with -o")
    document = {
        "file": str(target),
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "compiler": image.compiler,
        "compile_ms": round(image.compile_ms, 1),
        "cached": image.cached,
        "kind": image.kind,
        "pins": list(image.pins),
        "warnings": [w.to_json() for w in image.warnings],
    }
    if not options.wrote_json("build", document) and not options.quiet:
        options.terminal().row("file", str(target))


@app_group.command()
def install(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of a catalogue's entry (app search); a file: microclaw run FILE.")],
    sets: _Sets = None,
    only: Annotated[
        str | None, typer.Option("--from", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
    ] = None,
    app: Annotated[str | None, typer.Option("--name", help="The program's name on the board.")] = None,
    language: Annotated[
        Literal["c", "py"] | None, typer.Option("--in", help="c or py, where the board takes both.")
    ] = None,
    heap: HeapOption = 8192,
    replace: ReplaceOption = False,
    force: ForceOption = False,
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify a ready program, as `run` does with a file."""
    options = global_options(ctx)
    if Path(name).suffix:
        raise ConfigError(f"{name} is a file; this installs ready programs", next_step=f"microclaw run {name}")
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    host = options.host()
    names = {*chosen_names(options, host)} if options.chooses_many else {chosen_device(options, host)}
    boards = [one for one in known_devices(host) if {one.name, one.device_id} & names]
    taking = [{*one.kinds} for one in boards if AppInstall.method in one.capabilities]
    kinds = set(entry.kinds if language is None else (KIND_OF[language],)).intersection(*taking)
    values: dict[str, Any] = {
        "name": app or entry.app_name,
        "heap_bytes": heap,
        "replace": replace,
        "force": force,
        "when_back": when_back,
        **entry_values(options, entry, params, kinds),
    }
    options.say(entry.diagram(params))
    perform(options, programs.install, values)


@app_group.command()
def publish(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="NAME.toml", help="An entry, with its sources beside it.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The catalogue; the first of catalog.folders without it.")
    ] = None,
) -> None:
    """Build and try a catalogue's entry, and put it there when it does what it says; needs no host."""
    from microclaw.cli.catalog_publish import publish_entry  # with the compiler, which the host has otherwise

    publish_entry(global_options(ctx), file, to)


@app_group.command()
def uninstall(ctx: typer.Context, name: str, when_back: WhenBackOption = False) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    options = global_options(ctx)
    if not options.chooses_many and options.device and is_address(options.device):
        from microclaw.cli.direct_programs import uninstall_directly

        check_way(ctx)
        uninstall_directly(options, options.device, name)
    else:
        perform(options, programs.uninstall, {"name": name, "when_back": when_back})


@app_group.command()
def upgrade(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A program's name; else all that are outdated.")] = None,
    file: Annotated[
        Path | None,
        typer.Argument(help="Source or a .wasm file; without it the newer version of its catalogue."),
    ] = None,
    optimization: OptimizationOption = "O3",
    expect: ExpectOption = None,
    when_back: WhenBackOption = False,
    sets: _Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is newer, and change nothing.")] = False,
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    options = global_options(ctx)
    how = {"optimization": optimization, "when_back": when_back}
    if (expect and file is None) or (file is not None and (sets or dry_run)) or (sets and name is None):
        raise typer.BadParameter("--expect is of a FILE, --dry-run of a catalogue's programs, --set of one of them")
    if file is None:
        upgrade_from_catalogs(options, name, sets or (), how, dry_run=dry_run)
    else:
        perform(options, programs.upgrade, {"name": name, **how, **program_values(file, expect)})
