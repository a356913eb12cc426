"""The public names of the ESP32 core for Arduino: the ones in our headers, and why others are not (core_names.toml)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from microclaw.tables import read_table


class CoreGroup(Struct, frozen=True):
    """Names of one subject. With `member_of` they are members of that class; a name with .h is a header.

    `refused` has the names by the id of their reason in refusals.toml.
    """

    title: str
    member_of: str
    done: tuple[str, ...]
    refused: Mapping[str, tuple[str, ...]]


@functools.cache
def core_groups() -> tuple[CoreGroup, ...]:
    """Return all groups in the order of the table."""
    return tuple(map(_read_group, read_table(__package__, "core_names")["group"]))


def _read_group(row: Mapping[str, Any]) -> CoreGroup:
    refused = {}
    for reason_id, names in row.get("refused", {}).items():
        refused[reason_id] = tuple(names.split())
    return CoreGroup(
        title=row["title"],
        member_of=row.get("of", ""),
        done=tuple(row.get("done", "").split()),
        refused=refused,
    )


def refused_core_names(reason_id: str, *, headers: bool) -> tuple[str, ...]:
    """Return the core's names, or with `headers` its headers, that are refused for this reason; no members."""
    names = []
    for group in core_groups():
        if not group.member_of:
            names += [name for name in group.refused.get(reason_id, ()) if name.endswith(".h") == headers]
    return tuple(names)


def refused_member_reason(class_name: str, member: str) -> str | None:
    """Return the id of the reason why a class of the core has no such member here, or None."""
    for group in core_groups():
        if group.member_of != class_name:
            continue
        for reason_id, names in group.refused.items():
            if member in names:
                return reason_id
    return None
