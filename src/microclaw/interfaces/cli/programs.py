"""`microclaw run` and `microclaw app`: programs of files and catalogues. Other commands of app are declared acts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import click
from click.core import ParameterSource
from click.exceptions import Exit
from msgspec import Struct, to_builtins

from microclaw.devices.registry.calls import AppInstall
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, NoHost, UnknownName
from microclaw.events import ProgramKind
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import part_line
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.hardware.parts.wiring_file import find_wiring_file
from microclaw.interfaces.cli.main_file import program_file
from microclaw.interfaces.cli.operation_commands import perform
from microclaw.interfaces.cli.options import INTERRUPTED, GlobalOptions, NoTerminal, Texts, command
from microclaw.interfaces.cli.program_files import (
    find_expect_file,
    firmware_option,
    hosts_option,
    load_described_board,
    name_of_program,
    optimization_level,
    program_paths,
    program_values,
    program_wiring,
)
from microclaw.interfaces.cli.project_notes import project_notes
from microclaw.interfaces.cli.targets import board_address, chosen_device, chosen_names, known_devices
from microclaw.programs.building import check_app_name, program_language, writable_kinds
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes import wiring_operations as wirings
from microclaw.programs.changes.results import AppOrigin
from microclaw.programs.patterns.catalog import KIND_OF, SHIPPED, Catalog, Entry
from microclaw.programs.patterns.entry_form import parse_version
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.operations import folders_of
from microclaw.programs.run_times import times_body
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
expect_option = click.option(
    "--expect", type=Path, metavar="FILE", help="What it must do (docs/proof.md), else beside FILE."
)
wiring_option = click.option(
    "--wiring", type=Path, metavar="FILE", help="What is wired: a wiring.toml or diagram.json, else beside FILE."
)
board_option = click.option("--board", default="virtual", help="Without a host: the board's profile.")

_LOOK_S: Final = 0.2
_SETTLED_S: Final = 0.1
"""Editors write in several steps: a file counts as saved if it does not change for this time."""
_State: TypeAlias = tuple[tuple[int, int], ...]
"""Modification times (ns) and sizes (bytes) of files."""
_MEANINGLESS: Final = {
    "--try": ("replace", "force", "when_back"),
    "-d HOST:PORT": ("duration", "inputs", "screen", "every", "stop_after", "when_back"),
    "a host": ("duration", "inputs", "screen", "board", "firmware"),
}
"""Parameters of `run` that have no effect, by the way to run a program."""


@command()
@click.argument("file", type=Path, help="C, C++ or Python source, a sketch (.ino), its folder, or a .wasm file.")
@click.option("--name", help="The app's name; made from the file's name otherwise.")
@heap_option
@optimization_option
@expect_option
@wiring_option
@hosts_option
@click.option("--every", metavar="TIME", help="Start it again at this interval: 30s, 10m, 1h.")
@click.option("--stop-after", metavar="TIME", help="Stop each run after this time.")
@replace_option
@force_option
@when_back_option
@click.option("--watch", "watches", is_flag=True, help="Run it at each save of its files, until Ctrl-C.")
@click.option("--try", "tries", is_flag=True, help="Only try it, on a virtual board, without a host.")
@click.option("--for", "duration", default="10s", metavar="TIME", help="With --try: board time, as 10s, 500ms, 2min.")
@click.option(
    "--set", "inputs", multiple=True, metavar="PIN=LEVEL[@TIME]", help="--try input: 14=1@2s, ADC 1=3V@2s; repeatable."
)
@click.option("--screen", metavar="[ID=]FILE", help="With --try: write a display's last picture as a PNG.")
@board_option
@firmware_option
def run(
    options: GlobalOptions,
    *,
    file: Path,
    name: str | None,
    expect: Path | None,
    watches: bool,
    tries: bool,
    duration: str,
    inputs: Texts,
    **terms: Any,
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    address = board_address(options)
    _refuse_meaningless(tries=tries, address=address)
    name, file = _named_program(name, file)
    times = times_body(terms.pop("every"), terms.pop("stop_after"))
    wiring: Path | None = terms.pop("wiring")
    screen: str | None = terms.pop("screen")
    typed_board = terms.pop("board")
    firmware = terms.pop("firmware")

    def run_once() -> None:
        board_name = _board_of(file, wiring, typed_board)
        board = load_described_board(board_name, firmware)
        _say_notes(options, file, board if tries or address else None)
        values = {"name": name, **terms, **times, **_program_and_wiring(options, file, name, expect, wiring)}
        if tries and board_name != typed_board:
            options.say(f"board {board_name}, as the diagram has it")
        if not tries:
            perform(options, programs.install, values, board)
            return
        # Imported here, because it brings the compiler, which runs in the host otherwise.
        from microclaw.interfaces.cli.direct_programs import try_program

        try_program(options, values, board, duration, inputs, screen=screen)

    if watches:
        _run_at_each_save(options, _WatchedFiles(file, expect, wiring), run_once)
    else:
        run_once()


def _named_program(name: str | None, path: Path) -> tuple[str, Path]:
    """Return the app's name, and the main file of a program's file or folder. Raises ConfigError, DeployRejected."""
    app = name
    if app is None:
        app = name_of_program(path)
    file = program_file(path)
    check_app_name(app)
    return app, file


def _say_notes(options: GlobalOptions, file: Path, board: BoardProfile | None) -> None:
    for note in project_notes(file, board):
        options.say(note)


def _board_of(file: Path, wiring_file: Path | None, board_name: str) -> str:
    """Return the board that was typed, else the one that the diagram of the program is drawn for, else the default."""
    if _is_typed("board"):
        return board_name
    wiring = program_wiring(file, wiring_file)
    if wiring is None or wiring.parts.board is None:
        return board_name
    return wiring.parts.board


def _is_typed(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse_meaningless(*, tries: bool, address: str | None) -> None:
    """Raise BadParameter for an option that was typed and has no effect in this way to run a program."""
    way = "a host"
    if tries:
        way = "--try"
    elif address:
        way = "-d HOST:PORT"
    ctx = click.get_current_context()
    for param in ctx.command.params:
        if param.name in _MEANINGLESS[way] and _is_typed(param.name):
            raise click.BadParameter(f"{param.opts[0]} has no effect with {way}")


def _program_and_wiring(
    options: GlobalOptions, file: Path, app: str, expect: Path | None, wiring_file: Path | None
) -> dict[str, Any]:
    """Return a file's program, its expectations and its wiring as the fields of acts; say which parts are wired."""
    if expect is None:
        expect = find_expect_file(file)
        if expect is not None:
            options.say(f"expected by {expect.name}")
    values = program_values(file, expect, app)
    wiring = program_wiring(file, wiring_file)
    if wiring is not None:
        options.say(wiring.line)
        values["wiring"] = wiring.text
    return values


