"""A publisher at a real broker, another client there, and devices of a test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.mosquitto import LIMIT_S, Broker, Listener
from tests.mosquitto import broker as broker  # a fixture
from tests.stores import new_store

from microclaw.backoff import Backoff
from microclaw.errors import StoreError
from microclaw.host.config.settings import MqttSettings
from microclaw.host.store.database import Database
from microclaw.host.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.interfaces.mqtt.commands import MqttCommands
from microclaw.interfaces.mqtt.device_view import DeviceView
from microclaw.interfaces.mqtt.feed import MqttFeed
from microclaw.interfaces.mqtt.publisher import WATCH_S, MqttPublisher


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Not started; a test may kill it."""
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def start(port: int, *filters: str) -> Listener:
        made.append(Listener(port, *(filters or ("#",))))
        return made[-1]

    yield start
    for listener in made:
        listener.close()


class Boards:
    """The devices that are told: a test says how they are."""

    def __init__(self, *views: DeviceView) -> None:
        self.views = {view.device_id: view for view in views}

    def ids(self) -> Collection[str]:
        return tuple(self.views)

    def id_of(self, name: str) -> str | None:
        return next((view.device_id for view in self.views.values() if view.name == name), None)

    async def view(self, device_id: str) -> DeviceView | None:
        return self.views.get(device_id)


@dataclass
class Running:
    """A publisher at work; `feed` and `boards` are what it tells of; `failures` of the store, which end nothing."""

    publisher: MqttPublisher
    feed: MqttFeed
    buffer: MqttBuffer
    boards: Boards
    database: Database
    failures: list[StoreError] = field(default_factory=list)

    async def write(self) -> None:
        """Run the feed as the host supervises it."""
        while True:
            try:
                await self.feed.run()
            except StoreError as exc:
                self.failures.append(exc)
                await asyncio.sleep(0.05)

    async def connected(self) -> None:
        await until(lambda: self.publisher.status.state == "on", f"not connected: {self.publisher.status}")


@asynccontextmanager
async def publishing(
    folder: Path,
    settings: MqttSettings,
    boards: Boards | None = None,
    *,
    make_commands: Callable[[MqttFeed], MqttCommands] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    watch_s: float = WATCH_S,
) -> AsyncGenerator[Running]:
    """The host's parts, without a host: store, buffer, publisher."""
    boards = boards or Boards()
    async with Database.open(new_store(folder / "store.db")) as database, AsyncExitStack() as stack:
        buffer = MqttBuffer(database)
        await buffer.open()
        feed = MqttFeed(buffer)
        if make_commands is None:
            commands = None
        else:
            commands = make_commands(feed)
        publisher = MqttPublisher(
            settings,
            "h-test",
            devices=boards,
            feed=feed,
            published=MqttPublishedTable(database),
            commands=commands,
            backoff=Backoff(min_s=0.05, max_s=0.2),
            sleep=sleep,
            watch_s=watch_s,
        )
        running = Running(publisher, feed, buffer, boards, database)
        working = [asyncio.create_task(running.write()), asyncio.create_task(publisher.run())]
        if commands is not None:
            await stack.enter_async_context(commands.serving())
        try:
            yield running
        finally:
            for task in working:
                task.cancel()
            ends = await asyncio.gather(*working, return_exceptions=True)
            assert [str(end) for end in ends if not isinstance(end, asyncio.CancelledError)] == []
