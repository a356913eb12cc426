"""`--firmware` of the command line: a TOML file, or words as nodes=-i2c; may repeat. It applies nothing to a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from microclaw.boards import load_board
from microclaw.boards.firmware import PLAIN, STOCK, parse_firmware, words_of_toml
from microclaw.boards.profile import BoardProfile
from microclaw.durable import read_given_text

MAX_FILE_BYTES: Final = 64 << 10

firmware_option = click.option(
    "--firmware",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    help="What the firmware on the board has, where it differs from the profile: nodes=-i2c (docs/firmware.md).",
)


def firmware_words(arguments: Sequence[str] | None) -> tuple[str, ...]:
    """The checked words of all arguments in their shortest form. Raises ConfigError with the valid keys and values."""
    words: list[str] = []
    for one in arguments or ():
        is_word = "=" in one or one in (PLAIN, STOCK)
        words += [one] if is_word else words_of_toml(read_given_text(Path(one), MAX_FILE_BYTES), one)
    return parse_firmware(words).words


def described_board(board_id: str, arguments: Sequence[str] | None) -> BoardProfile:
    """A board's profile with the firmware that the arguments describe."""
    return parse_firmware(firmware_words(arguments)).applied(load_board(board_id))
