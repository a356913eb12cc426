"""The files that a command takes: a program with its included files, expectations, a firmware's description."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from zlib import crc32

import click
from msgspec import Struct

from microclaw.durable import read_given, read_given_text
from microclaw.errors import ConfigError
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.firmware import PLAIN, STOCK, parse_firmware, words_of_toml
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.diagram_nets import MAX_DIAGRAM_BYTES
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_file import find_wiring_file, read_wiring_text
from microclaw.programs.building import program_language
from microclaw.programs.proof.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.text import MAX_PROGRAM_CHARS

WASM_MAGIC: Final = b"\0asm"
MAX_FILE_BYTES: Final = 4 << 20
# Unicode's block of combining diacritical marks.
_ACCENTS: Final = "[\u0300-\u036f]+"
_SKETCH_SUFFIXES: Final = (".ino", ".pde")
_TAB_SUFFIXES: Final = (".ino", ".pde", ".cpp")
_SOURCE_SUFFIXES: Final = (".c", ".cpp", ".cc", ".cxx")


def name_of_file(file: Path) -> str:
    """Return an app's name: my-blink-v2 for my.blink.v2.ino, grosse for größe.py, my-lamp-2 for "my lamp (2).ino".

    A name with letters that have no form in ASCII, or without letters, gets a number of its own, so that two such files
    are two apps.
    """
    text = unicodedata.normalize("NFKD", file.stem.replace("ß", "ss"))
    text = re.sub(_ACCENTS, "", text)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    if name and text.isascii():
        return name
    return f"program-{crc32(text.encode()):08x}"


def optimization_level(text: str) -> str:
    """Return the level of -O as the host takes it: O2 for "2" and "O2". Raises ConfigError for an unknown level."""
    level = text.removeprefix("O")
    if level not in ("0", "1", "2", "3", "s", "z"):
        raise ConfigError(f"-O {text!r}: there is no such level", next_step="write -O O0, O1, O2, O3, Os or Oz")
    return f"O{level}"


def program_values(file: Path, expect: Path | None = None) -> dict[str, Any]:
    """Return a file's program and its expectations, as the fields of acts on programs.

    A source contains the files beside it that it includes in quotes (wasm/source_files.py). Raises ConfigError and
    BuildError.
    """
    content = read_given(file, MAX_FILE_BYTES)
    values = dict[str, Any]()
    if not content:
        raise ConfigError(f"{file} is empty", next_step="give the path of a .c, .cpp, .ino, .py or .wasm file")
    if content.startswith(WASM_MAGIC):
        values["wasm"] = base64.b64encode(content).decode()
    elif file.suffix == ".wasm":
        text = f"{file} is not a wasm module: it does not begin with 00 61 73 6d"
        raise ConfigError(text, next_step="build one with microclaw app build FILE.c, or name a C source .c")
    else:
        values |= {"source": _source_text(content, file), "language": program_language(file.name)}
    if expect is not None:
        values["expect"] = expectations_text(expect)
    return values


class ProgramWiring(Struct, frozen=True):
    """The wiring of a program: the file that has it, its text, and its parts."""

    file: Path
    text: str
    parts: Wiring

    @property
    def line(self) -> str:
        """ "wired by diagram.json: dht1, ledred (ledRed); not simulated: q1"."""
        former_ids = {part_id: name for name, part_id in self.parts.renamed.items()}
        words = []
        for part in self.parts.parts:
            word = part.id
            if word in former_ids:
                word += f" ({former_ids[word]})"
            words.append(word)
        ids = ", ".join(words)
        line = f"wired by {self.file.name}: {ids or 'nothing'}"
        if self.parts.not_simulated:
            line += f"; not simulated: {', '.join(self.parts.not_simulated)}"
        return line


def program_wiring(program: Path, file: Path | None = None) -> ProgramWiring | None:
    """Return the wiring in this file, else in the one beside the program; None if there is none.

    Raises ConfigError, and UnknownName for a part that nothing here knows.
    """
    if file is None:
        file = find_wiring_file(program)
    if file is None:
        return None
    text = read_given_text(file, MAX_DIAGRAM_BYTES)
    return ProgramWiring(file, text, read_wiring_text(text))


def find_expect_file(program: Path) -> Path | None:
    """Return the file with a program's expectations beside it, blink.expect for blink.c; None if there is none."""
    file = program.with_suffix(".expect")
    if program.suffix and file.is_file():
        return file
    return None


def expectations_text(file: Path) -> str:
    """Return the file's expectations. Raises ConfigError if they cannot be read, or with line, column and remedy."""
    text = read_given_text(file, 4 * MAX_TEXT_CHARS)
    parse_expectations(text)
    return text


