"""The place of a program's trap, read from wasmtime's text of the trap; a build for trials tells its lines."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.wire.board_replies import STACK_FULL

_REPEATED: Final = 5  # of 20 calls that wasmtime tells: so often it is a recursion
_OURS: Final = ("/wasm/headers/", "/libcxx/include/")
_HERE: Final = "microclaw_here"  # programs/wasm/headers/traced: not a call of the program's
_FRAME: Final = re.compile(r"^ +(?:\d+: +0x[0-9a-f]+)? *- (.+)\n(?: +at (.+):(\d+):\d+)?", re.MULTILINE)


class StackFrame(Struct, frozen=True):
    """One call under way: the function and, in a file of the program's own, the line."""

    function: str
    line: int | None


def read_frames(backtrace: str) -> tuple[StackFrame, ...]:
    """Return the calls in wasmtime's text of a trap, the innermost first."""
    found = _FRAME.findall(backtrace)
    return tuple(
        StackFrame(_plain(name), int(line) if line and not any(ours in file for ours in _OURS) else None)
        for name, file, line in found
        if _HERE not in name
    )


def _plain(name: str) -> str:
    name = name.rpartition("!")[2].partition("(")[0]
    if "operator" not in name:  # of a template its result is told as well: unsigned long Print::println<char const*>
        name = name.partition("<")[0].rpartition(" ")[2]
    name = name.removeprefix("microclaw_").removeprefix("native_")
    return "main" if name in ("__original_main", "__main_void", "__main_argc_argv") else name


def call_place(frames: tuple[StackFrame, ...]) -> str | None:
    """Name the innermost call in the program's own text, as "line 12, in main"; None if it has none."""
    own = next((frame for frame in frames if frame.line is not None), None)
    if own:
        return f"line {own.line}, in {own.function}"
    return None


def stack_overflow(frames: tuple[StackFrame, ...]) -> str | None:
    """Name the functions that filled the stack, by the calls under way."""
    own = [frame for frame in frames if frame.line is not None]
    if not own:
        return None
    names = [frame.function for frame in own]
    often = max(names, key=names.count)
    if names.count(often) >= _REPEATED:
        line = next(frame.line for frame in own if frame.function == often)
        through = sorted(name for name in set(names) if name != often and names.count(name) >= _REPEATED)
        if through:
            by = f" through {', '.join(through)}"
        else:
            by = ""
        return f"{STACK_FULL}{often} calls itself{by} too deep for the stack (line {line})"
    chain = ", called by ".join(f"{frame.function} (line {frame.line})" for frame in own[:4])
    return f"{STACK_FULL}it has no room for the local variables of {chain}"
