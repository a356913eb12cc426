"""The printf family, puts and putchar, with formats and arguments in wasm memory, as WAMR's libc-builtin has them.

Source: WAMR 1.3.3 libc_builtin_wrapper.c, _vprintf_wa. Its habits: `*` is no width (printed literally), `long` has 32
bits, 64-bit values and doubles are fetched from the next multiple of 8, a number's text ends after 63 characters.
"""

from __future__ import annotations

import math
import re
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.memory import LinearMemory

_NUMBER_LIMIT: Final = 63
MAX_TEXT_BYTES: Final = 262_144
"""More than any program means; the rest is cut, so that widths cannot exhaust the host's memory."""
_INTEGERS: Final = frozenset(b"odiupxXc")
_FLOATS: Final = frozenset(b"eEgGfF")
_CONVERSION = re.compile(rb"%([-+ #0-9.hlzjt]*)(.?)", re.DOTALL)
_SPEC = re.compile(rb"([-+ #0]*)(\d*)(\.\d*)?[hlzjt]*")


class _VaList:
    """Reads arguments one after the other; past the end of memory it traps."""

    def __init__(self, memory: LinearMemory, address: int) -> None:
        self._memory = memory
        self._at = address

    def u32(self) -> int:
        self._at += 4
        return self._memory.u32(self._at - 4)

    def i64(self) -> int:
        self._at = (self._at + 7 & ~7) + 8
        return self._memory.i64(self._at - 8)

    def f64(self) -> float:
        self._at = (self._at + 7 & ~7) + 8
        return self._memory.f64(self._at - 8)


def format_text(memory: LinearMemory, format_address: int, va_address: int) -> bytes:
    """The formatted text."""
    text = memory.string(format_address)
    arguments = _VaList(memory, va_address)
    out = bytearray()
    at = 0
    for found in _CONVERSION.finditer(text):
        if len(out) > MAX_TEXT_BYTES:
            break
        out += text[at : found.start()]
        if not found[2]:
            return bytes(out)
        out += _convert(memory, arguments, found[1], found[2][0])
        at = found.end()
    return bytes(out + text[at:])[:MAX_TEXT_BYTES]


def _convert(memory: LinearMemory, arguments: _VaList, spec: bytes, letter: int) -> bytes:
    """By Python's own formats, which are C's but for some corners. A spec in no sensible order counts as none."""
    found = _SPEC.fullmatch(spec)
    flags, width, dot = (part or b"" for part in found.groups()) if found else (b"", b"", b"")
    shape = width[:4] + dot[:4]
    char = chr(letter)
    if char == "s":
        text = memory.string(arguments.u32(), int(dot[1:4] or b"0") if dot else None)
        return _shown(flags.replace(b"0", b""), shape, b"s", text)
    if letter in _FLOATS:
        number = arguments.f64()
        if not math.isfinite(number):
            flags = flags.replace(b"0", b"")
        return _shown(flags, shape, char.encode(), number)[:_NUMBER_LIMIT]
    if letter not in _INTEGERS:
        if char == "%":
            return b"%"
        return b"%" + bytes([letter])
    is_wide = b"j" in spec or spec.count(b"l") >= 2
    if is_wide:
        bits = 64
    elif b"hh" in spec:
        bits = 8
    elif b"h" in spec:
        bits = 16
    else:
        bits = 32
    value = (arguments.i64() if is_wide else arguments.u32()) & (1 << bits) - 1
    if char == "c":
        return _shown(flags.replace(b"0", b""), width[:4], b"c", value & 0xFF)[:_NUMBER_LIMIT]
    if char in "di":
        value -= value >> (bits - 1) << bits
    else:
        flags = flags.translate(None, b"+ ")
    if dot:
        flags = flags.replace(b"0", b"")
    if char == "p":
        flags = flags + b"#"
        char = "x"
    elif not value:
        if dot and not int(dot[1:4] or b"0"):
            if char == "o" and b"#" in flags:
                sign = b"0"
            elif b"+" in flags:
                sign = b"+"
            elif b" " in flags:
                sign = b" "
            else:
                sign = b""
            return _shown(flags.translate(None, b"+ #"), width[:4], b"s", sign)
        flags = flags.replace(b"#", b"")  # 0 has no 0x
    if char == "o" and b"#" in flags:
        flags = flags.replace(b"#", b"")
        shape = width[:4] + b".%d" % max(len(b"%o" % value) + 1, int(dot[1:4] or b"0"))
    return _shown(flags, shape, b"d" if char in "iu" else char.encode(), value)[:_NUMBER_LIMIT]


def _shown(flags: bytes, shape: bytes, letter: bytes, value: bytes | int | float) -> bytes:
    return (b"%" + flags + shape + letter) % value


def _printf(app: App, form: int, va: int) -> int:
    text = format_text(app.memory, form, va)
    app.print(text)
    return len(text)


def _snprintf(app: App, out: int, size: int, form: int, va: int) -> int:
    text = format_text(app.memory, form, va)
    if size:
        app.memory.write(out, text[: size - 1] + b"\0")
    return len(text)


def _puts(app: App, text: int) -> int:
    line = app.memory.string(text)
    app.print(line + b"\n")
    return len(line) + 1


def _putchar(app: App, char: int) -> int:
    app.print(bytes([char & 0xFF]))
    return 1


HANDLERS: dict[str, Handler] = {
    "printf": _printf,
    "vprintf": _printf,
    "sprintf": lambda app, out, form, va: _snprintf(app, out, MAX_TEXT_BYTES + 1, form, va),
    "vsprintf": lambda app, out, form, va: _snprintf(app, out, MAX_TEXT_BYTES + 1, form, va),
    "snprintf": _snprintf,
    "vsnprintf": _snprintf,
    "puts": _puts,
    "putchar": _putchar,
}
