"""Ready programs with parameters: source files, and a TOML file that names what may be put in. It compiles nothing.

A pattern comes in up to three forms: in C (or a sketch) as people write it, `main` with sleeps; event-driven, for a
host without Binaryen, which such a `main` needs; and in MicroPython (micropython/). A parameter is a `#define NAME
value` line of the C file, a `NAME = value` line of the Python one. Only whole numbers, and in quotes words from a fixed
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

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import replace

from microclaw.errors import ConfigError, UnknownName
from microclaw.events import PROGRAM_KINDS, ProgramKind
from microclaw.hardware.parts.reader import i2c_quantities
from microclaw.programs.patterns.expected import Value, expected_text
from microclaw.text import clean_text
from microclaw.wire.board_control import MAX_PIN

LANGUAGES: Final[Mapping[ProgramKind, str]] = {"wasm": "C", "py": "Python"}
_LINES: Final[Mapping[ProgramKind, re.Pattern[str]]] = {
    "wasm": re.compile(r"^(#define[ \t]+)(\w+)([ \t]+)([^\n]*?)([ \t]*(?:/\*[^\n]*)?)$", re.MULTILINE),
    "py": re.compile(r"^()(\w+)( = )([^\n#]*?)([ \t]*(?:#[^\n]*)?)$", re.MULTILINE),
}
_PY_START_MS: Final = Fraction(53, 10)  # 5.1 to 5.6, and a wait of 1 ms ends with the board's next one
"""The virtual board's interpreter begins a program so long after its installation."""
_Words: TypeAlias = Annotated[str, Meta(pattern=r"^[ -~]{1,60}\Z")]


class PatternParameter(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that may stand behind a #define: a whole number in [min, max], or one of `choices`.

    `pin_use` is set if the number is a pin: "output", "input", "pwm".
    """

    name: str
    title: _Words
    default: Value
    min: int | None = None
    max: int | None = None
    unit: _Words | None = None
    choices: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")], ...] = ()
    pin_use: Literal["output", "input", "pwm"] | None = None


def _with_unit(value: float | None, unit: str | None) -> str:
    """3_600_000 ms -> "1 h", 500 ms -> "500 ms", 3 -> "3"."""
    if value is None or unit != "ms" or value < 1000:
        if unit:
            return f"{value} {unit}"
        return f"{value}"
    if value % 3_600_000 == 0:
        return f"{value / 3_600_000:g} h"
    return f"{value / 1000:g} s"


class Pattern(Struct, frozen=True):
    """A program with parameters, or filled in: complete source, and expectations in the language of docs/proof.md.

    Before, `expect` has {NAME} for a value. `note`: why it is this form of the source, where another is usual.
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
        return f"patterns/{self.file}, filled in" + (f" ({self.note})" if self.note else "")


@cache
def pattern_names(kind: ProgramKind = "py") -> tuple[str, ...]:
    """Every pattern that has a program of this kind, sorted; all have one in Python."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    found = sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    return tuple(name for name in found if kind in pattern_kinds(name))


@cache
def pattern_kinds(name: str) -> tuple[ProgramKind, ...]:
    """The kinds of a pattern's programs: all kinds, but where the firmware for one cannot do it."""
    text = (resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text).get("kinds", PROGRAM_KINDS))


def can_block() -> bool:
    """True if this host builds programs that sleep in `main` (programs/wasm/asyncify.py: with Binaryen's wasm-opt)."""
    return shutil.which("wasm-opt") is not None


@cache
def load_pattern(name: str, blocking: bool, kind: ProgramKind) -> Pattern:
    """A pattern by name, in the form that is wanted; UnknownName lists what there is."""
    if name not in pattern_names():
        raise UnknownName(f"no pattern named {name!r}", next_step=f"patterns: {', '.join(pattern_names())}")
    folder = resources.files(__package__)

    def read(file: str) -> str:
        return (folder / _shipped(file)).read_text(encoding="utf-8")

    pattern = pattern_of(name, read(f"{name}.toml"), read, blocking=blocking, kind=kind)
    return replace(pattern, file=_shipped(pattern.file))


def _shipped(file: str) -> str:
    if file.endswith(".py"):
        return f"micropython/{file}"
    return file


