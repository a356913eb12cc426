"""JSON that is read strictly, and what is wrong with a value of a request, in a line."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final

import msgspec

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
    return json.loads(text, object_pairs_hook=_once_each, parse_float=_number, parse_constant=_number)


def check_letters(value: Any, text: str) -> None:
    """UnicodeEncodeError where a text in `value`, read from this JSON, has half of a surrogate pair."""
    if "\\u" in text:
        msgspec.json.encode(value)


def _number(text: str) -> float | int:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN_CHARS]} is no number in JSON, or too large")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number  # 5.0 is 5 (RFC 8259, 6)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:_SHOWN_CHARS]!r} is given twice")
    return fields
