"""Files that are given as a program and are none: what each is, and where it belongs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.sketch_files import SKETCH_SUFFIXES, SOURCE_SUFFIXES

PROGRAM_SUFFIXES: Final = (*SOURCE_SUFFIXES, *SKETCH_SUFFIXES, ".py", ".wasm")
_KINDS: Final = f"a program's file is one of {', '.join(PROGRAM_SUFFIXES)}"
_TEXT: Final = ("a text", "")
_IMAGE: Final = ("an image", "")
# What a file with this suffix is, and how it is used; FILE is its name, in quotes where the shell needs them.
_FILES: Final[dict[str, tuple[str, str]]] = {
    ".age": ("a backup of a host", "microclaw backup restore FILE --identity KEYFILE"),
    ".bin": ("a firmware or data", "to put a firmware on a board: microclaw flash --image FILE"),
    ".expect": ("a file of expectations", "give it with its program: microclaw run PROGRAM.c --expect FILE"),
    ".gif": _IMAGE,
    ".h": ("a header", "a program includes it: run the file that has #include"),
    ".hpp": ("a header", "a program includes it: run the file that has #include"),
    ".jpeg": _IMAGE,
    ".jpg": _IMAGE,
    ".json": ("a wiring or data", "give a wiring with its program: microclaw run PROGRAM.c --wiring FILE"),
    ".md": _TEXT,
    ".pem": ("a key", "microclaw firmware publish has --key"),
    ".png": _IMAGE,
    ".rst": _TEXT,
    ".svg": _IMAGE,
    ".toml": ("a wiring or settings", "give a wiring with its program: microclaw run PROGRAM.c --wiring FILE"),
    ".txt": _TEXT,
    ".yaml": ("a fleet file or settings", "microclaw fleet apply -f FILE --dry-run"),
    ".yml": ("a fleet file or settings", "microclaw fleet apply -f FILE --dry-run"),
    ".zip": ("an archive", "unpack it, and run the file or the folder of the program"),
}


def refuse_other_files(file: Path) -> None:
    """Raise ConfigError for a file whose name says that it is no program."""
    suffix = file.suffix.lower()
    kind, use = _FILES.get(suffix, ("", ""))
    if not kind:
        return
    steps = [_KINDS]
    if use:
        steps.insert(0, use.replace("FILE", shlex.quote(str(file))))
    raise ConfigError(f"{file} is no program: its name says {kind}", next_step="; ".join(steps))
