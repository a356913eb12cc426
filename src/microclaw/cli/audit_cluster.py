"""The security logs of a cluster's hosts for `microclaw audit`: this home's from its files, the others' from NATS."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.audit import ChainReport, Followed, LineChain, RecordedEvent, read_events
from microclaw.audit.files import parse_line
from microclaw.audit.shared import shared_as
from microclaw.cluster.audit_stream import HostLines, audit_lines
from microclaw.cluster.connection import connected
from microclaw.config.settings import Settings
from microclaw.errors import UnknownName

FOLLOW_S: Final = 0.5
_ID: Final = re.compile(r"-[0-9a-f]{4}$")  # what a host's id has behind its name


@dataclass(frozen=True, slots=True)
class HostEvent:
    """An event and the name of the host that wrote it down."""

    host: str
    found: RecordedEvent


@dataclass(frozen=True, slots=True)
class HostChain:
    """The chain of one set of a host's log, as the cluster has it; `is_own`: of this home."""

    host: str
    log: str
    is_own: bool
    report: ChainReport


class _Newest:
    """At most `most` events, the newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._heap: list[tuple[int, int, HostEvent]] = []

    def add(self, events: Iterable[HostEvent]) -> None:
        for one in events:
            self._count += 1
            heapq.heappush(self._heap, (one.found.at_ms, self._count, one))
            if len(self._heap) > self._most:
                heapq.heappop(self._heap)

    def taken(self) -> list[HostEvent]:
        """Oldest first; none is left."""
        found, self._heap = sorted(self._heap, key=lambda one: one[:2]), []
        return [event for _, _, event in found]


class AuditOfHosts:
    """`wanted` chooses events; at most `most`, the newest, are held. `of_host`: of that one alone, by its name or its
    id (as in "b-8824"). Raises StoreError, ConfigError, UnknownName, OSError."""

    def __init__(
        self, settings: Settings, wanted: Callable[[HostEvent], bool], most: int, of_host: str | None = None
    ) -> None:
        self._settings = settings
        self._home = settings.home
        self._name = settings.cluster.host_name
        self._of_host = of_host
        self._names = None if of_host is None else {of_host, _ID.sub("", of_host)}
        self._known = {self._name}
        self._asked = wanted
        self._newest = _Newest(most)

    def events(self) -> list[HostEvent]:
        """Of all hosts, oldest first."""
        asyncio.run(self._read(None))
        self._add_own(read_events(self._home))
        return self._newest.taken()

    def follow(self, show: Callable[[list[HostEvent]], None]) -> None:
        """Show what is there, then what comes, for ever."""
        asyncio.run(self._read(show))

    async def _read(self, show: Callable[[list[HostEvent]], None] | None) -> None:
        own = await asyncio.to_thread(_own_log, self._home)
        async with (
            connected(self._settings.cluster, name="microclaw audit") as cluster,
            audit_lines(cluster) as messages,
        ):
            await self._take(messages, own)
            self._check_host()
            if show is None:
                return
            coming = asyncio.create_task(self._take(messages, own), name="audit: other hosts")
            try:
                await self._show(show, coming)
            finally:
                coming.cancel()
                await asyncio.wait((coming,))

    async def _take(self, messages: AsyncGenerator[HostLines | None], own: str | None) -> None:
        """The lines of other homes, up to the end of what is there; then what comes."""
        async for found in messages:
            if found is None:
                return
            self._known.add(found.host)
            if found.log != own:
                parsed = (HostEvent(found.host, one) for line in found.lines if (one := parse_line(line)) is not None)
                self._newest.add(one for one in parsed if self._wanted(one))

    def _check_host(self) -> None:
        if self._names is not None and not self._names & self._known:
            raise UnknownName(
                f"no host {self._of_host!r} has written a security log in this cluster; these have: "
                f"{', '.join(sorted(self._known))}",
                next_step="give one of these names to --from",
            )

    def _wanted(self, one: HostEvent) -> bool:
        return (self._names is None or one.host in self._names) and self._asked(one)

    async def _show(self, show: Callable[[list[HostEvent]], None], coming: asyncio.Task[None]) -> None:
        followed = Followed(self._home)
        while True:
            if coming.done():
                coming.result()
            self._add_own(await asyncio.to_thread(followed.new))
            show(self._newest.taken())
            await asyncio.sleep(FOLLOW_S)

    def _add_own(self, events: Iterable[RecordedEvent]) -> None:
        named = (HostEvent(self._name, one) for one in events)
        self._newest.add(one for one in named if self._wanted(one))


def chains_of_hosts(settings: Settings) -> list[HostChain]:
    """Every host's chains as the cluster has them. Raises StoreError, ConfigError, OSError."""
    return asyncio.run(_chains(settings))


async def _chains(settings: Settings) -> list[HostChain]:
    own = await asyncio.to_thread(_own_log, settings.home)
    chains: dict[tuple[str, str, str], LineChain] = {}
    async with connected(settings.cluster, name="microclaw audit") as cluster, audit_lines(cluster) as messages:
        async for found in messages:
            if found is None:
                break
            key = found.host, found.log, found.stem
            if key not in chains:
                chains[key] = LineChain(found.stem, f"{found.host}'s {found.stem} in NATS")
            for line in found.lines:
                chains[key].take(line)
    return [HostChain(host, log, log == own, chain.report()) for (host, log, _), chain in sorted(chains.items())]


def _own_log(home: Path) -> str | None:
    known = shared_as(home)
    return None if known is None else known.log
