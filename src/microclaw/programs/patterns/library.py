"""Ready programs with parameters: source files, and a TOML file that names what may be put in. It compiles nothing.

A pattern has up to three forms: in C (or a sketch) as people write it, `main` with sleeps; event-driven, for a host
without Binaryen, which such a `main` needs; and in MicroPython (micropython/). A parameter is a `#define NAME value`
line of the C file, and a `NAME = value` line of the Python file. Only whole numbers, and in quotes words from a fixed
list, are put in, so that no text of a person becomes code.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct, ValidationError
from msgspec.structs import replace

from microclaw.conversion import convert
from microclaw.errors import ConfigError, UnknownName
from microclaw.events import PROGRAM_KINDS, ProgramKind
from microclaw.hardware.parts.named_parts import part_line
from microclaw.hardware.parts.reader import i2c_quantities
from microclaw.programs.patterns.displays import PYTHON_BOARDS, display_words, opening_call, parse_display, text_words
from microclaw.programs.patterns.expected import Value, expected_text
from microclaw.text import clean_text
from microclaw.wire.board_control import MAX_PIN

LANGUAGES: Final[Mapping[ProgramKind, str]] = {"wasm": "C", "py": "Python"}
_LINES: Final[Mapping[ProgramKind, re.Pattern[str]]] = {
    "wasm": re.compile(r"^(#define[ \t]+)(\w+)([ \t]+)([^\n]*?)([ \t]*(?:/\*[^\n]*)?)$", re.MULTILINE),
    "py": re.compile(r"^()(\w+)( = )([^\n#]*?)([ \t]*(?:#[^\n]*)?)$", re.MULTILINE),
}
MAX_SHOWN_CHARS: Final = 100
# Such a text stands in quotes in C and in Python.
_SHOWN_TEXT: Final = re.compile(rf"[ !#-\[\]-~]{{1,{MAX_SHOWN_CHARS}}}")
# The virtual board's interpreter begins a program 5.1 to 5.6 ms after its installation, and a wait of 1 ms ends with
# the board's next millisecond.
_PY_START_MS: Final = Fraction(53, 10)
_Words: TypeAlias = Annotated[str, Meta(pattern=r"^[ -~]{1,60}\Z")]


class PatternParameter(Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter of a pattern: a whole number from `min` to `max`, or one of `choices`.

    `pin_use` is set if the number is a pin: "output", "input", "pwm". `form` is set for a text that is shown, and for a
    display, whose value is its line of a wiring (displays.py).
    """

    name: str
    title: _Words
    default: Value
    min: int | None = None
    max: int | None = None
    unit: _Words | None = None
    choices: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")], ...] = ()
    pin_use: Literal["output", "input", "pwm"] | None = None
    form: Literal["text", "display"] | None = None


class Pattern(Struct, frozen=True):
    """A program with parameters, or filled in: complete source, and expectations in the language of docs/proof.md.

    Before it is filled in, `expect` has {NAME} for a value. `note`: why this form of the source is not the usual form.
    """

    name: str
    app_name: str
    kind: ProgramKind
    parameters: Mapping[str, PatternParameter]
    expect: str
    source: str
    file: str
    note: str
    pins: tuple[int, ...] = ()

    @property
    def origin(self) -> str:
        """The file that it is, in words."""
        text = f"patterns/{self.file}, filled in"
        if self.note:
            text += f" ({self.note})"
        return text


@cache
def pattern_names(kind: ProgramKind = "py") -> tuple[str, ...]:
    """Return the patterns that have a program of this kind, sorted; all have a program in Python."""
    names = []
    for file in resources.files(__package__).iterdir():
        name = file.name.removesuffix(".toml")
        if name != file.name and kind in pattern_kinds(name):
            names.append(name)
    return tuple(sorted(names))


@cache
def pattern_kinds(name: str) -> tuple[ProgramKind, ...]:
    """Return the kinds of a pattern's programs: all kinds, unless the firmware for a kind cannot do it."""
    description = tomllib.loads(read_shipped(f"{name}.toml").decode())
    return tuple(description.get("kinds", PROGRAM_KINDS))


def can_block() -> bool:
    """Return True if this host has Binaryen's wasm-opt, which programs need that sleep in `main`."""
    return shutil.which("wasm-opt") is not None