class _WatchedFiles(Struct, frozen=True):
    """What a program is run with: its file, and those that were named for its expectations and its wiring."""

    program: Path
    expect: Path | None
    wiring: Path | None

    def read_state(self) -> _State:
        """Return the state of all files that belong to the program now, or () while a named file does not exist."""
        paths = [self.program]
        for path in (self.expect or find_expect_file(self.program), self.wiring or find_wiring_file(self.program)):
            if path is not None:
                paths.append(path)
        # An editor may be replacing a file; a run reports an error that stays.
        with suppress(OSError, MicroclawError):
            paths += program_paths(self.program)[1:]
        with suppress(FileNotFoundError):
            states = [path.stat() for path in paths]
            return tuple((state.st_mtime_ns, state.st_size) for state in states)
        return ()


def _run_at_each_save(options: GlobalOptions, files: _WatchedFiles, run: Callable[[], None]) -> None:
    """Call `run` at each save of the files, until Ctrl-C; the program stays on the board.

    The error of a wrong program is shown, and its next save is tried. Other errors are raised: no host, no terminal to
    ask at, an interruption.
    """
    state = None
    while True:
        state = _wait_for_save(files, state)
        try:
            # The command has printed the reason of its exit code.
            with suppress(Exit):
                run()
        except MicroclawError as exc:
            if isinstance(exc, NoHost | NoTerminal) or exc.exit_code == INTERRUPTED:
                raise
            options.terminal().error(exc)
        if not options.quiet and not options.json:
            options.terminal().row("watch", f"{files.program}: save it to run it again, Ctrl-C to end")


