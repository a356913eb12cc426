"""The printf family, puts and putchar, with formats and arguments in wasm memory, as WAMR's libc-builtin has them.

Source: WAMR 1.3.3 libc_builtin_wrapper.c, _vprintf_wa. Its habits: `*` is no width (printed literally), `long` has 32
bits, 64-bit values and doubles are fetched from the next multiple of 8, a number's text ends after 63 characters.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv
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
    """Return the text of a format and the arguments that a va_list has."""
    text = memory.string(format_address)
    arguments = _VaList(memory, va_address)
    out = bytearray()
    at = 0
    for conversion in _CONVERSION.finditer(text):
        if len(out) > MAX_TEXT_BYTES:
            break
        out += text[at : conversion.start()]
        if not conversion[2]:
            return bytes(out)
        out += _convert(memory, arguments, conversion[1], conversion[2][0])
        at = conversion.end()
    return bytes(out + text[at:])[:MAX_TEXT_BYTES]


class _Conversion(NamedTuple):
    """One conversion of a format. `width` and `precision` are digits as text, `precision` with its dot or empty."""

    flags: bytes
    width: bytes
    precision: bytes
    letter: str

    def show(self, value: bytes | int | float) -> bytes:
        """Format a value by Python's own formats, which are C's but for some corners."""
        return (b"%" + self.flags + self.width + self.precision + self.letter.encode()) % value

    def without(self, flags: bytes) -> _Conversion:
        """Return it without some flags."""
        return self._replace(flags=self.flags.translate(None, flags))

    @property
    def precision_number(self) -> int:
        """The precision as a number; a dot alone is 0."""
        return int(self.precision[1:4] or b"0")


def _convert(memory: LinearMemory, arguments: _VaList, spec: bytes, letter: int) -> bytes:
    """Format the next argument. A spec in no sensible order counts as none."""
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        form = _Conversion(b"", b"", b"", chr(letter))
    else:
        precision = parts[3] or b""
        form = _Conversion(parts[1], parts[2][:4], precision[:4], chr(letter))
    if form.letter == "s":
        return _show_string(form, memory, arguments)
    if letter in _FLOATS:
        number = arguments.f64()
        if not math.isfinite(number):
            form = form.without(b"0")
        return form.show(number)[:_NUMBER_LIMIT]
    if form.letter == "%":
        return b"%"
    if letter not in _INTEGERS:
        return b"%" + bytes([letter])
    return _show_integer(form, arguments, spec)


def _show_string(form: _Conversion, memory: LinearMemory, arguments: _VaList) -> bytes:
    limit = None
    if form.precision:
        limit = form.precision_number
    text = memory.string(arguments.u32(), limit)
    return form.without(b"0").show(text)


def _show_integer(form: _Conversion, arguments: _VaList, spec: bytes) -> bytes:
    bits = _bits_of(spec)
    if bits == 64:
        value = arguments.i64()
    else:
        value = arguments.u32()
    value &= (1 << bits) - 1
    if form.letter == "c":
        return form.without(b"0")._replace(precision=b"").show(value & 0xFF)[:_NUMBER_LIMIT]
    if form.letter in "di":
        value -= value >> (bits - 1) << bits
    else:
        form = form.without(b"+ ")
    if form.precision:
        form = form.without(b"0")
    if form.letter == "p":
        form = form._replace(flags=form.flags + b"#", letter="x")
    elif not value:
        if form.precision and not form.precision_number:
            return _show_nothing(form)
        # 0 has no 0x.
        form = form.without(b"#")
    if form.letter == "o" and b"#" in form.flags:
        digit_count = max(len(b"%o" % value) + 1, form.precision_number)
        form = form.without(b"#")._replace(precision=b".%d" % digit_count)
    if form.letter in "iu":
        form = form._replace(letter="d")
    return form.show(value)[:_NUMBER_LIMIT]


def _bits_of(spec: bytes) -> int:
    if b"j" in spec or spec.count(b"l") >= 2:
        return 64
    if b"hh" in spec:
        return 8
    if b"h" in spec:
        return 16
    return 32


def _show_nothing(form: _Conversion) -> bytes:
    """Format 0 with the precision 0: no digit, at most its sign."""
    if form.letter == "o" and b"#" in form.flags:
        sign = b"0"
    elif b"+" in form.flags:
        sign = b"+"
    elif b" " in form.flags:
        sign = b" "
    else:
        sign = b""
    return form.without(b"+ #")._replace(precision=b"", letter="s").show(sign)


def _printf(env: ExecEnv, form: int, va: int) -> int:
    text = format_text(env.memory, form, va)
    env.print(text)
    return len(text)


def _snprintf(env: ExecEnv, out: int, size: int, form: int, va: int) -> int:
    text = format_text(env.memory, form, va)
    if size:
        env.memory.write(out, text[: size - 1] + b"\0")
    return len(text)


def _puts(env: ExecEnv, text: int) -> int:
    line = env.memory.string(text)
    env.print(line + b"\n")
    return len(line) + 1


def _putchar(env: ExecEnv, char: int) -> int:
    env.print(bytes([char & 0xFF]))
    return 1


HANDLERS: dict[str, Handler] = {
    "printf": _printf,
    "vprintf": _printf,
    "sprintf": lambda env, out, form, va: _snprintf(env, out, MAX_TEXT_BYTES + 1, form, va),
    "vsprintf": lambda env, out, form, va: _snprintf(env, out, MAX_TEXT_BYTES + 1, form, va),
    "snprintf": _snprintf,
    "vsnprintf": _snprintf,
    "puts": _puts,
    "putchar": _putchar,
}
