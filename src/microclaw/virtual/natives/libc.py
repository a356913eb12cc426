"""WAMR's libc-builtin without its output: the heap, bytes, strings, characters, numbers and the ways to end."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv
from microclaw.virtual.runtime.memory import ProgramExit, WasmTrap

_LONG_MAX: Final = 0x7FFFFFFF
_ULONG_MAX: Final = 0xFFFFFFFF
_HEAD: Final = re.compile(rb"[ \t\n\v\f\r]*(?P<sign>[+-]?)")
_HEAD_OF_16: Final = re.compile(_HEAD.pattern + rb"(?P<prefix>0[xX](?=[0-9a-fA-F]))?")


# Heap.
def _calloc(env: ExecEnv, count: int, size: int) -> int:
    total = (count & 0xFFFFFFFF) * (size & 0xFFFFFFFF)
    if total < 0xFFFFFFFF:
        address = env.allocate(total)
    else:
        address = 0
    if address:
        env.memory.fill(address, 0, total)
    return address


def _realloc(env: ExecEnv, address: int, size: int) -> int:
    address = address & 0xFFFFFFFF
    size = size & 0xFFFFFFFF
    if not address:
        return env.allocate(size)
    capacity = env.heap.capacity_of(address)
    if capacity is None:
        return 0
    if size <= capacity:
        return address
    moved = env.allocate(size)
    if moved:
        env.memory.move(moved, address, capacity)
        env.heap.free(address)
    return moved


def _strdup(env: ExecEnv, text: int) -> int:
    return env.allocate_copy(env.memory.string(text) + b"\0")


# Bytes.
def _memcpy(env: ExecEnv, to: int, source: int, size: int) -> int:
    env.memory.move(to, source, size)
    return to


def _memset(env: ExecEnv, to: int, value: int, size: int) -> int:
    env.memory.fill(to, value, size & 0xFFFFFFFF)
    return to


def _memchr(env: ExecEnv, start: int, value: int, size: int) -> int:
    size &= 0xFFFFFFFF
    env.memory.check(start, size)
    at = env.memory.read(start, size).find(value & 0xFF)
    if at >= 0:
        return start + at
    return 0


# Strings.
def _strchr(env: ExecEnv, text: int, char: int) -> int:
    at = (env.memory.string(text) + b"\0").find(char & 0xFF)
    if at >= 0:
        return text + at
    return 0


def _strncasecmp(env: ExecEnv, a: int, b: int, size: int) -> int:
    size &= 0xFFFFFFFF
    return _compare(env.memory.string(a, size).lower(), env.memory.string(b, size).lower())


def _strcpy(env: ExecEnv, to: int, source: int) -> int:
    env.memory.write(to, env.memory.string(source) + b"\0")
    return to


def _strncpy(env: ExecEnv, to: int, source: int, size: int) -> int:
    text = env.memory.string(source, size)
    env.memory.write(to, text.ljust(size, b"\0"))
    return to


def _strspn(env: ExecEnv, text: int, accept: int) -> int:
    data = env.memory.string(text)
    wanted = env.memory.string(accept)
    if wanted:
        return len(data) - len(data.lstrip(wanted))
    return 0


def _strcspn(env: ExecEnv, text: int, reject: int) -> int:
    data = env.memory.string(text)
    unwanted = env.memory.string(reject)
    return next((index for index, byte in enumerate(data) if byte in unwanted), len(data))


def _strstr(env: ExecEnv, text: int, part: int) -> int:
    at = env.memory.string(text).find(env.memory.string(part))
    if at >= 0:
        return text + at
    return 0


def _compare(a: bytes, b: bytes) -> int:
    """Return the difference of the first bytes that differ; a missing byte counts 0."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return x - y
    if len(a) == len(b):
        return 0
    if len(a) > len(b):
        return a[len(b)]
    return -b[len(a)]


# Numbers.
def _strto(env: ExecEnv, text: int, end: int, base: int) -> int:
    value, used = _number(env.memory.string(text), base)
    if end:
        env.memory.write_u32(end, text + used)
    return value