def _wait_for_save(files: _WatchedFiles, before: _State | None) -> _State:
    """Wait until the files differ from `before` and do not change any more. Return at once if it is None."""
    while True:
        state = files.read_state()
        if state and state != before:
            time.sleep(_SETTLED_S)
            if files.read_state() == state:
                return state
        elif before is None:
            # A file does not exist: the run reports it.
            return state
        time.sleep(_LOOK_S)


app_group = click.Group(no_args_is_help=True)
_sets_option = click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter: pin=4.")


@command(app_group)
@click.argument("file", type=Path, help="C, C++ or Python source, a sketch (.ino), or its folder.")
@click.option("-o", "--output", type=Path, help="Where the program goes; FILE.wasm, or FILE.mpy of Python.")
@board_option
@optimization_option
@hosts_option
@firmware_option
def build(
    options: GlobalOptions, *, file: Path, output: Path | None, board: str, firmware: tuple[str, ...], **terms: Any
) -> None:
    """Compile and check a program; needs no host."""
    from microclaw.interfaces.cli.direct_programs import build_program

    name = name_of_program(file)
    file = program_file(file)
    values = {"name": name, **terms, **program_values(file, app=name)}
    image = build_program(options, values, load_described_board(board, firmware))
    suffix = ".wasm" if image.kind == "wasm" else ".mpy"
    target = output or file.with_suffix(suffix)
    write_given(target, [image.code], replace=True, next_step="give another path with -o")
    document = {
        "file": str(target),
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "compiler": image.compiler,
        "cached": image.cached,
        "kind": image.kind,
        "pins": image.pins,
        "network": to_builtins(image.network),
        "compile_ms": round(image.compile_ms, 1),
        "warnings": [diagnostic.to_json() for diagnostic in image.warnings],
    }
    if not options.wrote_json("build", document) and not options.quiet:
        options.terminal().row("file", str(target))


