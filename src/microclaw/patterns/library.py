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
from microclaw.events import ProgramKind
from microclaw.patterns.expected import Value, expected_text
from microclaw.wire.board_control import MAX_PIN

_DEFINE = re.compile(r"^(#define[ \t]+)(\w+)([ \t]+)([^\n]*?)([ \t]*(?:/\*[^\n]*)?)$", re.MULTILINE)
_ASSIGNED = re.compile(r"^()(\w+)( = )([^\n#]*?)([ \t]*(?:#[^\n]*)?)$", re.MULTILINE)
_PY_START_MS: Final = Fraction(53, 10)  # 5.1 to 5.6, and a wait of 1 ms ends with the board's next one
"""The virtual board's interpreter begins a program so long after its installation."""
_Words: TypeAlias = Annotated[str, Meta(pattern=r"^[ -~]{1,60}\Z")]


class Parameter(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that may stand behind a #define: a whole number in [min, max], or one of `choices`.

    `pin_use` is set when the number is a pin: "output", "input", "pwm".
    """

    name: str
    title: _Words
    default: Value
    min: int | None = None
    max: int | None = None
    unit: _Words | None = None
    choices: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")], ...] = ()
    pin_use: Literal["output", "input", "pwm"] | None = None


def _out_of_range(parameter: Parameter, value: int) -> ConfigError:
    unit = parameter.unit
    bounds = f"between {_with_unit(parameter.min, unit)} and {_with_unit(parameter.max, unit)}"
    step = bounds if parameter.pin_use is None else "a pin of the board: microclaw device show NAME"
    title = parameter.title.removesuffix(f" {unit}")
    return ConfigError(f"{title} cannot be {_with_unit(value, unit)}", next_step=step)


def _with_unit(value: float | None, unit: str | None) -> str:
    """3_600_000 ms -> "1 h", 500 ms -> "500 ms", 3 -> "3"."""
    if value is None or unit != "ms" or value < 1000:
        return f"{value} {unit}" if unit else f"{value}"
    return f"{value / 3_600_000:g} h" if value % 3_600_000 == 0 else f"{value / 1000:g} s"


class Pattern(Struct, frozen=True):
    """A program with parameters. `expect`: its expectations, with {NAME} for a value; `file` holds `source`."""

    name: str
    title: str
    app_name: str
    parameters: Mapping[str, Parameter]
    expect: str
    source: str
    file: str = ""
    note: str = ""  # why this form, where the other is the usual one


class Program(Struct, frozen=True):
    """A pattern with its values: complete source, pins, and expectations in the language of docs/proof.md."""

    pattern: str
    title: str
    app_name: str
    source: str
    params: Mapping[str, Value]
    pins: tuple[int, ...]
    expect: str
    origin: str = ""  # which file it is, in words
    file: str = ""


@cache
def pattern_names(kind: ProgramKind = "py") -> tuple[str, ...]:
    """Every pattern that has a program of this kind, sorted; all have one in Python."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    found = sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    return tuple(name for name in found if kind in pattern_kinds(name))


@cache
def pattern_kinds(name: str) -> tuple[ProgramKind, ...]:
    """The kinds of a pattern's programs: all kinds, but where the firmware for one cannot do it."""
    return tuple(_description(name).get("kinds", ("wasm", "py")))


def _description(name: str) -> Mapping[str, Any]:
    return tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def load_pattern(name: str, *, blocking: bool | None = None, kind: ProgramKind = "wasm") -> Pattern:
    """A pattern by name; UnknownName lists what there is.

    `blocking` chooses the form in C; None: what this host builds.
    """
    return _load_pattern(name, can_block() if blocking is None else blocking, kind)


def can_block() -> bool:
    """True if this host builds programs that sleep in `main` (wasm/eventful.py: with Binaryen's wasm-opt)."""
    return shutil.which("wasm-opt") is not None


@cache
def _load_pattern(name: str, blocking: bool, kind: ProgramKind) -> Pattern:
    if name not in pattern_names():
        raise UnknownName(f"no pattern named {name!r}", next_step=f"patterns: {', '.join(pattern_names())}")
    if kind not in pattern_kinds(name):
        raise ConfigError(
            f"the pattern {name} is for boards that take Python programs",
            next_step="give a board our firmware: microclaw flash",
        )
    folder = resources.files(__package__)

    def read(file: str) -> str:
        return (folder / _shipped(file)).read_text(encoding="utf-8")

    pattern = pattern_of(name, read(f"{name}.toml"), read, blocking=blocking, kind=kind)
    return replace(pattern, file=_shipped(pattern.file))


def _shipped(file: str) -> str:
    return f"micropython/{file}" if file.endswith(".py") else file


def pattern_of(
    name: str, description: str, read: Callable[[str], str], *, blocking: bool, kind: ProgramKind
) -> Pattern:
    """The form of a pattern that is wanted; `read` gives the text of a source file by its name.

    ConfigError when the description is wrong, or its program has not all parameters.
    """
    try:
        data = tomllib.loads(description)
        main = f"{name}.py" if kind == "py" else data.get("source", f"{name}.c")
        file = main if kind == "py" or blocking else data.get("events", main)
        note = "" if file == main else "event-driven: no Binaryen here"
        parameters = {key: _parameter(key, row) for key, row in data.get("parameters", {}).items()}
        pattern = Pattern(name, data["title"], data["app"], parameters, data.get("expect", ""), read(file), file, note)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"pattern {name}: {type(exc).__name__}: {exc}") from exc
    defined = {match[2] for match in (_ASSIGNED if kind == "py" else _DEFINE).finditer(pattern.source)}
    if missing := sorted(set(parameters) - defined):
        raise ConfigError(f"pattern {name}: its program has no line for {', '.join(missing)}")
    return pattern


