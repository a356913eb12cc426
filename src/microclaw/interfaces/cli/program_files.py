"""The files that a command takes: a program with its included files, expectations, a firmware's description."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
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
from microclaw.hardware.parts.wiring_file import find_wiring_file, places_beside, read_wiring_text
from microclaw.interfaces.cli.main_file import MAIN_STEMS, program_file
from microclaw.interfaces.cli.no_program import refuse_other_files
from microclaw.interfaces.cli.sketch_files import MAX_FILE_BYTES, SKETCH_SUFFIXES, find_source_files, project_folder
from microclaw.programs.building import program_language
from microclaw.programs.named_hosts import read_hosts, split_hosts
from microclaw.programs.proof.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.programs.source_marks import with_file_name
from microclaw.text import MAX_PROGRAM_CHARS

WASM_MAGIC: Final = b"\0asm"
# Unicode's block of combining diacritical marks.
_ACCENTS: Final = "[\u0300-\u036f]+"


def name_of_program(path: Path) -> str:
    """Return an app's name for a program that was named by its file, or by its folder.

    A main.c or sketch.ino that is the program of its folder has the folder's name, too: its own says nothing.
    """
    folder = path
    if not path.is_dir():
        if path.stem not in MAIN_STEMS or not _is_of_folder(path):
            return name_of_file(path)
        folder = project_folder(path.resolve())
    # A folder's name has no suffix: all of it is the name.
    return _app_name(folder.resolve().name)


def _is_of_folder(file: Path) -> bool:
    """Return True if a file is the program that its folder stands for."""
    resolved = file.resolve()
    try:
        return program_file(project_folder(resolved)) == resolved
    except ConfigError:
        return False


def name_of_file(file: Path) -> str:
    """Return an app's name: my-blink-v2 for my.blink.v2.ino, grosse for größe.py, my-lamp-2 for "my lamp (2).ino"."""
    return _app_name(file.stem)


def _app_name(title: str) -> str:
    """Return the name of an app that people call so.

    A name with letters that have no form in ASCII, or without letters, gets a number of its own, so that two such files
    are two apps.
    """
    text = unicodedata.normalize("NFKD", title.replace("ß", "ss"))
    text = re.sub(_ACCENTS, "", text)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")
    if name and text.isascii():
        return name
    return f"program-{crc32(text.encode()):08x}"


def optimization_level(text: str) -> str:
    """Return the level of -O as the host takes it: O2 for "2" and "O2". Raises ConfigError for an unknown level."""
    level = text.removeprefix("O")
    if level not in ("0", "1", "2", "3", "s", "z"):
        raise ConfigError(f"-O {text!r}: there is no such level", next_step="write -O O0, O1, O2, O3, Os or Oz")
    return f"O{level}"


def program_values(file: Path, expect: Path | None = None, app: str | None = None) -> dict[str, Any]:
    """Return a file's program and its expectations, as the fields of acts on programs.

    `app` is the program's name, None if it has the file's.

    A source contains the other files that belong to it (sketch_files.py, python_files.py). Raises ConfigError and
    BuildError.
    """
    content = read_given(file, MAX_FILE_BYTES)
    refuse_other_files(file)
    values = dict[str, Any]()
    if not content:
        raise ConfigError(f"{file} is empty", next_step="give the path of a .c, .cpp, .ino, .py or .wasm file")
    if content.startswith(WASM_MAGIC):
        values["wasm"] = base64.b64encode(content).decode()
    elif file.suffix == ".wasm":
        text = f"{file} is not a wasm module: it does not begin with 00 61 73 6d"
        raise ConfigError(text, next_step="build one with microclaw app build FILE.c, or name a C source .c")
    else:
        values |= {"source": _source_text(content, file, app), "language": program_language(file.name)}
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
    if not program.suffix:
        return None
    for place in places_beside(program):
        file = place / f"{program.stem}.expect"
        # Expectations that were given as the program have none of their own.
        if file.is_file() and file != program:
            return file
    return None


def expectations_text(file: Path) -> str:
    """Return the file's expectations. Raises ConfigError if they cannot be read, or with line, column and remedy."""
    text = read_given_text(file, 4 * MAX_TEXT_CHARS)
    parse_expectations(text)
    return text


def _source_text(content: bytes, file: Path, app: str | None) -> str:
    """Decode a program's source, and join it with the files beside it. Raises ConfigError if not UTF-8 or too long.

    Errors name a program of one file by its name, so the text of a file that is called otherwise says the file's.
    """
    try:
        # Some editors put a byte order mark before the text; utf-8-sig removes it.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        text = f"{file} is neither wasm nor UTF-8 text (byte {exc.start})"
        raise ConfigError(text, next_step="save the source as UTF-8") from exc
    if program_language(file.name) == "python":
        joined = _join_python(file, text)
    else:
        joined = _join_beside(file, text)
    if joined == text and app not in (None, file.stem):
        joined = with_file_name(text, file.name)
    if len(joined) > MAX_PROGRAM_CHARS:
        text = f"{file} has {len(joined):,} characters, a program's source at most {MAX_PROGRAM_CHARS:,}"
        raise ConfigError(text, next_step="leave large tables out, or compute them")
    return joined


def _join_beside(file: Path, text: str) -> str:
    """Return the source with its other files, if it has any."""
    if not _may_have_more(file, text):
        return text
    files = find_source_files(file, text)
    if not files.texts:
        return text
    # Imported here, because most programs are one file.
    from microclaw.programs.wasm.source_files import join_files

    return join_files(files.main, text, files.texts)


def _join_python(file: Path, text: str) -> str:
    """Return the source with the files that it imports, if it imports any."""
    # Imported here, because they read the tables of MicroPython.
    from microclaw.interfaces.cli.python_files import find_python_files
    from microclaw.programs.py.source_files import join_files

    return join_files(file.name, text, find_python_files(file, text))


def program_paths(file: Path) -> list[Path]:
    """Return a program's file and the other files that belong to it. Raises OSError, ConfigError."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if program_language(file.name) == "python":
        from microclaw.interfaces.cli.python_files import find_python_files

        return [file, *(file.parent / name for name in find_python_files(file, text))]
    if not _may_have_more(file, text):
        return [file]
    paths = find_source_files(file, text).paths
    return [file, *(paths[name] for name in sorted(paths))]


def _may_have_more(file: Path, text: str) -> bool:
    """Return False for a program that has no other files, as most: they need not be looked for."""
    if file.suffix in SKETCH_SUFFIXES or project_folder(file.absolute()) != file.absolute().parent:
        return True
    return "include" in text or "_binary_" in text


firmware_option = click.option(
    "--firmware",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    help="Differences of the board's firmware from the profile: nodes=-i2c (docs/firmware.md).",
)


def _read_hosts(_ctx: click.Context, _option: click.Parameter, text: str | None) -> list[str]:
    if text is None:
        return []
    return list(read_hosts(split_hosts(text)))


hosts_option = click.option(
    "--hosts",
    metavar="HOST[:PORT],...",
    callback=_read_hosts,
    help="Hosts that it talks to and that its source does not name.",
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