@command(app_group)
@click.argument("name", help="Of a catalogue's entry (app search); a file: microclaw run FILE.")
@_sets_option
@click.option("--from", "only", metavar="DIR", help=f"Only this catalogue: a folder, or {SHIPPED}.")
@click.option("--name", "app", help="The program's name on the board.")
@click.option("--in", "language", type=click.Choice(["c", "py"]), help="c or py, where the board takes both.")
@heap_option
@replace_option
@force_option
@when_back_option
@board_option
def install(
    options: GlobalOptions,
    *,
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
    if Path(name).suffix:
        raise ConfigError(f"{name} is a file; this installs ready programs", next_step=f"microclaw run {name}")
    entry = Catalog(folders_of(options.settings()), only=only).find(name)
    params = entry.values(sets or ())
    kinds = set(entry.kinds) if language is None else {KIND_OF[language]}
    if address is None:
        kinds.intersection_update(*_device_kinds(options))
    else:
        # Without a host only wasm programs can be installed.
        kinds &= {"wasm"}
    values = {"name": app or entry.app_name, **terms, **_entry_values(options, entry, params, kinds)}
    if address is None and values["expect"]:
        values["expect"] = _with_recorded_ids(options, values["expect"])
    options.say(entry.diagram(params))
    perform(options, programs.install, values, load_board(board))
    if address is None:
        _record_wiring(options, entry, params)


def _with_recorded_ids(options: GlobalOptions, expect: str) -> str:
    """Return the expectations with the ids of the parts that are recorded for the chosen device.

    For several devices they stay as they are: each has its own record.
    """
    from microclaw.programs.patterns.recorded_ids import with_recorded_ids

    host = options.host()
    names = _chosen(options)
    if len(names) != 1:
        return expect
    (name,) = names
    return with_recorded_ids(expect, parse_wiring(host.call(wirings.show_wiring, device=name).file))


def _record_wiring(options: GlobalOptions, entry: Entry, params: Mapping[str, Value]) -> None:
    """Record the parts of an installed entry as wired to the chosen devices, and say which. What is there stays."""
    from microclaw.programs.patterns.wired_entry import new_parts

    host = options.host()
    for name in _chosen(options):
        record = parse_wiring(host.call(wirings.show_wiring, device=name).file)
        lines = [part_line(part) for part in new_parts(entry, params, record)]
        if not lines:
            continue
        try:
            host.call(wirings.wire, device=name, add=lines, remove=[])
        except MicroclawError as exc:
            options.say(f"not recorded as wired to {name}: {exc.message}")
        else:
            options.say(f"recorded as wired to {name}: {'; '.join(lines)}")


def _chosen(options: GlobalOptions) -> set[str]:
    """Return the names of the chosen devices."""
    host = options.host()
    if options.chooses_many:
        return {*chosen_names(options, host)}
    return {chosen_device(options, host)}


def _device_kinds(options: GlobalOptions) -> list[set[ProgramKind]]:
    """Return the kinds of programs that each chosen device takes; devices that take none are left out."""
    host = options.host()
    names = _chosen(options)
    kinds = []
    for device in known_devices(host):
        is_chosen = device.name in names or device.device_id in names
        if is_chosen and AppInstall.method in device.capabilities:
            kinds.append({*writable_kinds(device.kinds)})
    return kinds


@command(app_group)
@click.argument("name")
@click.argument(
    "file", required=False, type=Path, help="Source, its folder or a .wasm file; else the newer of its catalogue."
)
@optimization_option
@expect_option
@wiring_option
@hosts_option
@when_back_option
@_sets_option
def upgrade(
    options: GlobalOptions,
    *,
    name: str,
    file: Path | None,
    expect: Path | None,
    wiring: Path | None,
    sets: tuple[str, ...],
    **terms: Any,
) -> None:
    """Replace a program by a new version; the old one comes back if the new one is not verified."""
    if file is None and expect:
        raise click.BadParameter("--expect needs a FILE")
    if file is None and wiring:
        raise click.BadParameter("--wiring needs a FILE")
    if file is not None and sets:
        raise click.BadParameter("--set is for a catalogue's program, not for a FILE")
    if file is None:
        program = _newer_values(options, name, sets)
    else:
        program = _program_and_wiring(options, program_file(file), name, expect, wiring)
    perform(options, programs.upgrade, {"name": name, **terms, **program})


def _newer_values(options: GlobalOptions, name: str, sets: Sequence[str]) -> dict[str, Any]:
    """Return the newest version of an installed program, from its catalogue, with its parameters.

    Raises UnknownName if it is not from a catalogue that exists, ConfigError if it is the newest already.
    """
    host = options.host()
    catalog = Catalog(folders_of(options.settings()))
    device = chosen_device(options, host, name)
    app = next((app for app in host.call(programs.list_apps, device=device).apps if app.name == name), None)
    origin = None if app is None else app.origin
    entry = None if origin is None else catalog.newest(origin.entry, origin.catalog)
    if app is None or origin is None or entry is None:
        text = f"no program {name[:63]!r} came from a catalogue that is there"
        raise UnknownName(text, next_step=f"give its new version: microclaw app upgrade {name[:63]} FILE")
    if entry.version <= parse_version(origin.version):
        raise ConfigError(f"{name} has the newest version: {origin.version}", next_step=f"microclaw app show {name}")
    params = {**origin.params, **entry.values(sets)}
    return _entry_values(options, entry, params, {app.kind or "wasm"})


def _entry_values(
    options: GlobalOptions, entry: Entry, params: Mapping[str, Value], kinds: Collection[ProgramKind]
) -> dict[str, Any]:
    """Return an entry's program as the fields of acts on programs: the first of its kinds that is in `kinds`.

    Raises ConfigError if the entry has none of these kinds.
    """
    kind = next((kind for kind in entry.kinds if kind in kinds), None)
    if kind is None:
        text = f"{entry.name} ({entry.languages}) has no program that all of these boards take"
        raise ConfigError(f"{text}; {entry.missing}".rstrip("; "), next_step="choose others with -d, or --in c or py")
    # What the compiler of a host on another machine can do is unknown: this form needs the least.
    may_block = None if options.address() is None else False
    program = entry.fill(params, kind, blocking=may_block)
    return {
        "source": program.source,
        "language": program_language(program.file),
        "expect": program.expect or None,
        "origin": AppOrigin(entry=entry.name, version=entry.version_text, catalog=entry.folder, params=dict(params)),
    }
