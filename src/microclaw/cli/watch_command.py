"""`microclaw run --watch`: the program on the board follows the file. Each save goes the way of `microclaw run`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from click.exceptions import Exit

from microclaw.cli.interrupts import on_interrupt
from microclaw.cli.options import INTERRUPTED, GlobalOptions
from microclaw.cli.program_files import files_beside
from microclaw.errors import MicroclawError, NoHost

_LOOK_S: Final = 0.3
_SETTLED_S: Final = 0.2
"""Editors write in several steps: a file counts as saved once it rests that long."""


def run_at_each_save(options: GlobalOptions, file: Path, expect: Path | None, run: Callable[[], None]) -> None:
    """Ctrl-C ends the watching; the program stays on the board."""
    try:
        seen = None
        while True:
            seen = _next_save((file, *([expect] if expect else [])), seen)
            if _run_once(options, run):
                raise Exit(INTERRUPTED)
            if not options.quiet and not options.json:
                options.terminal().row("watch", f"{file}: save it to run it again, Ctrl-C to end")
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None


def _run_once(options: GlobalOptions, run: Callable[[], None]) -> bool:
    """One run; what is wrong with the program is told, and the next save tries again. True: Ctrl-C came meanwhile.

    The first Ctrl-C lets the run end as it can (it is cancelled, or has begun); the next one breaks off.
    """
    interrupts = 0

    def count() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt

    try:
        with on_interrupt(count), suppress(Exit):  # it has told why
            run()
    except NoHost:
        raise
    except MicroclawError as exc:
        options.terminal().error(exc)
    return interrupts > 0


_State: TypeAlias = tuple[tuple[int, int] | None, ...]


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
    return tuple(_facts(file) for file in (*files, *_included(files[0])))


def _included(file: Path) -> list[Path]:
    """The other files of a program, as they are now."""
    try:
        names = files_beside(file, file.read_text(encoding="utf-8", errors="replace"))
        return [file.parent / name for name in sorted(names)]
    except (OSError, MicroclawError):  # while an editor replaces one; a run says what is wrong
        return []


def _facts(file: Path) -> tuple[int, int] | None:
    """When it was changed and its size; None while an editor replaces it."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
