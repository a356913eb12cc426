"""Turns what clang and wasm-ld print into `Diagnostic` values that teach; runs nothing and knows no board."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal, cast

from microclaw.errors import Diagnostic
from microclaw.wasm.source_text import INTERNAL_HEADERS, SourceText
from microclaw.wasm.toolchain import HEADERS

MAX_DIAGNOSTICS: Final = 20
NEAR: Final = 0.78  # of difflib, above which a name counts as meant
TIMER_HINT: Final = "every and after need on_timer_callback for themselves: use them or the firmware's timers, not both"
_LINE: Final = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<severity>fatal error|error|warning|note): (?P<text>.*)$"
)
_OPTION: Final = re.compile(r" \[-W[\w=,-]+\]$")
_LINKER: Final = re.compile(r"^wasm-ld: (?P<severity>error|warning): (?:(?P<object>\S+\.o): )?(?P<text>.*)$")
_MARK: Final = re.compile(r"^microclaw mark (?P<what>gpio|pwm|sda|scl) (?P<fact>\w+)$")
_QUOTED: Final = re.compile(r"'([A-Za-z_]\w*)'")
_UNKNOWN: Final = ("call to undeclared", "use of undeclared", "unknown type name", "undefined symbol")
_DECLARATION: Final = re.compile(
    r"^#define (\w+)|^typedef [^{;]*?(\w+);|^\} (\w+);"
    r"|^(?:static inline |__attribute__\S+ )?[a-z][\w ]*?[ *](\w+)\(",
    re.M,
)
_NOT_HERE: Final = {
    **dict.fromkeys(
        ("delay", "delay_ms", "vTaskDelay", "yield", "loop", "setup"),
        "programs are event-driven: use every(ms, task) or after(ms, task) of microclaw.h",
    ),
    **dict.fromkeys(
        ("digitalWrite", "pinMode", "digitalRead", "gpio_set_level", "gpio_set_direction"),
        "use gpio_open and gpio_set of microclaw.h",
    ),
    **dict.fromkeys(("analogWrite", "ledcWrite", "ledc_set_duty"), "use pwm_open and pwm_set of microclaw.h"),
    **dict.fromkeys(
        ("fopen", "fclose", "fread", "fwrite", "fgets", "FILE", "stdin", "scanf", "getchar"),
        "there are no FILEs: use open, read and write of unistd.h under /storage",
    ),
    **dict.fromkeys(("errno", "strerror", "perror"), "the firmware reports no errno: look at the returned value"),
    **dict.fromkeys(
        ("BOARD_I2C_SDA", "BOARD_I2C_SCL"), "this board has no I2C sensors of its own: name the pins yourself"
    ),
    "BOARD_LED_PIN": "this board has no plain LED of its own: name the pin yourself",
}


@dataclass(frozen=True, slots=True)
class PinMark:
    """A pin that the source opens with a number known at compile time; pin -1 is none that any chip has."""

    pin: int
    what: Literal["gpio", "pwm", "sda", "scl"]
    output: bool
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class CompilerReport:
    """What one run said: findings of a person's interest, and the pins that pin_marks.h made it name."""

    diagnostics: tuple[Diagnostic, ...] = ()
    marks: tuple[PinMark, ...] = ()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == "error")


def read_compiler_output(output: str, source: SourceText) -> CompilerReport:
    """Findings, errors first, at most 20, and the pins that are named."""
    found: list[Diagnostic] = []
    facts: dict[tuple[int, int, str], set[str]] = {}
    for line in output.splitlines():
        match = _LINE.match(line)
        if match is None or match["severity"] == "note":
            continue
        text = _OPTION.sub("", match["text"])
        place = (int(match["line"]), int(match["column"]))
        if (mark := _MARK.match(text)) is not None:
            facts.setdefault((*place, mark["what"]), set()).add(mark["fact"])
        else:
            found.append(_finding(match, text, place, source))
    found.extend(_no_direction(key[:2], source) for key, told in facts.items() if "undirected" in told)
    found.sort(key=lambda d: d.severity != "error")
    marks = tuple(_pin_mark(key, told, source) for key, told in sorted(facts.items()) if "known" in told)
    return CompilerReport(tuple(found[:MAX_DIAGNOSTICS]), marks)


