"""`microclaw run` and installing: sends a program to the host and shows its stages. It compiles nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from microclaw.apps import operations as programs
from microclaw.apps.building import check_app_name
from microclaw.apps.run_times import times_body
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import global_options
from microclaw.cli.program_files import name_of_file, optimization_level, program_values
from microclaw.cli.targets import is_address

WhenBackOption: TypeAlias = Annotated[
    bool,
    typer.Option("--when-back", help="Where the device does not answer: done when it is back, and told then."),
]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="The app's name; the file's without its ending otherwise.")
]
HeapOption: TypeAlias = Annotated[
    int,
    typer.Option("--heap", min=256, max=16 << 20, help="The app's heap in bytes."),
]
ReplaceOption: TypeAlias = Annotated[
    bool, typer.Option("--replace", help="Take over a name that another host's app holds.")
]
ForceOption: TypeAlias = Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")]
OptimizationOption: TypeAlias = Annotated[
    str,
    typer.Option("-O", "--optimization", callback=optimization_level, help="O0, O1, O2, O3, Os or Oz."),
]
ExpectOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--expect", metavar="FILE", help="What it must do, one expectation a line (docs/proof.md)."),
]
BoardOption: TypeAlias = Annotated[str, typer.Option("--board", help="Without a host: the board's profile.")]

_TRIAL, _ADDRESS, _HOST = "--try", "-d HOST:PORT", "a host"
_WAYS: Final = {
    **dict.fromkeys(("duration", "inputs", "realtime"), (_TRIAL,)),
    **dict.fromkeys(("board", "firmware"), (_TRIAL, _ADDRESS)),
    **dict.fromkeys(("every", "stop_after"), (_TRIAL, _HOST)),
    **dict.fromkeys(("replace", "force"), (_ADDRESS, _HOST)),
    "when_back": (_HOST,),
}
"""Options that have an effect in some ways to run a program alone."""


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")],
    name: NameOption = None,
    heap: HeapOption = 8192,
    optimization: OptimizationOption = "O3",
    expect: ExpectOption = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="Begin it anew so often: 30s, 10m, 1h.")
    ] = None,
    stop_after: Annotated[
        str | None, typer.Option("--stop-after", metavar="TIME", help="Stop each run after this time.")
    ] = None,
    replace: ReplaceOption = False,
    force: ForceOption = False,
    when_back: WhenBackOption = False,
    watches: Annotated[bool, typer.Option("--watch", help="Run it at each save of its file, until Ctrl-C.")] = False,
    tries: Annotated[bool, typer.Option("--try", help="Only try it, on a virtual board, without a host.")] = False,
    duration: Annotated[
        str, typer.Option("--for", metavar="TIME", help="With --try: board time, as 10s, 500ms, 2min.")
    ] = "10s",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PIN=LEVEL[@TIME]",
            help="With --try: an input, as 14=1@2s, for an ADC 1=2.5V@2s; may repeat.",
        ),
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="With --try: real time, no jumps.")] = False,
    board: BoardOption = "virtual",
    firmware: FirmwareOption = None,
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    options = global_options(ctx)
    is_direct = not options.chooses_many and options.device is not None and is_address(options.device)
    way = _TRIAL if tries else _ADDRESS if is_direct else _HOST
    check_way(ctx, way)
    check_app_name(name := name_of_file(file) if name is None else name)

    def once() -> None:
        values = {
            "name": name,
            "heap_bytes": heap,
            "optimization": optimization,
            "replace": replace,
            "force": force,
            "when_back": when_back,
            **times_body(every, stop_after),
            **program_values(file, expect),
        }
        if way == _HOST:
            perform(options, programs.install, values)
        elif way == _ADDRESS:
            from microclaw.cli.direct_programs import run_directly

            run_directly(options, str(options.device), values, described_board(board, firmware))
        else:
            from microclaw.cli.trials import try_program  # with the compiler, which the host has otherwise

            profile = described_board(board, firmware)
            try_program(options, values, profile, duration, inputs or (), realtime=realtime)

    if watches:
        from microclaw.cli.watch_command import run_at_each_save

        run_at_each_save(options, file, expect, once)
    else:
        once()


def check_way(ctx: typer.Context, way: str = _ADDRESS) -> None:
    """Raise BadParameter for an option that has no effect in this way to run a program."""
    for one in ctx.command.params:
        is_given = getattr(ctx.get_parameter_source(str(one.name)), "name", "") == "COMMANDLINE"
        if is_given and way not in _WAYS.get(str(one.name), (way,)):
            raise typer.BadParameter(f"{one.opts[0]} has no effect with {way}")
