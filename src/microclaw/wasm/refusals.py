"""Names and headers that the firmware lacks: why, and what to use instead (refusals.toml). Parses no C.

A name comes from a finding of the compiler or linker, a header from #include: comments and strings are not searched.
"""

from __future__ import annotations

import functools
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.boards.profile import BoardProfile

_NETWORK_GROUPS: Final = {"mqtt": "MQTT (mqtt_client.h)", "http": "HTTP (esp_http_client.h)"}
_NO_NETWORK: Final = "print the values with printf: the host reads the app's log and can pass them on"
_NETWORK: Final = (
    "use {natives}, which this board's firmware has, or print the values: the host reads the app's log and can pass "
    "them on"
)


class Advice(Struct, frozen=True):
    """The advice on a name that does not exist, and the reason if that is not plain."""

    hint: str
    explanation: str | None = None
    by_pattern: bool = False  # `esp_*` is less certain than a full name


def refused_name(wanted: str, board: BoardProfile | None = None, *, headers: bool = False) -> Advice | None:
    """About a function, type, constant or object that nothing declares; with `headers` about a header not ours."""
    exact, patterns = _table(headers)
    advice = exact.get(wanted) or next((r for pattern, r in patterns if fnmatchcase(wanted, pattern)), None)
    if advice is None or "{" not in advice.hint:
        return advice
    return replace(advice, hint=advice.hint.replace("{network}", _network(board)).replace("{name}", wanted))


@functools.cache
def refused_reasons() -> frozenset[str]:
    """Every reason that a refusal gives."""
    return frozenset(row["why"] for row in read_rows("refusal"))


@functools.cache
def read_rows(kind: str) -> list[dict[str, Any]]:
    """The rows of lessons.toml ("lesson") or refusals.toml ("refusal") beside this file."""
    with Path(__file__).with_name(f"{kind}s.toml").open("rb") as file:
        rows: list[dict[str, Any]] = tomllib.load(file)[kind]
    return rows


def _network(board: BoardProfile | None) -> str:
    """The clients that a board's firmware has instead of sockets."""
    groups = board.firmware.native_groups if board is not None else ()
    natives = " or ".join(text for group, text in _NETWORK_GROUPS.items() if group in groups)
    return _NETWORK.format(natives=natives) if natives else _NO_NETWORK


@functools.cache
def _table(headers: bool) -> tuple[dict[str, Advice], tuple[tuple[str, Advice], ...]]:
    """Full names, of which the first counts, and patterns in the file's order."""
    rows = [
        (wanted, Advice(row["instead"], row["why"], by_pattern="*" in wanted or "[" in wanted))
        for row in read_rows("refusal")
        for wanted in row.get("headers" if headers else "names", ())
    ]
    exact = {wanted: advice for wanted, advice in reversed(rows) if not advice.by_pattern}
    return exact, tuple(row for row in rows if row[1].by_pattern)
