"""Names and headers that the firmware lacks: why, and what to use instead (refusals.toml). Parses no C.

Those of the ESP32's core are in core_names.toml.

A name comes from a finding of the compiler or linker, a header from #include: comments and strings are not searched."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from microclaw.hardware.parts.reader import Part, parts
from microclaw.programs.wasm.core_names import refused_core_names, refused_member_reason
from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.tables import read_table


class Advice(Struct, frozen=True):
    """The advice on a name that does not exist, and the reason if that is not plain."""

    hint: str
    explanation: str | None = None
    by_pattern: bool = False  # `esp_*` is less certain than a full name


def refused_name(wanted: str, *, headers: bool = False) -> Advice | None:
    """Return the advice on a name that nothing declares, or None; with `headers` on a header that is not ours."""
    if headers and wanted in library_headers():
        return None
    of_part = _parts_refusal(wanted, headers)
    if of_part is None:
        of_part = _other_library(wanted, headers)
    if of_part is not None:
        return of_part
    exact, patterns = _table(headers)
    if wanted in exact:
        return _about(wanted, exact[wanted])
    for pattern, advice in patterns:
        if fnmatchcase(wanted, pattern):
            return _about(wanted, advice)
    return None


def refusal_of(reason_id: str) -> Advice:
    """Return the advice of the entry with this id. Raises KeyError if there is none."""
    for row in read_table(__package__, "refusals")["refusal"]:
        if row.get("id") == reason_id:
            return Advice(row["instead"], row["why"])
    raise KeyError(reason_id)


def refused_member(class_name: str, member: str) -> Advice | None:
    """Return the advice on a member that a class of the ESP32 core has and ours has not, or None."""
    reason_id = refused_member_reason(class_name, member)
    if reason_id is None:
        return None
    return refusal_of(reason_id)


def _about(wanted: str, advice: Advice) -> Advice:
    return replace(advice, hint=advice.hint.replace("{name}", wanted))


def refused_reasons() -> frozenset[str]:
    """Return every reason that a refusal gives."""
    of_table = (row["why"] for row in read_table(__package__, "refusals")["refusal"])
    of_parts = (_too_slow(part, needs).explanation or "" for part, needs in _slow_parts())
    return frozenset((*of_table, *of_parts))


def _parts_refusal(wanted: str, headers: bool) -> Advice | None:
    """Return the advice on a library's header, or its class, of a part that a program is too slow to drive."""
    header = wanted if headers else f"{wanted}.h"
    for part, needs in _slow_parts():
        if header in part.serves.arduino and header not in library_headers():
            return _too_slow(part, needs)
    return None


def _other_library(wanted: str, headers: bool) -> Advice | None:
    """Return the advice on a header, or a class, that is named as a part: the header of the part's library here."""
    for header, root in library_headers().items():
        name = root.parent.name
        is_of_part = wanted.lower() == name or (headers and name in wanted.lower())
        # An ordinary word, as "keypad", may also be in the name of a file of the program's own.
        if is_of_part and any(character.isdigit() for character in name):
            hint = f"for this part there is another library: add #include <{header}>"
            return Advice(hint, "the library is not here", by_pattern=True)
    return None


def _slow_parts() -> Iterator[tuple[Part, str]]:
    """Yield the parts that a program is too slow for, each with what it needs."""
    for part in parts().values():
        needs = [pin.needs for pin in part.pins if pin.needs]
        if needs:
            yield part, needs[0]


def _too_slow(part: Part, needs: str) -> Advice:
    name = part.title.partition(":")[0]
    why = f"{name} needs {needs}, and a program's pin takes tens of microseconds to change: it cannot work"
    modules = " and ".join(part.serves.python)
    instead = "put microclaw's own firmware on this board (microclaw flash): its Python programs drive this part"
    if modules:
        instead += f", with {modules}"
    return Advice(instead, why)


@functools.cache
def _table(headers: bool) -> tuple[dict[str, Advice], tuple[tuple[str, Advice], ...]]:
    """Read full names, of which the first counts, and patterns in the file's order."""
    exact: dict[str, Advice] = {}
    patterns = []
    column = "headers" if headers else "names"
    for row in read_table(__package__, "refusals")["refusal"]:
        of_core = refused_core_names(row.get("id", ""), headers=headers)
        for wanted in (*row.get(column, ()), *of_core):
            if "*" in wanted or "[" in wanted:
                patterns.append((wanted, Advice(row["instead"], row["why"], by_pattern=True)))
            else:
                exact.setdefault(wanted, Advice(row["instead"], row["why"]))
    return exact, tuple(patterns)
