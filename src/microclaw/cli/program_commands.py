"""`microclaw run` and `try`: a program from a file, on a device through the host, or on a throw-away virtual board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microclaw.cli.invocation import invocation


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command("try")(try_program)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C source or a .wasm file.")],
    name: Annotated[str | None, typer.Option("--name", help="The app's name; the file's stem otherwise.")] = None,
    heap: Annotated[int, typer.Option("--heap", min=256, help="The app's heap in bytes.")] = 8192,
    optimization: Annotated[str, typer.Option("-O", "--optimization", help="O0, O1, O2, O3, Os or Oz.")] = "O3",
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
) -> None:
    """Build, check, try, install and verify a program."""
    from microclaw.cli.installing import install_file

    install_file(invocation(ctx), file, name=name, heap_bytes=heap, optimization=optimization, replace=replace)


def try_program(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C source or a .wasm file.")],
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help="Board time: 10s, 500ms, 2min.")] = "10s",
    inputs: Annotated[
        list[str] | None, typer.Option("--set", metavar="PIN=LEVEL[@TIME]", help="An input: pin=1@2s; may repeat.")
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Real time, no jumps.")] = False,
    board: Annotated[str, typer.Option("--board", help="The board's profile.")] = "virtual",
    heap: Annotated[int, typer.Option("--heap", min=256, help="The app's heap in bytes.")] = 8192,
    optimization: Annotated[str, typer.Option("-O", "--optimization")] = "O3",
) -> None:
    """Try a program on a throw-away virtual board; needs no host."""
    from microclaw.apps.trial import TrialOptions, parse_duration_ms, parse_input
    from microclaw.boards import load_board
    from microclaw.cli.sources import build_file
    from microclaw.cli.trial_page import run_trial, show_image, show_trial

    options = invocation(ctx)
    profile = load_board(board)
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs or ()),
        realtime=realtime,
        heap_bytes=heap,
    )
    image = build_file(options.settings(), file, profile, name=None, optimization=optimization)
    if not options.json and not options.quiet:
        show_image(options.terminal(), image, optimization=optimization, heap_bytes=heap)
    trial = run_trial(image, profile, trial_options)
    if options.json:
        import json
        import sys

        from microclaw.text import escape_hidden

        document = {**trial.to_json(), "diagnostics": [found.to_json() for found in image.warnings]}
        sys.stdout.write(escape_hidden(json.dumps(document, ensure_ascii=False)) + "\n")
    else:
        show_trial(options.terminal(), trial)
    if not trial.ok:
        raise typer.Exit(1)
