"""`microclaw new`: makes the folder of a new program. Runs nothing."""

from __future__ import annotations

from pathlib import Path

import click

from microclaw.durable import write_given
from microclaw.errors import ConfigError
from microclaw.hardware.boards import load_board
from microclaw.interfaces.cli.options import GlobalOptions, command
from microclaw.programs.building import check_app_name
from microclaw.programs.patterns.new_folder import NewLanguage, folder_files


@command()
@click.argument("folder", type=Path, metavar="NAME")
@click.option(
    "--in",
    "language",
    default="c",
    type=click.Choice(["c", "arduino", "py"]),
    help="c, an Arduino sketch, or Python; c by default.",
)
@click.option("--board", default="virtual", help="The board's profile.")
def new(options: GlobalOptions, *, folder: Path, language: NewLanguage, board: str) -> None:
    """Make a folder with a program, its wiring, its expectations and a README."""
    check_app_name(folder.name)
    files = folder_files(folder.name, language, load_board(board))
    try:
        folder.mkdir()
    except FileExistsError as exc:
        raise ConfigError(f"{folder} exists already", next_step="give another name") from exc
    except OSError as exc:
        raise ConfigError(
            f"cannot make {folder}: {exc.strerror}", next_step="give a path in a folder of yours"
        ) from exc
    for name, text in files.items():
        write_given(folder / name, [text.encode()])
    document = {"folder": str(folder), "files": sorted(files)}
    options.report("new", document, f"{folder}: {', '.join(sorted(files))}")
    options.say(f"next: microclaw run {folder} --try --board {board}")
