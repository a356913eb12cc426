"""The files that a command takes: a program with those that it includes, expectations, a firmware's description."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from zlib import crc32

import click

from microclaw.apps.building import program_language
from microclaw.apps.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.boards import load_board
from microclaw.boards.firmware import PLAIN, STOCK, parse_firmware, words_of_toml
from microclaw.boards.profile import BoardProfile
from microclaw.durable import read_given, read_given_text
from microclaw.errors import ConfigError
from microclaw.text import MAX_PROGRAM_CHARS

WASM_MAGIC: Final = b"\0asm"
MAX_FILE_BYTES: Final = 4 << 20
_ACCENTS: Final = "[\u0300-\u036f]+"  # Unicode's block of combining diacritical marks


def name_of_file(file: Path) -> str:
    """Return an app's name: my-blink-v2 for my.blink.v2.ino, grosse for größe.py, my-lamp-2 for "my lamp (2).ino".

    A file whose letters have no form in ASCII, or that has none, gets a number of its own, so that two of them are
    two apps.
    """
    text = unicodedata.normalize("NFKD", file.stem.replace("ß", "ss"))
    text = re.sub(_ACCENTS, "", text)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    if name and text.isascii():
        return name
    return f"program-{crc32(text.encode()):08x}"


def optimization_level(text: str) -> str:
    """The level that -O says, as the host takes it; "2" as in -O2 is O2. Raises ConfigError."""
    level = text.removeprefix("O")
    if level not in ("0", "1", "2", "3", "s", "z"):
        raise ConfigError(f"-O {text!r}: there is no such level", next_step="write -O O0, O1, O2, O3, Os or Oz")
    return f"O{level}"


def program_values(file: Path, expect: Path | None = None) -> dict[str, Any]:
    """The program of a file, and what it must do, as the acts on programs take them. Raises ConfigError, BuildError.

    Its text has the files beside it that it includes in quotes (wasm/source_files.py).
    """
    content = read_given(file, MAX_FILE_BYTES)
    values = dict[str, Any]()
    if not content:
        raise ConfigError(f"{file} is empty", next_step="give the path of a .c, .cpp, .ino, .py or .wasm file")
    if content.startswith(WASM_MAGIC):
        values["wasm"] = base64.b64encode(content).decode()
    elif file.suffix == ".wasm":
        text = f"{file} is no wasm module: it does not begin with 00 61 73 6d"
        raise ConfigError(text, next_step="build one with microclaw app build FILE.c, or name a C source .c")
    else:
        values |= {"source": _source_text(content, file), "language": program_language(file.name)}
    if expect is not None:
        values["expect"] = expectations_text(expect)
    return values


def expectations_text(file: Path) -> str:
    """The file's expectations; ConfigError says why it cannot be read, or line, column and what to write instead."""
    text = read_given_text(file, 4 * MAX_TEXT_CHARS)
    parse_expectations(text)
    return text


def _source_text(content: bytes, file: Path) -> str:
    try:
        text = content.decode("utf-8-sig")  # without the mark that some editors put before it
    except UnicodeDecodeError as exc:
        text = f"{file} is neither wasm nor UTF-8 text (byte {exc.start})"
        raise ConfigError(text, next_step="save the source as UTF-8") from exc
    is_in_parts = "include" in text or "_binary_" in text or file.suffix in (".ino", ".pde")
    may_have_more = program_language(file.name) != "python" and is_in_parts
    if may_have_more and (beside := files_beside(file, text)):
        from microclaw.wasm.source_files import join_files  # of programs in several files alone

        text = join_files(file.name, text, beside)
    if len(text) > MAX_PROGRAM_CHARS:
        text = f"{file} has {len(text):,} characters, a program's source at most {MAX_PROGRAM_CHARS:,}"
        raise ConfigError(text, next_step="leave large tables out, or compute them")
    return text


def files_beside(file: Path, text: str) -> dict[str, str]:
    """Return the texts of the files that a program includes in quotes or embeds, and of a header's own source.

    pins.c is that of pins.h. By their names, which are paths from the program's folder. Only files in that folder and
    below it; others are reported as headers that do not exist.
    """
    from microclaw.wasm.embedded_files import embedded_symbols, find_embedded
    from microclaw.wasm.source_files import MAX_FILES, included_names

    folder = file.parent.resolve()
    wanted = [(PurePosixPath(), name) for name in included_names(text)]
    if file.suffix in (".ino", ".pde") and folder.name == file.stem:  # a sketch's folder: all of it is the sketch
        tabs = (one.name for one in folder.iterdir() if one.suffix in (".ino", ".pde", ".cpp"))
        wanted += [(PurePosixPath(), tab) for tab in sorted(tabs)]
    found: dict[str, str] = {}
    if "_binary_" in text:
        names = [path.name for path in folder.iterdir()]
    else:
        names = []
    for symbol in embedded_symbols(text):
        embedded = find_embedded(symbol, names)
        if embedded is not None and _is_in(folder, PurePosixPath(embedded)):
            found[embedded] = read_given_text(folder / embedded, MAX_FILE_BYTES)
    while wanted and len(found) <= MAX_FILES:
        within, asked = wanted.pop()
        name = next((one for one in (within / asked, PurePosixPath(asked)) if _is_in(folder, one)), None)
        if name is None or str(name) in found or (folder / name).resolve() == file.resolve():
            continue
        found[str(name)] = read_given_text(folder / name, MAX_FILE_BYTES)
        wanted += [(name.parent, one) for one in included_names(found[str(name)])]
        if name.suffix.startswith(".h"):
            wanted += [(PurePosixPath(), str(name.with_suffix(one))) for one in (".c", ".cpp", ".cc", ".cxx")]
    return found


def _is_in(folder: Path, name: PurePosixPath) -> bool:
    at = folder / name
    return ".." not in name.parts and at.is_file() and at.resolve().is_relative_to(folder)


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
        if is_word:
            words += [one]
        else:
            words += words_of_toml(read_given_text(Path(one), 64 << 10), one)
    return parse_firmware(words).words


def described_board(board_id: str, arguments: Sequence[str] | None) -> BoardProfile:
    """A board's profile with the firmware that the arguments describe."""
    return parse_firmware(firmware_words(arguments)).applied(load_board(board_id))