def _source_text(content: bytes, file: Path) -> str:
    """Decode a program's source, and join it with the files beside it. Raises ConfigError if not UTF-8 or too long."""
    try:
        # Some editors put a byte order mark before the text; utf-8-sig removes it.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        text = f"{file} is neither wasm nor UTF-8 text (byte {exc.start})"
        raise ConfigError(text, next_step="save the source as UTF-8") from exc
    if program_language(file.name) != "python":
        text = _join_beside(file, text)
    if len(text) > MAX_PROGRAM_CHARS:
        text = f"{file} has {len(text):,} characters, a program's source at most {MAX_PROGRAM_CHARS:,}"
        raise ConfigError(text, next_step="leave large tables out, or compute them")
    return text


def _join_beside(file: Path, text: str) -> str:
    """Return the source with the files beside it, if it uses any."""
    may_have_more = "include" in text or "_binary_" in text or file.suffix in _SKETCH_SUFFIXES
    if not may_have_more:
        return text
    beside = files_beside(file, text)
    if not beside:
        return text
    # Imported here, because most programs are one file.
    from microclaw.programs.wasm.source_files import join_files

    return join_files(file.name, text, beside)


def files_beside(file: Path, text: str) -> dict[str, str]:
    """Return the texts of the files that a program includes in quotes or embeds, and of the headers' own sources.

    The source of pins.h is pins.c. The keys are paths from the program's folder. Only files in that folder and below
    are read; others are reported as headers that do not exist.
    """
    from microclaw.programs.source_marks import MAX_FILES
    from microclaw.programs.wasm.source_files import included_names

    folder = file.parent.resolve()
    texts = _embedded_texts(folder, text)
    pending = [(PurePosixPath(), name) for name in included_names(text)]
    if file.suffix in _SKETCH_SUFFIXES and folder.name == file.stem:
        pending += [(PurePosixPath(), tab) for tab in _sketch_tabs(folder)]
    while pending and len(texts) <= MAX_FILES:
        parent, included = pending.pop()
        name = _find_included(folder, parent, included)
        if name is None or str(name) in texts or (folder / name).resolve() == file.resolve():
            continue
        texts[str(name)] = read_given_text(folder / name, MAX_FILE_BYTES)
        pending += [(name.parent, nested) for nested in included_names(texts[str(name)])]
        if name.suffix.startswith(".h"):
            pending += [(PurePosixPath(), str(name.with_suffix(suffix))) for suffix in _SOURCE_SUFFIXES]
    return texts


def _embedded_texts(folder: Path, text: str) -> dict[str, str]:
    """Return the texts of the files whose symbols (_binary_..._start) a program names."""
    from microclaw.programs.wasm.embedded_files import embedded_symbols, find_embedded

    if "_binary_" not in text:
        return {}
    texts: dict[str, str] = {}
    names = [path.name for path in folder.iterdir()]
    for symbol in embedded_symbols(text):
        name = find_embedded(symbol, names)
        if name is not None and _is_in(folder, PurePosixPath(name)):
            texts[name] = read_given_text(folder / name, MAX_FILE_BYTES)
    return texts


def _sketch_tabs(folder: Path) -> list[str]:
    """Return the names of the sources in a sketch's folder: all of them are the sketch."""
    return sorted(path.name for path in folder.iterdir() if path.suffix in _TAB_SUFFIXES)


def _find_included(folder: Path, parent: PurePosixPath, included: str) -> PurePosixPath | None:
    """Return the path of an included file: beside the file that includes it, else from the program's folder."""
    for name in (parent / included, PurePosixPath(included)):
        if _is_in(folder, name):
            return name
    return None


def _is_in(folder: Path, name: PurePosixPath) -> bool:
    """Return True for a file in the folder or below it; a symbolic link must not lead out."""
    path = folder / name
    return ".." not in name.parts and path.is_file() and path.resolve().is_relative_to(folder)


firmware_option = click.option(
    "--firmware",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    help="Differences of the board's firmware from the profile: nodes=-i2c (docs/firmware.md).",
)


def firmware_words(arguments: Sequence[str] | None) -> tuple[str, ...]:
    """Return the checked words of all arguments in their shortest form.

    An argument is a word or the name of a file with words. Raises ConfigError with the valid keys and values.
    """
    words: list[str] = []
    for argument in arguments or ():
        if "=" in argument or argument in (PLAIN, STOCK):
            words.append(argument)
        else:
            words += words_of_toml(read_given_text(Path(argument), 64 << 10), argument)
    return parse_firmware(words).words


def load_described_board(board_id: str, arguments: Sequence[str] | None) -> BoardProfile:
    """Return a board's profile with the firmware that the arguments describe."""
    return parse_firmware(firmware_words(arguments)).applied(load_board(board_id))
