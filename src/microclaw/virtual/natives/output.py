"""The printf family, puts and putchar of WAMR's libc-builtin. The formatting itself is in printf.py."""

from __future__ import annotations

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.natives.printf import format_text
from microclaw.virtual.runtime.process import Process


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
