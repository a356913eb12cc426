"""Two hosts' copies of one store in this process, with a log between them that lies in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.stores import new_store

from microclaw.errors import StoreUnreachable
from microclaw.store.replica import Place, Replica, place
from microclaw.store.replica_writer import LogConflict, NotInLog


class MemoryLog:
    """What JetStream does for a cluster: it orders entries, takes each id once, and delivers them to every host."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._ids: dict[str, int] = {}
        self._deliver: list[Callable[[int, bytes], bool]] = []
        self._held: list[tuple[int, bytes]] | None = None
        self.is_away = False  # it takes nothing, and says so
        self.is_shaken = False

    def hold(self) -> None:
        """Entries are taken, and reach nobody until somebody's own is refused because of them."""
        self._held = []

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for seq, entry in held:
            self._tell(seq, entry)

    def _tell(self, seq: int, entry: bytes) -> None:
        if self._held is not None:
            self._held.append((seq, entry))
            return
        for deliver in self._deliver:
            deliver(seq, entry)

    async def commit(self, entry_id: str, entry: bytes, after: int) -> int:
        if self.is_away:
            raise StoreUnreachable("the log is away")
        if entry_id in self._ids:
            return self._ids[entry_id]
        if after != len(self._entries):
            self._release()
            raise LogConflict
        self._entries.append(entry)
        self._ids[entry_id] = len(self._entries)
        self._tell(len(self._entries), entry)
        return len(self._entries)

    async def look(self) -> int:
        return len(self._entries)

    async def read(self, seq: int) -> bytes:
        if seq > len(self._entries):
            raise NotInLog
        return self._entries[seq - 1]

    def forget(self, seq: int) -> None:
        """Nothing comes again by itself."""

    async def follow(
        self, after: int, deliver: Callable[[int, bytes], bool], tip: Callable[[], tuple[int, str]]
    ) -> None:
        for seq, entry in enumerate(self._entries[after:], start=after + 1):
            deliver(seq, entry)
        self._deliver.append(deliver)


@asynccontextmanager
async def two_hosts(folder: Path, log: MemoryLog | None = None) -> AsyncIterator[tuple[Replica, Replica]]:
    log = log or MemoryLog()
    async with AsyncExitStack() as stack:
        copies = []
        for host in ("a", "b"):
            path = folder / host / "cluster.db"
            new_store(path)
            place(path, Place("test"))
            copies.append(await stack.enter_async_context(Replica.open_copy(path, log, host=host)))
        yield copies[0], copies[1]


async def until(condition: Callable[[], object]) -> None:
    """Return once it holds: another host's change comes by itself."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is looked at sets no event
            await asyncio.sleep(0.005)
