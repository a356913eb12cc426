"""`--firmware` of the command line: a TOML file, or words as nodes=-i2c; may repeat. It applies nothing to a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from microclaw.boards import load_board
from microclaw.boards.firmware import PLAIN, STOCK, firmware_help, parse_firmware, words_of_toml
from microclaw.boards.profile import BoardProfile
from microclaw.durable import size_text
from microclaw.errors import ConfigError

MAX_FILE_BYTES: Final = 64 << 10

FirmwareOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--firmware",
        metavar="FILE|KEY=VALUE",
        help="What the firmware on the board has, where it differs from the profile: nodes=-i2c (docs/firmware.md).",
    ),
]


def firmware_words(arguments: Sequence[str] | None) -> tuple[str, ...]:
    """The checked words of all arguments in their shortest form. Raises ConfigError with the valid keys and values."""
    words: list[str] = []
    for argument in arguments or ():
        words += [argument] if "=" in argument or argument in (PLAIN, STOCK) else _words_of_file(Path(argument))
    return parse_firmware(words).words


def described_board(board_id: str, arguments: Sequence[str] | None) -> BoardProfile:
    """A board's profile with the firmware that the arguments describe."""
    return parse_firmware(firmware_words(arguments)).applied(load_board(board_id))


def _words_of_file(file: Path) -> tuple[str, ...]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(size_text(file, MAX_FILE_BYTES), next_step=firmware_help())
        return words_of_toml(content.decode("utf-8-sig"), str(file))
    except OSError as exc:
        text = f"--firmware {file}: neither a key with its value nor a file that can be read ({exc.strerror})"
        raise ConfigError(text, next_step=firmware_help()) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file} is no UTF-8 text", next_step="write it as in docs/firmware.md") from exc