@cache
def load_pattern(name: str, blocking: bool, kind: ProgramKind) -> Pattern:
    """Return a shipped pattern in the form that is wanted. Raises UnknownName with the known names."""
    if name not in pattern_names():
        raise UnknownName(f"no pattern named {name!r}", next_step=f"patterns: {', '.join(pattern_names())}")
    description = read_shipped(f"{name}.toml").decode()
    pattern = pattern_of(name, description, lambda file: read_shipped(file).decode(), blocking=blocking, kind=kind)
    return replace(pattern, file=_shipped_path(pattern.file))


def read_shipped(file: str) -> bytes:
    """Return the content of a file of the shipped patterns by its name."""
    return (resources.files(__package__) / _shipped_path(file)).read_bytes()


def _shipped_path(file: str) -> str:
    if file.endswith(".py"):
        return f"micropython/{file}"
    return file


def pattern_of(
    name: str, description: str, read: Callable[[str], str], *, blocking: bool, kind: ProgramKind
) -> Pattern:
    """Return a pattern in the form that is wanted; `read` returns the text of a source file by its name.

    Raises ConfigError if it has no program of this kind, if the description is wrong, or if its program lacks a
    parameter.
    """
    try:
        table = tomllib.loads(description)
        _check_kind(name, table, kind)
        file, note = _choose_file(name, table, kind, blocking=blocking)
        parameters = {}
        for key, row in table.get("parameters", {}).items():
            parameters[key] = _read_parameter(key, row)
        pattern = Pattern(
            name=name,
            app_name=table["app"],
            kind=kind,
            parameters=parameters,
            expect=table.get("expect", ""),
            source=read(file),
            file=file,
            note=note,
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"pattern {name}: {type(exc).__name__}: {exc}") from exc
    defined = {match[2] for match in _LINES[kind].finditer(pattern.source)}
    missing = sorted(set(parameters) - defined)
    if missing:
        raise ConfigError(f"pattern {name}: its program has no line for {', '.join(missing)}")
    return pattern


def _check_kind(name: str, table: Mapping[str, Any], kind: ProgramKind) -> None:
    """Raise ConfigError, with the reason of the description, if the pattern has no program of this kind."""
    if kind in table.get("kinds", PROGRAM_KINDS):
        return
    reason = clean_text(table.get("missing", "these boards cannot do it"), one_line=True)
    step = None
    if kind == "wasm":
        step = f"use a board with our firmware: {PYTHON_BOARDS}"
    raise ConfigError(f"{name} has no program in {LANGUAGES[kind]}: {reason}", next_step=step)


def _choose_file(name: str, table: Mapping[str, Any], kind: ProgramKind, *, blocking: bool) -> tuple[str, str]:
    """Return the name of the source file, and a note if it is not the usual form."""
    if kind == "py":
        return f"{name}.py", ""
    usual_file = table.get("source", f"{name}.c")
    if blocking:
        return usual_file, ""
    file = table.get("events", usual_file)
    if file == usual_file:
        return file, ""
    return file, "event-driven: no Binaryen here"


def fill(
    name: str,
    params: Mapping[str, Value],
    *,
    blocking: bool | None = None,
    kind: ProgramKind = "wasm",
    asked: Mapping[str, Fraction] | None = None,
) -> Pattern:
    """Fill in a shipped pattern, as `fill_pattern` does.

    `blocking` chooses the form in C; None is the form that this host can build.
    """
    if blocking is None:
        blocking = can_block()
    return fill_pattern(load_pattern(name, blocking, kind), params, asked)


def fill_pattern(pattern: Pattern, params: Mapping[str, Value], asked: Mapping[str, Fraction] | None = None) -> Pattern:
    """Return the pattern with these values, and defaults for the rest. Raises ConfigError for a wrong value.

    `asked` has the values as they were before they were rounded, which the expectations hold.
    """
    parameters = pattern.parameters
    unknown = sorted(set(params) - set(parameters))
    if unknown:
        text = f"{pattern.name} has no parameter {', '.join(unknown)}"
        raise ConfigError(text, next_step=f"its parameters: {', '.join(parameters)}")
    values: dict[str, Value] = {}
    words: dict[str, Value | Fraction] = {}
    calls: dict[str, str] = {}
    pins = []
    for name, parameter in parameters.items():
        value = _checked(parameter, params.get(name, parameter.default))
        values[name] = value
        if parameter.form == "display":
            display = parse_display(str(value))
            words |= display_words(name, display)
            calls[name] = opening_call(display, pattern.kind)
        elif parameter.form == "text":
            words |= text_words(name, str(value))
        for choice in parameter.choices:
            words[f"{name}_{choice.upper()}"] = int(value == choice)
        if parameter.pin_use:
            pins.append(int(value))
    words |= values
    words |= asked or {}
    start_ms = Fraction(0)
    if pattern.kind == "py":
        start_ms = _PY_START_MS
    return replace(
        pattern,
        source=_LINES[pattern.kind].sub(lambda line: _define(line, values, calls), pattern.source),
        expect=expected_text(pattern.name, pattern.expect, words, start_ms),
        pins=tuple(pins),
    )


