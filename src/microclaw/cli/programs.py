"""`microclaw run` and `microclaw app`: programs of files and catalogues. Compiles nothing; most acts are declared."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import click
from click.core import ParameterSource
from click.exceptions import Exit

from microclaw.apps import operations as programs
from microclaw.apps.building import check_app_name, program_language
from microclaw.apps.results import AppOrigin
from microclaw.apps.run_times import times_body
from microclaw.boards import load_board
from microclaw.cli.many_devices import board_address, chosen_device, chosen_names, known_devices
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import INTERRUPTED, GlobalOptions, NobodyToAsk, Texts, command
from microclaw.cli.program_files import (
    described_board,
    files_beside,
    firmware_option,
    name_of_file,
    optimization_level,
    program_values,
)
from microclaw.devices.calls import AppInstall
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, NoHost, UnknownName
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import KIND_OF, SHIPPED, Catalog, Entry
from microclaw.patterns.entry_form import parse_version
from microclaw.patterns.expected import Value
from microclaw.patterns.operations import folders_of
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

when_back_option = click.option("--when-back", is_flag=True, help="If the device is away: done when it is back.")
heap_option = click.option(
    "--heap", "heap_bytes", default=DEFAULT_HEAP_BYTES, type=click.IntRange(256, 16 << 20), help="The heap in bytes."
)
replace_option = click.option("--replace", is_flag=True, help="Take over a name that another host's app holds.")
force_option = click.option("--force", is_flag=True, help="Install it although its trial failed.")
optimization_option = click.option(
    "-O", "--optimization", default="O3", type=optimization_level, metavar="LEVEL", help="O0, O1, O2, O3, Os or Oz."
)
expect_option = click.option("--expect", type=Path, metavar="FILE", help="What it must do (docs/proof.md).")
board_option = click.option("--board", default="virtual", help="Without a host: the board's profile.")

_LOOK_S: Final = 0.3
_SETTLED_S: Final = 0.2
"""Editors write in several steps: a file counts as saved once it rests that long."""
_State: TypeAlias = tuple[tuple[int, int], ...]
_MEANINGLESS: Final = {
    "--try": ("replace", "force", "when_back"),
    "-d HOST:PORT": ("duration", "inputs", "every", "stop_after", "when_back"),
    "a host": ("duration", "inputs", "board", "firmware"),
}
"""Parameters of `run` without an effect in each way to run a program."""


@command()
@click.argument("file", type=Path, help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")
@click.option("--name", help="The app's name; made from the file's name otherwise.")
@heap_option
@optimization_option
@expect_option
@click.option("--every", metavar="TIME", help="Begin it again so often: 30s, 10m, 1h.")
@click.option("--stop-after", metavar="TIME", help="Stop each run after this time.")
@replace_option
@force_option
@when_back_option
@click.option("--watch", "watches", is_flag=True, help="Run it at each save of its file, until Ctrl-C.")
@click.option("--try", "tries", is_flag=True, help="Only try it, on a virtual board, without a host.")
@click.option("--for", "duration", default="10s", metavar="TIME", help="With --try: board time, as 10s, 500ms, 2min.")
@click.option(
    "--set", "inputs", multiple=True, metavar="PIN=LEVEL[@TIME]", help="--try input: 14=1@2s, ADC 1=3V@2s; repeatable."
)
@board_option
@firmware_option
def run(
    options: GlobalOptions, file: Path, name: str | None, expect: Path | None, watches: bool, tries: bool, **terms: Any
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    ctx = click.get_current_context()
    address = board_address(options)
    if tries:
        way = "--try"
    elif address:
        way = "-d HOST:PORT"
    else:
        way = "a host"
    for one in ctx.command.params:
        if one.name in _MEANINGLESS[way] and ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE:
            raise click.BadParameter(f"{one.opts[0]} has no effect with {way}")
    check_app_name(name := name_of_file(file) if name is None else name)
    times = times_body(terms.pop("every"), terms.pop("stop_after"))
    duration = terms.pop("duration")
    inputs = terms.pop("inputs")
    board = described_board(terms.pop("board"), terms.pop("firmware"))

    def once() -> None:
        values = {"name": name, **terms, **times, **program_values(file, expect)}
        if not tries and address is None:
            perform(options, programs.install, values)
            return
        from microclaw.cli import direct_programs as direct  # with the compiler, which the host has otherwise

        if tries or address is None:
            direct.try_program(options, values, board, duration, inputs)
        else:
            direct.run_directly(options, address, values, board)

    if watches:
        run_at_each_save(options, file, expect, once)
    else:
        once()


def run_at_each_save(options: GlobalOptions, file: Path, expect: Path | None, run: Callable[[], None]) -> None:
    """Ctrl-C ends the watching; the program stays on the board. Of a program that is wrong the next save is tried."""
    seen = None
    while True:
        seen = _next_save((file, *([expect] if expect else [])), seen)
        try:
            with suppress(Exit):  # it has told why
                run()
        except MicroclawError as exc:
            if isinstance(exc, NoHost | NobodyToAsk) or exc.exit_code == INTERRUPTED:
                raise
            options.terminal().error(exc)
        if not options.quiet and not options.json:
            options.terminal().row("watch", f"{file}: save it to run it again, Ctrl-C to end")


def _next_save(files: tuple[Path, ...], seen: _State | None) -> _State:
    """Wait until the files are others than `seen`, and rest; None: as they are now."""
    while True:
        now = _state(files)
        if now and now != seen:
            time.sleep(_SETTLED_S)
            if _state(files) == now:
                return now
        elif seen is None:
            return now  # a file is not there: the run says so
        time.sleep(_LOOK_S)


def _state(files: tuple[Path, ...]) -> _State:
    """The times and sizes of the files, and of those that the first one includes; () while one is not there."""
    with suppress(OSError, MicroclawError):  # while an editor replaces one; a run says what is wrong
        text = files[0].read_text(encoding="utf-8", errors="replace")
        files += tuple(files[0].parent / name for name in sorted(files_beside(files[0], text)))
    with suppress(FileNotFoundError):
        return tuple((found.st_mtime_ns, found.st_size) for found in map(Path.stat, files))
    return ()


app_group = click.Group(no_args_is_help=True)
_sets_option = click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter: pin=4.")


@command(app_group)
@click.argument("file", type=Path, help="C, C++ or Python source, or a sketch (.ino).")
@click.option("-o", "--output", type=Path, help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
@board_option
@optimization_option
@firmware_option
def build(
    options: GlobalOptions, file: Path, output: Path | None, board: str, optimization: str, firmware: tuple[str, ...]
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.cli.direct_programs import build_program

    values = {"name": name_of_file(file), "optimization": optimization, **program_values(file)}
    image = build_program(options, values, described_board(board, firmware))
    target = output or file.with_suffix(".wasm" if image.kind == "wasm" else ".mpy")
    write_given(target, [image.code], replace=True, next_step="give another path with -o")
    facts = {name: getattr(image, name) for name in ("size_bytes", "sha256", "compiler", "cached", "kind", "pins")}
    compile_ms = round(image.compile_ms, 1)
    warnings = [one.to_json() for one in image.warnings]
    document = {"file": str(target), **facts, "compile_ms": compile_ms, "warnings": warnings}
    if not options.wrote_json("build", document) and not options.quiet:
        options.terminal().row("file", str(target))


@command(app_group)
@click.argument("name", help="Of a catalogue's entry (app search); a file: microclaw run FILE.")
@_sets_option
@click.option("--from", "only", metavar="DIR", help=f"This catalogue alone: a folder, or {SHIPPED}.")
@click.option("--name", "app", help="The program's name on the board.")
@click.option("--in", "language", type=click.Choice(["c", "py"]), help="c or py, where the board takes both.")
@heap_option
@replace_option
@force_option
@when_back_option
@board_option
def install(
    options: GlobalOptions,
    name: str,
    sets: Texts,
    only: str | None,
    app: str | None,
    language: Literal["c", "py"] | None,
    board: str,
    **terms: Any,
) -> None:
    """Build, check, try, install and verify a ready program, as `run` does with a file."""
    address = board_address(options)
    _check_when_back(address, terms["when_back"])
    if Path(name).suffix:
        raise ConfigError(f"{name} is a file; this installs ready programs", next_step=f"microclaw run {name}")
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    taking = [{"wasm"}] if address is not None else _kinds_taken(options)
    kinds = set(entry.kinds if language is None else (KIND_OF[language],)).intersection(*taking)
    values = {"name": app or entry.app_name, **terms, **_entry_values(options, entry, params, kinds)}
    options.say(entry.diagram(params))
    if address is None:
        perform(options, programs.install, values)
        return
    from microclaw.cli.direct_programs import run_directly

    run_directly(options, address, values, load_board(board))


def _kinds_taken(options: GlobalOptions) -> list[set[ProgramKind]]:
    """Return the kinds of programs that each chosen device takes."""
    host = options.host()
    if options.chooses_many:
        names = {*chosen_names(options, host)}
    else:
        names = {chosen_device(options, host)}
    boards = [one for one in known_devices(host) if {one.name, one.device_id} & names]
    return [{*one.kinds} for one in boards if AppInstall.method in one.capabilities]


@command(app_group)
@click.argument("name")
@when_back_option
def uninstall(options: GlobalOptions, name: str, when_back: bool) -> None:
    """Take a program off a device; with -d HOST:PORT, without a host."""
    _check_when_back(board_address(options), when_back)
    perform(options, programs.uninstall, {"name": name, "when_back": when_back})


def _check_when_back(address: str | None, when_back: bool) -> None:
    """Raise BadParameter if nobody could do it later: at an address no host is asked."""
    if address is not None and when_back:
        raise click.BadParameter("--when-back has no effect with -d HOST:PORT")


@command(app_group)
@click.argument("name")
@click.argument("file", required=False, type=Path, help="Source or a .wasm file; else its catalogue's newer version.")
@optimization_option
@expect_option
@when_back_option
@_sets_option
def upgrade(
    options: GlobalOptions, name: str, file: Path | None, expect: Path | None, sets: tuple[str, ...], **terms: Any
) -> None:
    """Put a new version of a program where it is; the old one comes back where the new one is not verified."""
    if (file is None and expect) or (file is not None and sets):
        raise click.BadParameter("--expect is of a FILE, --set of a catalogue's program")
    if file is None:
        program = _newer_values(options, name, sets)
    else:
        program = program_values(file, expect)
    perform(options, programs.upgrade, {"name": name, **terms, **program})


def _newer_values(options: GlobalOptions, name: str, sets: Sequence[str]) -> dict[str, Any]:
    """The newer version of a program in the catalogue that it came from, with its values. UnknownName, ConfigError."""
    host = options.host()
    catalog = Catalog(folders_of(options.settings()))
    device = chosen_device(options, host, name)
    app = next((one for one in host.call(programs.list_apps, device=device).apps if one.name == name), None)
    origin = None if app is None else app.origin
    if origin is None:
        entry = None
    else:
        entry = catalog.newest(origin.entry, origin.catalog)
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
