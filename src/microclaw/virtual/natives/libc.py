"""WAMR's libc-builtin without its output: the heap, bytes, strings, characters, numbers and the ways to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.memory import WasmTrap
from microclaw.virtual.runtime.process import Process, ProgramExit

_LONG_MAX: Final = 0x7FFFFFFF
_ULONG_MAX: Final = 0xFFFFFFFF
_SPACES: Final = b" \t\n\v\f\r"


# Heap.
def _calloc(process: Process, count: int, size: int) -> int:
    total = (count & 0xFFFFFFFF) * (size & 0xFFFFFFFF)
    address = process.allocate(total) if total < 0xFFFFFFFF else 0
    if address:
        process.memory.fill(address, 0, total)
    return address


def _realloc(process: Process, address: int, size: int) -> int:
    address, size = address & 0xFFFFFFFF, size & 0xFFFFFFFF
    if not address:
        return process.allocate(size)
    capacity = process.heap.capacity_of(address)
    if capacity is None:
        return 0
    if size <= capacity:
        return address
    moved = process.allocate(size)
    if moved:
        process.memory.move(moved, address, capacity)
        process.heap.free(address)
    return moved


def _strdup(process: Process, text: int) -> int:
    return process.allocate_copy(process.memory.string(text) + b"\0")


# Bytes.
def _memcpy(process: Process, to: int, source: int, size: int) -> int:
    process.memory.move(to, source, size)
    return to


def _memset(process: Process, to: int, value: int, size: int) -> int:
    process.memory.fill(to, value, size & 0xFFFFFFFF)
    return to


def _memchr(process: Process, start: int, value: int, size: int) -> int:
    size &= 0xFFFFFFFF
    process.memory.check(start, size)
    at = process.memory.read(start, size).find(value & 0xFF)
    process.memory.read(start, at + 1 if at >= 0 else size)
    return start + at if at >= 0 else 0


# Strings.
def _strchr(process: Process, text: int, char: int) -> int:
    at = (process.memory.string(text) + b"\0").find(char & 0xFF)
    return text + at if at >= 0 else 0


def _strncasecmp(process: Process, a: int, b: int, size: int) -> int:
    size &= 0xFFFFFFFF
    return _compare(process.memory.string(a, size).lower(), process.memory.string(b, size).lower())


def _strcpy(process: Process, to: int, source: int) -> int:
    process.memory.write(to, process.memory.string(source) + b"\0")
    return to


def _strncpy(process: Process, to: int, source: int, size: int) -> int:
    text = process.memory.string(source, size)
    process.memory.write(to, text.ljust(size, b"\0"))
    return to


def _strspn(process: Process, text: int, accept: int) -> int:
    data, wanted = process.memory.string(text), process.memory.string(accept)
    return len(data) - len(data.lstrip(wanted)) if wanted else 0


def _strcspn(process: Process, text: int, reject: int) -> int:
    data, unwanted = process.memory.string(text), process.memory.string(reject)
    return next((i for i, byte in enumerate(data) if byte in unwanted), len(data))


def _strstr(process: Process, text: int, part: int) -> int:
    at = process.memory.string(text).find(process.memory.string(part))
    return text + at if at >= 0 else 0


def _compare(a: bytes, b: bytes) -> int:
    """The difference of the first bytes that differ, a missing one counting 0."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return x - y
    return 0 if len(a) == len(b) else a[len(b)] if len(a) > len(b) else -b[len(a)]


# Numbers.
def _atoi(process: Process, text: int) -> int:
    value, _ = _number(process.memory.string(text), 10)
    return max(-_LONG_MAX - 1, min(_LONG_MAX, value))


def _strto(process: Process, text: int, end: int, base: int) -> int:
    value, used = _number(process.memory.string(text), base)
    if end:
        process.memory.write_u32(end, text + used)
    return value


def _strtol(process: Process, text: int, end: int, base: int) -> int:
    return max(-_LONG_MAX - 1, min(_LONG_MAX, _strto(process, text, end, base)))


def _strtoul(process: Process, text: int, end: int, base: int) -> int:
    value = _strto(process, text, end, base)
    return _ULONG_MAX if abs(value) > _ULONG_MAX else value