def read_linker_output(output: str, source: SourceText) -> tuple[Diagnostic, ...]:
    """The linker's findings, with the line where the named symbol stands in the source."""
    found = []
    for line in output.splitlines():
        match = _LINKER.match(line)
        if match is None:
            continue
        text = match["text"]
        name = re.search(r"symbol: (\w+)|mismatch: (\w+)", text)
        symbol = next(filter(None, name.groups()), None) if name else None
        hint = hint_for(f"undefined symbol '{symbol}'") if symbol and "undefined" in text else None
        found.append(at(source, source.find_name(symbol) if symbol else None, text, hint))
    return tuple(found[:MAX_DIAGNOSTICS])


def at(
    source: SourceText | None,
    place: tuple[int, int] | None,
    message: str,
    hint: str | None = None,
    *,
    file: str = "main.c",
) -> Diagnostic:
    """An error at a place of the source, with that line's text."""
    if source is None or place is None:
        return Diagnostic("error", message, source.file if source is not None else file, hint=hint)
    return Diagnostic("error", message, source.file, place[0], place[1], source.line(place[0]), hint)


def hint_for(message: str) -> str | None:
    """What to do about an unknown name: which header has it, or the nearest name that exists."""
    if not message.startswith(_UNKNOWN) or "did you mean" in message:
        return None
    quoted = _QUOTED.search(message)
    if quoted is None:
        return None
    name = quoted[1]
    if name in _NOT_HERE:
        return _NOT_HERE[name]
    names = declared_names()
    if name in names:
        return f"add #include <{names[name]}>"
    near = difflib.get_close_matches(name, names, n=1, cutoff=NEAR)
    return (
        f"did you mean {near[0]} (of {names[near[0]]})?"
        if near
        else "the firmware has no such function, and no header declares it"
    )


@functools.cache
def declared_names() -> Mapping[str, str]:
    """Every name that a header offers, with the header; microclaw.h first."""
    names: dict[str, str] = {}
    for path in sorted(HEADERS.rglob("*.h"), key=lambda p: (p.name != "microclaw.h", p.name)):
        header = path.relative_to(HEADERS).as_posix()
        if header in INTERNAL_HEADERS:
            continue
        for groups in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            names.setdefault(next(filter(None, groups)), header)
    return names


def _pin_mark(key: tuple[int, int, str], told: set[str], source: SourceText) -> PinMark:
    """A pin put together from the bits that pin_marks.h told of it; clang points behind the call, this at its name."""
    line, column, what = key
    pin = -1 if "outside" in told else sum(int(fact) for fact in told if fact.isdecimal())
    name = {"gpio": "gpio_open", "pwm": "pwm_open"}.get(what, "i2c_open")
    begin = (source.line(line) or "").rfind(name, 0, column)
    return PinMark(
        pin,
        cast(Literal["gpio", "pwm", "sda", "scl"], what),
        "output" in told,
        line,
        begin + 1 if begin >= 0 else column,
    )


def _finding(match: re.Match[str], text: str, place: tuple[int, int], source: SourceText) -> Diagnostic:
    severity: Literal["error", "warning"] = "warning" if match["severity"] == "warning" else "error"
    own = match["file"] == source.file
    if not own and not match["file"].startswith(f"{HEADERS}/"):
        return Diagnostic("error", "the program makes the compiler read a file of the host", source.file)
    text = text.removesuffix("; ISO C99 and later do not support implicit function declarations")
    return Diagnostic(
        severity,
        text,
        source.file if own else PurePosixPath(match["file"]).name,
        place[0],
        place[1],
        source.line(place[0]) if own else None,
        hint_for(text),
    )


def _no_direction(place: tuple[int, int], source: SourceText) -> Diagnostic:
    return at(source, place, "gpio_open is told no direction", "pass GPIO_IN or GPIO_OUT, as in gpio_open(4, GPIO_OUT)")
