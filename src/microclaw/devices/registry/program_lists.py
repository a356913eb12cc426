"""Joins the lists of programs of a device's transports: each may take, and list, another kind of programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from microclaw.devices.registry.calls import AppEntry
from microclaw.devices.registry.transport import Transport
from microclaw.errors import DeviceUnreachable
from microclaw.events import ProgramKind


async def join_lists(
    transports: Sequence[Transport], ask: Callable[[Transport], Awaitable[tuple[AppEntry, ...]]]
) -> tuple[AppEntry, ...]:
    """Ask transports for their programs until each kind of programs is listed.

    Raises DeviceUnreachable if a kind is not listed because its transports do not reach the device.
    """
    entries: dict[str, AppEntry] = {}
    listed_kinds = set[ProgramKind]()
    missing_kinds = set[ProgramKind]()
    failure: DeviceUnreachable | None = None
    for transport in transports:
        if listed_kinds and listed_kinds.issuperset(transport.kinds):
            continue
        try:
            found = await ask(transport)
        except DeviceUnreachable as exc:
            failure = failure or exc
            missing_kinds.update(transport.kinds)
            continue
        listed_kinds.update(transport.kinds)
        for entry in found:
            entries.setdefault(entry.name, entry)
    if failure is not None and not listed_kinds.issuperset(missing_kinds):
        raise failure
    return tuple(entries.values())