def _number(text: bytes, base: int) -> tuple[int, int]:
    """C's strtol: the value, and how many characters belong to it (0: none, or a base that there is not)."""
    if base != 0 and not 2 <= base <= 36:
        return 0, 0
    at = len(text) - len(text.lstrip(_SPACES))
    negative = text[at : at + 1] == b"-"
    if text[at : at + 1] in (b"-", b"+"):
        at += 1
    prefixed = text[at : at + 2].lower() == b"0x" and _digit(text[at + 2 : at + 3]) < 16
    if base in (0, 16) and prefixed:
        base, at = 16, at + 2
    elif base == 0:
        base = 8 if text[at : at + 1] == b"0" else 10
    value, first = 0, at
    while _digit(text[at : at + 1]) < base:
        value = value * base + _digit(text[at : at + 1])
        at += 1
    return (-value if negative else value), (at if at > first else 0)


def _digit(char: bytes) -> int:
    return int(char, 36) if char.isalnum() else 99


# Characters, in the C locale.
def _is(test: Callable[[bytes], bool]) -> Handler:
    return lambda _process, char: int(0 <= char < 128 and test(bytes([char])))


# Ends.
def _exit(_process: Process, status: int) -> None:
    raise ProgramExit(status)


def _trap(text: str) -> Handler:
    def end(_process: Process, *arguments: int) -> None:
        raise WasmTrap(text % arguments[: text.count("%")])

    return end


def _pow(_process: Process, x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        # A negative number to a broken power is NaN; 0 to a negative one is infinite.
        if x != 0:
            return math.nan
        return math.copysign(math.inf, x) if y % 2 == 1 else math.inf


HANDLERS: dict[str, Handler] = {
    "malloc": lambda process, size: process.allocate(size & 0xFFFFFFFF),
    "calloc": _calloc,
    "realloc": _realloc,
    "strdup": _strdup,
    "_strdup": _strdup,
    "free": lambda process, address: process.heap.free(address),
    "memcmp": lambda process, a, b, size: _compare(process.memory.read(a, size), process.memory.read(b, size)),
    "memcpy": _memcpy,
    "memmove": _memcpy,
    "emscripten_memcpy_big": _memcpy,
    "memset": _memset,
    "memchr": _memchr,
    "strchr": _strchr,
    "strcmp": lambda process, a, b: _compare(process.memory.string(a), process.memory.string(b)),
    "strncmp": lambda process, a, b, size: _compare(process.memory.string(a, size), process.memory.string(b, size)),
    "strncasecmp": _strncasecmp,
    "strcpy": _strcpy,
    "strncpy": _strncpy,
    "strlen": lambda process, text: len(process.memory.string(text)),
    "strspn": _strspn,
    "strcspn": _strcspn,
    "strstr": _strstr,
    "atoi": _atoi,
    "strtol": _strtol,
    "strtoul": _strtoul,
    "isupper": _is(bytes.isupper),
    "isalpha": _is(bytes.isalpha),
    "isspace": _is(bytes.isspace),
    "isgraph": _is(lambda char: b"!" <= char <= b"~"),
    "isprint": _is(lambda char: b" " <= char <= b"~"),
    "isdigit": _is(bytes.isdigit),
    "isxdigit": _is(lambda char: char in b"0123456789abcdefABCDEF"),
    "isalnum": _is(bytes.isalnum),
    "tolower": lambda _process, char: char + 32 if 65 <= char <= 90 else char,
    "toupper": lambda _process, char: char - 32 if 97 <= char <= 122 else char,
    "exit": _exit,
    "abort": _trap("env.abort(%d)"),
    "abortStackOverflow": _trap("env.abortStackOverflow(%d)"),
    "nullFunc_X": _trap("env.nullFunc_X(%d)"),
    "__cxa_allocate_exception": lambda process, size: process.allocate(size & 0xFFFFFFFF),
    "__cxa_begin_catch": lambda _process, _pointer: None,
    "__cxa_throw": _trap("exception thrown by stdc++"),
    "sinf": lambda _process, x: math.sin(x) if math.isfinite(x) else math.nan,
    "cosf": lambda _process, x: math.cos(x) if math.isfinite(x) else math.nan,
    "pow": _pow,
}
