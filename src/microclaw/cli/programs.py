"""`microclaw run` and installing: sends a program to the host and shows its stages. It compiles nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
from click.core import ParameterSource
from click.exceptions import Exit

from microclaw.apps import operations as programs
from microclaw.apps.building import check_app_name
from microclaw.apps.run_times import times_body
from microclaw.cli.firmware_option import described_board, firmware_option
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import INTERRUPTED, GlobalOptions
from microclaw.cli.program_files import files_beside, name_of_file, optimization_level, program_values
from microclaw.cli.targets import is_address
from microclaw.errors import MicroclawError, NoHost
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES

when_back_option = click.option(
    "--when-back", is_flag=True, help="Where the device does not answer: done when it is back, and told then."
)
heap_option = click.option(
    "--heap", "heap_bytes", default=DEFAULT_HEAP_BYTES, type=click.IntRange(256, 16 << 20), help="The heap in bytes."
)
replace_option = click.option("--replace", is_flag=True, help="Take over a name that another host's app holds.")
force_option = click.option("--force", is_flag=True, help="Install it although its trial failed.")
optimization_option = click.option(
    "-O", "--optimization", default="O3", type=optimization_level, metavar="LEVEL", help="O0, O1, O2, O3, Os or Oz."
)
expect_option = click.option(
    "--expect", type=Path, metavar="FILE", help="What it must do, one expectation a line (docs/proof.md)."
)
board_option = click.option("--board", default="virtual", help="Without a host: the board's profile.")

_LOOK_S: Final = 0.3
_SETTLED_S: Final = 0.2
"""Editors write in several steps: a file counts as saved once it rests that long."""
_State: TypeAlias = tuple[tuple[int, int] | None, ...]
_TRIAL, _ADDRESS, _HOST = "--try", "-d HOST:PORT", "a host"
_WAYS: Final = {
    **dict.fromkeys(("duration", "inputs"), (_TRIAL,)),
    **dict.fromkeys(("board", "firmware"), (_TRIAL, _ADDRESS)),
    **dict.fromkeys(("every", "stop_after"), (_TRIAL, _HOST)),
    **dict.fromkeys(("replace", "force"), (_ADDRESS, _HOST)),
    "when_back": (_HOST,),
}
"""Options that have an effect in some ways to run a program alone."""


@click.command()
@click.argument("file", type=Path, help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")
@click.option("--name", help="The app's name; the file's without its ending otherwise.")
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
    "--set",
    "inputs",
    multiple=True,
    metavar="PIN=LEVEL[@TIME]",
    help="With --try: an input, as 14=1@2s, for an ADC 1=2.5V@2s; may repeat.",
)
@board_option
@firmware_option
@click.pass_obj
def run(
    options: GlobalOptions,
    /,
    file: Path,
    name: str | None,
    expect: Path | None,
    every: str | None,
    stop_after: str | None,
    watches: bool,
    tries: bool,
    duration: str,
    inputs: tuple[str, ...],
    board: str,
    firmware: tuple[str, ...],
    **terms: Any,
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    is_direct = not options.chooses_many and options.device is not None and is_address(options.device)
    way = _TRIAL if tries else _ADDRESS if is_direct else _HOST
    check_way(way)
    check_app_name(name := name_of_file(file) if name is None else name)

    def once() -> None:
        values = {"name": name, **terms, **times_body(every, stop_after), **program_values(file, expect)}
        if way == _HOST:
            perform(options, programs.install, values)
        elif way == _ADDRESS:
            from microclaw.cli.direct_programs import run_directly

            run_directly(options, str(options.device), values, described_board(board, firmware))
        else:
            from microclaw.cli.trials import try_program  # with the compiler, which the host has otherwise

            try_program(options, values, described_board(board, firmware), duration, inputs)

    if watches:
        run_at_each_save(options, file, expect, once)
    else:
        once()


def check_way(way: str = _ADDRESS) -> None:
    """Raise BadParameter for an option that has no effect in this way to run a program."""
    ctx = click.get_current_context()
    for one in ctx.command.params:
        is_given = ctx.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE
        if is_given and way not in _WAYS.get(str(one.name), (way,)):
            raise click.BadParameter(f"{one.opts[0]} has no effect with {way}")


def run_at_each_save(options: GlobalOptions, file: Path, expect: Path | None, run: Callable[[], None]) -> None:
    """Ctrl-C ends the watching; the program stays on the board. Of a program that is wrong the next save is tried."""
    seen = None
    while True:
        seen = _next_save((file, *([expect] if expect else [])), seen)
        try:
            with suppress(Exit):  # it has told why
                run()
        except NoHost:
            raise
        except MicroclawError as exc:
            if exc.exit_code == INTERRUPTED:
                raise
            options.terminal().error(exc)
        if not options.quiet and not options.json:
            options.terminal().row("watch", f"{file}: save it to run it again, Ctrl-C to end")


def _next_save(files: tuple[Path, ...], seen: _State | None) -> _State:
    """Wait until the files are others than `seen`, and rest; None: as they are now."""
    while True:
        now = _state(files)
        if now != seen and now[0] is not None:
            time.sleep(_SETTLED_S)
            if _state(files) == now:
                return now
        elif seen is None:
            return now  # there is no such file: the run says so
        time.sleep(_LOOK_S)


def _state(files: tuple[Path, ...]) -> _State:
    """The times and sizes of the files, and of those that the first one includes."""
    included: list[Path] = []
    with suppress(OSError, MicroclawError):  # while an editor replaces one; a run says what is wrong
        text = files[0].read_text(encoding="utf-8", errors="replace")
        included = [files[0].parent / name for name in sorted(files_beside(files[0], text))]
    return tuple(_facts(file) for file in (*files, *included))


def _facts(file: Path) -> tuple[int, int] | None:
    """None while an editor replaces it."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
