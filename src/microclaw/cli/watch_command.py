"""`microclaw run --watch`: the program on the board follows the file. Each save goes the way of `microclaw run`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from click.exceptions import Exit

from microclaw.cli.options import INTERRUPTED, GlobalOptions
from microclaw.cli.program_files import files_beside
from microclaw.errors import MicroclawError, NoHost

_LOOK_S: Final = 0.3
_SETTLED_S: Final = 0.2
"""Editors write in several steps: a file counts as saved once it rests that long."""
_State: TypeAlias = tuple[tuple[int, int] | None, ...]


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
