"""WAMR's libc-builtin without its output: the heap, bytes, strings, characters, numbers and the ways to end."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.memory import ProgramExit, WasmTrap

_LONG_MAX: Final = 0x7FFFFFFF
_ULONG_MAX: Final = 0xFFFFFFFF
_HEAD: Final = re.compile(rb"[ \t\n\v\f\r]*(?P<sign>[+-]?)")
_HEAD_OF_16: Final = re.compile(_HEAD.pattern + rb"(?P<prefix>0[xX](?=[0-9a-fA-F]))?")


# Heap.
def _calloc(app: App, count: int, size: int) -> int:
    total = (count & 0xFFFFFFFF) * (size & 0xFFFFFFFF)
    if total < 0xFFFFFFFF:
        address = app.allocate(total)
    else:
        address = 0
    if address:
        app.memory.fill(address, 0, total)
    return address


def _realloc(app: App, address: int, size: int) -> int:
    address = address & 0xFFFFFFFF
    size = size & 0xFFFFFFFF
    if not address:
        return app.allocate(size)
    capacity = app.heap.capacity_of(address)
    if capacity is None:
        return 0
    if size <= capacity:
        return address
    moved = app.allocate(size)
    if moved:
        app.memory.move(moved, address, capacity)
        app.heap.free(address)
    return moved


def _strdup(app: App, text: int) -> int:
    return app.allocate_copy(app.memory.string(text) + b"\0")


# Bytes.
def _memcpy(app: App, to: int, source: int, size: int) -> int:
    app.memory.move(to, source, size)
    return to


def _memset(app: App, to: int, value: int, size: int) -> int:
    app.memory.fill(to, value, size & 0xFFFFFFFF)
    return to


def _memchr(app: App, start: int, value: int, size: int) -> int:
    size &= 0xFFFFFFFF
    app.memory.check(start, size)
    at = app.memory.read(start, size).find(value & 0xFF)
    app.memory.read(start, at + 1 if at >= 0 else size)
    if at >= 0:
        return start + at
    return 0


# Strings.
def _strchr(app: App, text: int, char: int) -> int:
    at = (app.memory.string(text) + b"\0").find(char & 0xFF)
    if at >= 0:
        return text + at
    return 0


def _strncasecmp(app: App, a: int, b: int, size: int) -> int:
    size &= 0xFFFFFFFF
    return _compare(app.memory.string(a, size).lower(), app.memory.string(b, size).lower())


def _strcpy(app: App, to: int, source: int) -> int:
    app.memory.write(to, app.memory.string(source) + b"\0")
    return to


def _strncpy(app: App, to: int, source: int, size: int) -> int:
    text = app.memory.string(source, size)
    app.memory.write(to, text.ljust(size, b"\0"))
    return to


def _strspn(app: App, text: int, accept: int) -> int:
    data = app.memory.string(text)
    wanted = app.memory.string(accept)
    if wanted:
        return len(data) - len(data.lstrip(wanted))
    return 0


def _strcspn(app: App, text: int, reject: int) -> int:
    data = app.memory.string(text)
    unwanted = app.memory.string(reject)
    return next((i for i, byte in enumerate(data) if byte in unwanted), len(data))


def _strstr(app: App, text: int, part: int) -> int:
    at = app.memory.string(text).find(app.memory.string(part))
    if at >= 0:
        return text + at
    return 0


def _compare(a: bytes, b: bytes) -> int:
    """The difference of the first bytes that differ, a missing one counting 0."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return x - y
    if len(a) == len(b):
        return 0
    if len(a) > len(b):
        return a[len(b)]
    return -b[len(a)]


# Numbers.
def _strto(app: App, text: int, end: int, base: int) -> int:
    value, used = _number(app.memory.string(text), base)
    if end:
        app.memory.write_u32(end, text + used)
    return value