def _strtol(env: ExecEnv, text: int, end: int, base: int) -> int:
    return max(-_LONG_MAX - 1, min(_LONG_MAX, _strto(env, text, end, base)))


def _strtoul(env: ExecEnv, text: int, end: int, base: int) -> int:
    value = _strto(env, text, end, base)
    if abs(value) > _ULONG_MAX:
        return _ULONG_MAX
    return value


def _number(text: bytes, base: int) -> tuple[int, int]:
    """Read a number as C's strtol does: the value, and how many characters belong to it.

    The count is 0 if there is no number, or the base does not exist.
    """
    if base != 0 and not 2 <= base <= 36:
        return 0, 0
    pattern = _HEAD
    if base in (0, 16):
        pattern = _HEAD_OF_16
    head = pattern.match(text)
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
    if at == first:
        return 0, 0
    if head["sign"] == b"-":
        value = -value
    return value, at


def _digit(char: bytes) -> int:
    if char.isalnum():
        return int(char, 36)
    return 99


# Characters, in the C locale.
def _is(test: Callable[[bytes], bool]) -> Handler:
    return lambda _env, char: int(0 <= char < 128 and test(bytes([char])))


# Ends.
def _exit(_env: ExecEnv, status: int) -> None:
    raise ProgramExit(status)


def _trap(text: str) -> Handler:
    def end(_env: ExecEnv, *arguments: int) -> None:
        raise WasmTrap(text % arguments[: text.count("%")])

    return end


def _pow(_env: ExecEnv, x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        if x < 0 and y % 2 == 1:
            return -math.inf
        return math.inf
    except ValueError:
        # A negative number to a broken power is NaN; 0 to a negative one is infinite.
        if x != 0:
            return math.nan
        if y % 2 == 1:
            return math.copysign(math.inf, x)
        return math.inf


def _to_lower(_env: ExecEnv, char: int) -> int:
    if 65 <= char <= 90:
        return char + 32
    return char


def _to_upper(_env: ExecEnv, char: int) -> int:
    if 97 <= char <= 122:
        return char - 32
    return char


def _of_finite(function: Callable[[float], float]) -> Handler:
    """Make a native of one float that is NaN for an infinite one."""

    def compute(_env: ExecEnv, x: float) -> float:
        if math.isfinite(x):
            return function(x)
        return math.nan

    return compute


HANDLERS: dict[str, Handler] = {
    "malloc": lambda env, size: env.allocate(size & 0xFFFFFFFF),
    "calloc": _calloc,
    "realloc": _realloc,
    "strdup": _strdup,
    "_strdup": _strdup,
    "free": lambda env, address: env.heap.free(address),
    "memcmp": lambda env, a, b, size: _compare(env.memory.read(a, size), env.memory.read(b, size)),
    "memcpy": _memcpy,
    "memmove": _memcpy,
    "emscripten_memcpy_big": _memcpy,
    "memset": _memset,
    "memchr": _memchr,
    "strchr": _strchr,
    "strcmp": lambda env, a, b: _compare(env.memory.string(a), env.memory.string(b)),
    "strncmp": lambda env, a, b, size: _compare(env.memory.string(a, size), env.memory.string(b, size)),
    "strncasecmp": _strncasecmp,
    "strcpy": _strcpy,
    "strncpy": _strncpy,
    "strlen": lambda env, text: len(env.memory.string(text)),
    "strspn": _strspn,
    "strcspn": _strcspn,
    "strstr": _strstr,
    "atoi": lambda env, text: _strtol(env, text, 0, 10),
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
    "tolower": _to_lower,
    "toupper": _to_upper,
    "exit": _exit,
    "abort": _trap("env.abort(%d)"),
    "abortStackOverflow": _trap("env.abortStackOverflow(%d)"),
    "nullFunc_X": _trap("env.nullFunc_X(%d)"),
    "__cxa_allocate_exception": lambda env, size: env.allocate(size & 0xFFFFFFFF),
    "__cxa_begin_catch": lambda _env, _pointer: None,
    "__cxa_throw": _trap("exception thrown by stdc++"),
    "sinf": _of_finite(math.sin),
    "cosf": _of_finite(math.cos),
    "pow": _pow,
}