def fill(
    name: str,
    params: Mapping[str, Value],
    *,
    blocking: bool | None = None,
    kind: ProgramKind = "wasm",
    asked: Mapping[str, Fraction] | None = None,
) -> Program:
    """The pattern's program with these values, defaults for the rest; ConfigError says what is wrong with a value.

    `asked`: what a value was before it was rounded; the expectations are held against that.
    """
    return fill_pattern(load_pattern(name, blocking=blocking, kind=kind), params, kind=kind, asked=asked)


def fill_pattern(
    pattern: Pattern,
    params: Mapping[str, Value],
    *,
    kind: ProgramKind,
    asked: Mapping[str, Fraction] | None = None,
) -> Program:
    """As `fill`, of a pattern that was read; `kind` is that of its source."""
    if unknown := sorted(set(params) - set(pattern.parameters)):
        known = ", ".join(pattern.parameters)
        raise ConfigError(f"{pattern.name} has no parameter {', '.join(unknown)}", next_step=f"its parameters: {known}")
    values = {key: _checked(p, params.get(key, p.default)) for key, p in pattern.parameters.items()}
    source = (_ASSIGNED if kind == "py" else _DEFINE).sub(lambda m: _define(m, values), pattern.source)
    rows = pattern.parameters.items()
    chosen = {f"{key}_{one.upper()}": int(values[key] == one) for key, row in rows for one in row.choices}
    pins = tuple(v for key, v in values.items() if pattern.parameters[key].pin_use and isinstance(v, int))
    wanted: dict[str, int | Fraction | str] = {**chosen, **values, **(asked or {})}
    origin = f"patterns/{pattern.file}, filled in"
    origin = f"{origin} ({pattern.note})" if pattern.note else origin
    return Program(
        pattern.name,
        pattern.title,
        pattern.app_name,
        source,
        values,
        pins,
        expected_text(pattern.name, pattern.expect, wanted, _PY_START_MS if kind == "py" else 0),
        origin,
        pattern.file,
    )


def _define(line: re.Match[str], values: Mapping[str, Value]) -> str:
    """A parameter's line with its new value, in the notation (hexadecimal, quotes) of the old one."""
    if line[2] not in values:
        return line[0]
    value = values[line[2]]
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    if isinstance(value, int) and line[4].startswith("0x"):
        shown = f"0x{value:02x}"
    return f"{line[1]}{line[2]}{line[3]}{shown}{line[5]}"


def _parameter(name: str, row: Mapping[str, Any]) -> Parameter:
    """A parameter from its table. Raises ValueError, and ConfigError for a default that it may not have."""
    kind, use, fields = row.get("type"), row.get("use"), {k: v for k, v in row.items() if k not in ("type", "use")}
    if kind == "pin":
        fields = {"min": 0, "max": MAX_PIN, **fields, "pin_use": use}
    try:
        parameter = convert({"title": name.lower().replace("_", " "), **fields, "name": name}, Parameter)
    except ValidationError as exc:
        raise ValueError(f"parameters.{name}: {exc}") from exc
    has_limits = parameter.min is not None and parameter.max is not None
    fits = {"int": has_limits, "pin": use is not None, "word": bool(parameter.choices)}
    if not fits.get(str(kind)) or (kind != "word" and parameter.choices):
        raise ValueError(f"parameters.{name}: type is int (min, max), pin (use: output, input, pwm) or word (choices)")
    _checked(parameter, parameter.default)
    return parameter


def _checked(parameter: Parameter, value: Value) -> Value:
    """The value itself when it may be put into C source."""
    title = parameter.title
    if parameter.choices:
        if value not in parameter.choices:
            raise ConfigError(f"{title} cannot be {value!r}", next_step=f"one of: {', '.join(parameter.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{title} must be a whole number, not {value!r}")
    low, high = parameter.min, parameter.max
    if (low is not None and value < low) or (high is not None and value > high):
        raise _out_of_range(parameter, value)
    return value