def _define(line: re.Match[str], values: Mapping[str, Value], calls: Mapping[str, str]) -> str:
    """Return a parameter's line with its new value, in the notation (hexadecimal, quotes) of the old value.

    `calls` has the calls that open displays, by their parameters.
    """
    value = values.get(line[2])
    if value is None:
        return line[0]
    if line[2] in calls:
        text = calls[line[2]]
    elif isinstance(value, str):
        text = f'"{value}"'
    elif line[4].startswith("0x"):
        text = f"0x{value:02x}"
    else:
        text = str(value)
    return f"{line[1]}{line[2]}{line[3]}{text}{line[5]}"


def _read_parameter(name: str, row: Mapping[str, Any]) -> PatternParameter:
    """Read a parameter from its table. Raises ValueError, and ConfigError for a default that it may not have."""
    fields = {"title": name.lower().replace("_", " "), **row, "name": name}
    kind = fields.pop("type", None)
    use = fields.pop("use", None)
    fields.pop("pin_use", None)
    if kind == "pin":
        fields = {"min": 0, "max": MAX_PIN, **fields, "pin_use": use}
    if kind in ("text", "display"):
        fields["form"] = kind
    if kind == "quantity":
        fields["choices"] = i2c_quantities()
    try:
        parameter = convert(fields, PatternParameter)
    except ValidationError as exc:
        raise ValueError(f"parameters.{name}: {exc}") from exc
    has_limits = parameter.min is not None and parameter.max is not None
    has_choices = bool(parameter.choices)
    fits = {
        "int": has_limits and not has_choices,
        "pin": use is not None and not has_choices,
        "word": has_choices,
        "quantity": "choices" not in row,
        "text": not has_limits and not has_choices,
        "display": not has_limits and not has_choices,
    }
    if not fits.get(str(kind)):
        text = "type is int (min, max), pin (use: output, input, pwm), word (choices), quantity, text or display"
        raise ValueError(f"parameters.{name}: {text}")
    _checked(parameter, parameter.default)
    return parameter


def _checked(parameter: PatternParameter, value: Value) -> Value:
    """Return the value if it may be put into the source. Raises ConfigError."""
    title = parameter.title
    if parameter.form == "text":
        if not isinstance(value, str) or not _SHOWN_TEXT.fullmatch(value):
            step = f'1 to {MAX_SHOWN_CHARS} letters, digits and signs of ASCII, without " and \\'
            raise ConfigError(f"{title} cannot be {value!r:.80}", next_step=step)
        return value
    if parameter.form == "display":
        return part_line(parse_display(str(value)))
    if parameter.choices:
        if value not in parameter.choices:
            raise ConfigError(f"{title} cannot be {value!r}", next_step=f"one of: {', '.join(parameter.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{title} must be a whole number, not {value!r}")
    is_too_low = parameter.min is not None and value < parameter.min
    is_too_high = parameter.max is not None and value > parameter.max
    if is_too_low or is_too_high:
        unit = parameter.unit
        step = "a pin of the board: microclaw device show NAME --json"
        if parameter.pin_use is None:
            step = f"between {_with_unit(parameter.min, unit)} and {_with_unit(parameter.max, unit)}"
        raise ConfigError(f"{title.removesuffix(f' {unit}')} cannot be {_with_unit(value, unit)}", next_step=step)
    return value


def _with_unit(value: float | None, unit: str | None) -> str:
    """Return 3_600_000 ms as "1 h", 500 ms as "500 ms", and 3 as "3"."""
    if value is None or unit is None:
        return f"{value}"
    if unit != "ms" or value < 1000:
        return f"{value} {unit}"
    if value % 3_600_000 == 0:
        return f"{value / 3_600_000:g} h"
    return f"{value / 1000:g} s"
