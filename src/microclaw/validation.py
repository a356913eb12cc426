"""Validation errors in plain words, for requests and command lines. It validates nothing itself."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sized
from typing import Any, Final

from microclaw.errors import over_limit

_KINDS: Final = {  # what pydantic names its faults by, and what the value should have been
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a number of fewer digits",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "json_invalid": "JSON",
}
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_SHOWN_CHARS: Final = 60
MAX_DEPTH: Final = 64
"""Of objects and lists in each other, in the arguments of a call."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an open one to its end: linear, whatever comes


def read_object(text: str) -> dict[str, Any]:
    """The JSON object in a text. Raises ValueError for anything else, as `read_json` does."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def read_json(text: str) -> Any:
    """The value in a JSON text. Raises ValueError for anything else, for a key that is given twice (two readers could
    take two values), for nesting beyond MAX_DEPTH, at which readers of JSON end in ways of their own, and for Infinity,
    NaN and numbers that become one of them."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"objects and lists are nested deeper than {MAX_DEPTH}")
    return json.loads(text, object_pairs_hook=_once_each, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN_CHARS]} is no number in JSON, or too large")
    return number


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:_SHOWN_CHARS]!r} is given twice")
    return fields


def validation_message(place: str, error: Mapping[str, Any]) -> str:
    """One of pydantic's `errors()` as a sentence about `place`; what it has no words for keeps the library's."""
    kind, limits, given = str(error.get("type", "")), error.get("ctx") or {}, error.get("input")
    if kind in _KINDS:
        return f"{place} is {_KINDS[kind]}{_not(given)}"
    if kind in _BOUNDS:
        limit, words = _BOUNDS[kind]
        return f"{place} is {words} {_plain(limits.get(limit))}{_not(given)}"
    match kind:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            return f"{place} is no field of this request"
        case "string_too_short" | "too_short":
            least = limits.get("min_length", 1)
            return f"{place} is empty" if not given and least == 1 else f"{place} is too short: at least {least}"
        case "string_too_long" | "too_long":
            return _too_long(place, given, int(limits.get("max_length") or 0))
        case "enum" | "literal_error":
            return f"{place} is {limits.get('expected')}{_not(given)}"
        case "string_pattern_mismatch":
            return f"{place} has the wrong form{_not(given).replace(', not', ':', 1)}"
    return f"{place}: {str(error.get('msg', 'wrong')).removeprefix('Value error, ').rstrip('.')}"


def _too_long(place: str, given: object, most: int) -> str:
    noun = "character" if isinstance(given, str) else "part"
    count = len(given) if isinstance(given, Sized) else None
    where = place if len(place) <= _SHOWN_CHARS else f"{place[:_SHOWN_CHARS]}…"
    return over_limit(where, most, noun, count)


def _plain(limit: object) -> object:
    return f"{limit:g}" if isinstance(limit, float) else limit


def _not(given: object) -> str:
    """What was given instead, where it is short and simple enough to be shown."""
    if not isinstance(given, str | int | float):
        return ""
    shown = repr(given) if isinstance(given, str) else str(given)
    return f", not {shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + '…'}"
