"""Two hosts' stores in this process, over one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from microclaw.host.store.postgres import SharedDatabase


@asynccontextmanager
async def two_hosts(url: str) -> AsyncIterator[tuple[SharedDatabase, SharedDatabase]]:
    """`url` is that of the database."""
    async with SharedDatabase.opened(url, "a") as one, SharedDatabase.opened(url, "b") as other:
        await until(lambda: one.is_listening and other.is_listening)
        yield one, other


def hold_news(host: SharedDatabase) -> None:
    """Hold others' changes back until this host asks, as it does when it finds its memory out of date."""
    hear = host._heard
    held = list[str]()

    def hold(payload: str) -> None:
        held.append(payload)
        if payload.startswith(f"{host.host} ="):
            host._heard = hear  # type: ignore[method-assign]
            for one in held:
                hear(one)

    host._heard = hold  # type: ignore[method-assign]


async def until(condition: Callable[[], object]) -> None:
    """Return once it holds: another host's change comes by itself."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is looked at sets no event
            await asyncio.sleep(0.005)
