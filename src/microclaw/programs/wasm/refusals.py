"""Names and headers that the firmware lacks: why, and what to use instead (refusals.toml). Parses no C.

A name comes from a finding of the compiler or linker, a header from #include: comments and strings are not searched."""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from microclaw.tables import read_table


class Advice(Struct, frozen=True):
    """The advice on a name that does not exist, and the reason if that is not plain."""

    hint: str
    explanation: str | None = None
    by_pattern: bool = False  # `esp_*` is less certain than a full name


def refused_name(wanted: str, *, headers: bool = False) -> Advice | None:
    """About a function, type, constant or object that nothing declares; with `headers` about a header not ours."""
    exact, patterns = _table(headers)
    advice = exact.get(wanted) or next((r for pattern, r in patterns if fnmatchcase(wanted, pattern)), None)
    if advice is None:
        return None
    return replace(advice, hint=advice.hint.replace("{name}", wanted))


@functools.cache
def refused_reasons() -> frozenset[str]:
    """Every reason that a refusal gives."""
    return frozenset(row["why"] for row in read_table(__package__, "refusals")["refusal"])


@functools.cache
def _table(headers: bool) -> tuple[dict[str, Advice], tuple[tuple[str, Advice], ...]]:
    """Full names, of which the first counts, and patterns in the file's order."""
    rows = [
        (wanted, Advice(row["instead"], row["why"], by_pattern="*" in wanted or "[" in wanted))
        for row in read_table(__package__, "refusals")["refusal"]
        for wanted in row.get("headers" if headers else "names", ())
    ]
    exact = {wanted: advice for wanted, advice in reversed(rows) if not advice.by_pattern}
    return exact, tuple(row for row in rows if row[1].by_pattern)
