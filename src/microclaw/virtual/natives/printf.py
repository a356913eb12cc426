"""The printf family, puts and putchar, with formats and arguments in wasm memory, as WAMR's libc-builtin has them.

Source: WAMR 1.3.3 libc_builtin_wrapper.c, _vprintf_wa. Its habits: `*` is no width (printed literally), `long` has 32
bits, 64-bit values and doubles are fetched from the next multiple of 8, a number's text ends after 63 characters.
"""

from __future__ import annotations

import math
import re
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.memory import LinearMemory
from microclaw.virtual.runtime.process import Process

_NUMBER_LIMIT: Final = 63
MAX_TEXT_BYTES: Final = 262_144
"""More than any program means; the rest is cut, so that widths cannot exhaust the host's memory."""
_MODIFIERS: Final = frozenset(b".+- #0123456789")
_INTEGERS: Final = frozenset(b"odiupxXc")
_FLOATS: Final = frozenset(b"eEgGfF")
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
    while len(out) <= MAX_TEXT_BYTES and (start := text.find(b"%", at)) >= 0:
        out += text[at:start]
        at = start + 1
        longs = 0
        while at < len(text) and (text[at] in _MODIFIERS or text[at] in b"tzjlh"):
            longs = {ord("t"): 1, ord("z"): 1, ord("j"): 2, ord("l"): longs + 1}.get(text[at], longs)
            at += 1
        if at == len(text):
            return bytes(out)
        out += _convert(memory, arguments, text[start + 1 : at], text[at], longs)
        at += 1
    return bytes(out + text[at:])[:MAX_TEXT_BYTES]


def _convert(memory: LinearMemory, arguments: _VaList, spec: bytes, letter: int, longs: int) -> bytes:
    if letter in _INTEGERS:
        bits = 64 if longs >= 2 else 8 if b"hh" in spec else 16 if b"h" in spec else 32
        value = arguments.i64() if longs >= 2 else arguments.u32()
        return _integer(spec, chr(letter), value, bits)[:_NUMBER_LIMIT]
    if letter in _FLOATS:
        return _float(spec, chr(letter), arguments.f64())[:_NUMBER_LIMIT]
    if letter == ord("s"):
        flags, width, precision = _parse(spec)
        return _pad(memory.string(arguments.u32(), precision), flags.replace("0", ""), width)
    return b"%" if letter == ord("%") else b"%" + bytes([letter])


def _integer(spec: bytes, letter: str, value: int, bits: int) -> bytes:
    flags, width, precision = _parse(spec)
    value &= (1 << bits) - 1
    if letter == "c":
        return _pad(bytes([value & 0xFF]), flags.replace("0", ""), width)
    sign = ""
    if letter in "di":
        if value >> (bits - 1):
            value -= 1 << bits
        sign = "-" if value < 0 else "+" if "+" in flags else " " if " " in flags else ""
        digits = str(abs(value))
    elif letter == "u":
        digits = str(value)
    else:
        digits = f"{value:{'x' if letter == 'p' else letter}}"
        if letter == "p" or (value and "#" in flags and letter in "xX"):
            sign = "0X" if letter == "X" else "0x"
    if precision is not None:
        digits = "" if precision == 0 and value == 0 else digits.rjust(precision, "0")
        flags = flags.replace("0", "")
    if letter == "o" and "#" in flags and not digits.startswith("0"):
        digits = "0" + digits
    return _pad_number(sign, digits, flags, width)


def _float(spec: bytes, letter: str, value: float) -> bytes:
    flags, width, precision = _parse(spec)
    sign = "-" if math.copysign(1.0, value) < 0 else "+" if "+" in flags else " " if " " in flags else ""
    if not math.isfinite(value):
        name = "nan" if math.isnan(value) else "inf"
        return _pad_number(sign, name.upper() if letter.isupper() else name, flags.replace("0", ""), width)
    shape = f"%{'#' if '#' in flags else ''}.{6 if precision is None else precision}{letter}"
    return _pad_number(sign, shape % abs(value), flags, width)


def _parse(spec: bytes) -> tuple[str, int, int | None]:
    """Flags, width and precision; what stands in no sensible order counts as nothing."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        return "", 0, None
    flags, width, precision = found.groups()
    digits = None if precision is None else int(precision[1:4] or b"0")
    return flags.decode(), int(width[:4] or b"0"), digits


def _pad(text: bytes, flags: str, width: int) -> bytes:
    return text.ljust(width) if "-" in flags else text.rjust(width)


def _pad_number(sign: str, digits: str, flags: str, width: int) -> bytes:
    if "0" in flags and "-" not in flags:
        digits = digits.rjust(width - len(sign), "0")
    return _pad((sign + digits).encode(), flags, width)


def _printf(process: Process, form: int, va: int) -> int:
    text = format_text(process.memory, form, va)
    process.print(text)
    return len(text)


def _sprintf(process: Process, out: int, form: int, va: int) -> int:
    text = format_text(process.memory, form, va)
    process.memory.write(out, text + b"\0")
    return len(text)


def _snprintf(process: Process, out: int, size: int, form: int, va: int) -> int:
    text = format_text(process.memory, form, va)
    if size:
        process.memory.write(out, text[: size - 1] + b"\0")
    return len(text)


def _puts(process: Process, text: int) -> int:
    line = process.memory.string(text)
    process.print(line + b"\n")
    return len(line) + 1


def _putchar(process: Process, char: int) -> int:
    process.print(bytes([char & 0xFF]))
    return 1


HANDLERS: dict[str, Handler] = {
    "printf": _printf,
    "vprintf": _printf,
    "sprintf": _sprintf,
    "vsprintf": _sprintf,
    "snprintf": _snprintf,
    "vsnprintf": _snprintf,
    "puts": _puts,
    "putchar": _putchar,
}
