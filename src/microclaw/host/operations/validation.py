"""Reads JSON strictly."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final

import msgspec

_SHOWN_CHARS: Final = 60
# How deep objects and lists may be nested.
MAX_DEPTH: Final = 64
# A string without an end goes to the end of the text, so that the search is linear.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text. Raises ValueError for anything else, as `read_json` does."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def read_json(text: str) -> Any:
    """Return the value in a JSON text.

    Raises ValueError for anything else, for a repeated key (two readers could take different values), for nesting
    beyond MAX_DEPTH (where readers of JSON fail in different ways), and for Infinity, NaN and numbers that become them.
    """
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        if bracket in "[{":
            depth += 1
        else:
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"objects and lists are nested deeper than {MAX_DEPTH}")
    return json.loads(text, object_pairs_hook=_without_repeats, parse_float=_number, parse_constant=_number)


def check_letters(value: Any, text: str) -> None:
    """Raise UnicodeEncodeError if a text in `value`, read from the JSON `text`, has half of a surrogate pair."""
    if "\\u" in text:
        msgspec.json.encode(value)


def _number(text: str) -> float | int:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN_CHARS]} is not a JSON number, or too large")
    # 5.0 is 5 (RFC 8259, 6).
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs. Raises ValueError for a repeated key."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{repeated[:_SHOWN_CHARS]!r} is given twice")
    return fields