def _strtol(app: App, text: int, end: int, base: int) -> int:
    return max(-_LONG_MAX - 1, min(_LONG_MAX, _strto(app, text, end, base)))


def _strtoul(app: App, text: int, end: int, base: int) -> int:
    value = _strto(app, text, end, base)
    return _ULONG_MAX if abs(value) > _ULONG_MAX else value


def _number(text: bytes, base: int) -> tuple[int, int]:
    """C's strtol: the value, and how many characters belong to it (0: none, or a base that there is not)."""
    if base != 0 and not 2 <= base <= 36:
        return 0, 0
    head = (_HEAD_OF_16 if base in (0, 16) else _HEAD).match(text)
    assert head is not None
    value = 0
    first = head.end()
    if base == 0:
        if head["prefix"]:
            base = 16
        elif text[first : first + 1] == b"0":
            base = 8
        else:
            base = 10
    at = first
    while (digit := _digit(text[at : at + 1])) < base:
        value = value * base + digit
        at = at + 1
    return (-value if head["sign"] == b"-" else value), (at if at > first else 0)


def _digit(char: bytes) -> int:
    if char.isalnum():
        return int(char, 36)
    return 99


# Characters, in the C locale.
def _is(test: Callable[[bytes], bool]) -> Handler:
    return lambda _app, char: int(0 <= char < 128 and test(bytes([char])))


# Ends.
def _exit(_app: App, status: int) -> None:
    raise ProgramExit(status)


def _trap(text: str) -> Handler:
    def end(_app: App, *arguments: int) -> None:
        raise WasmTrap(text % arguments[: text.count("%")])

    return end


def _pow(_app: App, x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        # A negative number to a broken power is NaN; 0 to a negative one is infinite.
        if x != 0:
            return math.nan
        if y % 2 == 1:
            return math.copysign(math.inf, x)
        return math.inf


HANDLERS: dict[str, Handler] = {
    "malloc": lambda app, size: app.allocate(size & 0xFFFFFFFF),
    "calloc": _calloc,
    "realloc": _realloc,
    "strdup": _strdup,
    "_strdup": _strdup,
    "free": lambda app, address: app.heap.free(address),
    "memcmp": lambda app, a, b, size: _compare(app.memory.read(a, size), app.memory.read(b, size)),
    "memcpy": _memcpy,
    "memmove": _memcpy,
    "emscripten_memcpy_big": _memcpy,
    "memset": _memset,
    "memchr": _memchr,
    "strchr": _strchr,
    "strcmp": lambda app, a, b: _compare(app.memory.string(a), app.memory.string(b)),
    "strncmp": lambda app, a, b, size: _compare(app.memory.string(a, size), app.memory.string(b, size)),
    "strncasecmp": _strncasecmp,
    "strcpy": _strcpy,
    "strncpy": _strncpy,
    "strlen": lambda app, text: len(app.memory.string(text)),
    "strspn": _strspn,
    "strcspn": _strcspn,
    "strstr": _strstr,
    "atoi": lambda app, text: _strtol(app, text, 0, 10),
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
    "tolower": lambda _app, char: char + 32 if 65 <= char <= 90 else char,
    "toupper": lambda _app, char: char - 32 if 97 <= char <= 122 else char,
    "exit": _exit,
    "abort": _trap("env.abort(%d)"),
    "abortStackOverflow": _trap("env.abortStackOverflow(%d)"),
    "nullFunc_X": _trap("env.nullFunc_X(%d)"),
    "__cxa_allocate_exception": lambda app, size: app.allocate(size & 0xFFFFFFFF),
    "__cxa_begin_catch": lambda _app, _pointer: None,
    "__cxa_throw": _trap("exception thrown by stdc++"),
    "sinf": lambda _app, x: math.sin(x) if math.isfinite(x) else math.nan,
    "cosf": lambda _app, x: math.cos(x) if math.isfinite(x) else math.nan,
    "pow": _pow,
}