def pattern_of(
    name: str, description: str, read: Callable[[str], str], *, blocking: bool, kind: ProgramKind
) -> Pattern:
    """The form of a pattern that is wanted; `read` gives the text of a source file by its name.

    ConfigError when there is none of this kind, when the description is wrong, or its program has not all parameters.
    """
    try:
        data = tomllib.loads(description)
        if kind not in data.get("kinds", PROGRAM_KINDS):
            reason = clean_text(data.get("missing", "these boards cannot do it"), one_line=True)
            why = f"{name} has no program in {LANGUAGES[kind]}: {reason}"
            raise ConfigError(why, next_step="give a board our firmware: microclaw flash" if kind == "wasm" else None)
        if kind == "py":
            main = f"{name}.py"
        else:
            main = data.get("source", f"{name}.c")
        if kind == "py" or blocking:
            file = main
        else:
            file = data.get("events", main)
        note = "" if file == main else "event-driven: no Binaryen here"
        parameters = {key: _parameter(key, row) for key, row in data.get("parameters", {}).items()}
        pattern = Pattern(name, data["app"], kind, parameters, data.get("expect", ""), read(file), file, note)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"pattern {name}: {type(exc).__name__}: {exc}") from exc
    defined = {match[2] for match in _LINES[kind].finditer(pattern.source)}
    missing = sorted(set(parameters) - defined)
    if missing:
        raise ConfigError(f"pattern {name}: its program has no line for {', '.join(missing)}")
    return pattern


def fill(
    name: str,
    params: Mapping[str, Value],
    *,
    blocking: bool | None = None,
    kind: ProgramKind = "wasm",
    asked: Mapping[str, Fraction] | None = None,
) -> Pattern:
    """As `fill_pattern`, of a shipped one. `blocking` chooses the form in C; None: what this host builds."""
    return fill_pattern(load_pattern(name, can_block() if blocking is None else blocking, kind), params, asked)


def fill_pattern(pattern: Pattern, params: Mapping[str, Value], asked: Mapping[str, Fraction] | None = None) -> Pattern:
    """The pattern with these values, defaults for the rest; ConfigError says what is wrong with a value.

    `asked`: what a value was before it was rounded; the expectations are held against that.
    """
    name = pattern.name
    rows = pattern.parameters
    unknown = sorted(set(params) - set(rows))
    if unknown:
        raise ConfigError(
            f"{name} has no parameter {', '.join(unknown)}", next_step=f"its parameters: {', '.join(rows)}"
        )
    values = {key: _checked(row, params.get(key, row.default)) for key, row in rows.items()}
    chosen = {f"{key}_{one.upper()}": int(values[key] == one) for key, row in rows.items() for one in row.choices}
    wanted: dict[str, Value | Fraction] = {**chosen, **values, **(asked or {})}
    return replace(
        pattern,
        source=_LINES[pattern.kind].sub(lambda line: _define(line, values), pattern.source),
        expect=expected_text(name, pattern.expect, wanted, _PY_START_MS if pattern.kind == "py" else 0),
        pins=tuple(int(value) for key, value in values.items() if rows[key].pin_use),
    )


def _define(line: re.Match[str], values: Mapping[str, Value]) -> str:
    """A parameter's line with its new value, in the notation (hexadecimal, quotes) of the old one."""
    if line[2] not in values:
        return line[0]
    value = values[line[2]]
    if isinstance(value, str):
        shown = f'"{value}"'
    else:
        shown = str(value)
    if isinstance(value, int) and line[4].startswith("0x"):
        shown = f"0x{value:02x}"
    return f"{line[1]}{line[2]}{line[3]}{shown}{line[5]}"


def _parameter(name: str, row: Mapping[str, Any]) -> PatternParameter:
    """A parameter from its table. Raises ValueError, and ConfigError for a default that it may not have."""
    kind = row.get("type")
    use = row.get("use")
    fields = {key: value for key, value in row.items() if key not in ("type", "use", "pin_use")}
    if kind == "pin":
        fields = {"min": 0, "max": MAX_PIN, **fields, "pin_use": use}
    if kind == "quantity":
        fields["choices"] = i2c_quantities()
    try:
        parameter = convert({"title": name.lower().replace("_", " "), **fields, "name": name}, PatternParameter)
    except ValidationError as exc:
        raise ValueError(f"parameters.{name}: {exc}") from exc
    has_limits = parameter.min is not None and parameter.max is not None
    has_choices = bool(parameter.choices)
    fits = {"int": has_limits, "pin": use is not None, "word": has_choices, "quantity": "choices" not in row}
    if not fits.get(str(kind)) or (kind in ("int", "pin") and has_choices):
        text = "type is int (min, max), pin (use: output, input, pwm), word (choices) or quantity"
        raise ValueError(f"parameters.{name}: {text}")
    _checked(parameter, parameter.default)
    return parameter


def _checked(parameter: PatternParameter, value: Value) -> Value:
    """The value itself when it may be put into C source."""
    title = parameter.title
    if parameter.choices:
        if value not in parameter.choices:
            raise ConfigError(f"{title} cannot be {value!r}", next_step=f"one of: {', '.join(parameter.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{title} must be a whole number, not {value!r}")
    low = parameter.min
    high = parameter.max
    if (low is not None and value < low) or (high is not None and value > high):
        unit = parameter.unit
        step = "a pin of the board: microclaw device show NAME --json"
        if parameter.pin_use is None:
            step = f"between {_with_unit(low, unit)} and {_with_unit(high, unit)}"
        raise ConfigError(f"{title.removesuffix(f' {unit}')} cannot be {_with_unit(value, unit)}", next_step=step)
    return value
