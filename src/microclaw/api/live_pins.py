"""The edges of boards that somebody watches, read while they do. It keeps none; what a board counted is the board's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from microclaw.devices.calls import EdgesRead
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import MicroclawError, NotSupported, UnknownName
from microclaw.events import Edge
from microclaw.text import clean_text

MAX_BOARDS: Final = 64  # of one stream
MAX_EDGES: Final = 2_000  # of one event
MAX_WAITING: Final = 64  # events of a reader that does not keep up
LOCAL_S: Final = 0.05  # between two readings of a virtual board: a process of this machine
REMOTE_S: Final = 0.25  # of a board on the network, which runs its program meanwhile
READINGS_A_SECOND: Final = 100  # of all boards together: with many of them each is read less often
_CALL_S: Final = 5.0
_AWAY_S: Final = 2.0  # until a board that did not answer is asked again
_LOCAL: Final = "virtual:"
_NEWEST: Final = 2**52  # a cursor past the end: the board answers with where its end is
_AT_FIRST: Final = 400  # edges of before


@dataclass(frozen=True, slots=True)
class EdgeNews:
    """Edges that a board counted, oldest first. `now_ms` is its time since its boot, when it answered.

    `begins`: the first news of this board, or of another boot; earlier edges of it do not count. `dropped`: so many are
    missing before these. `problem`: why there are none.
    """

    device: str
    at_ms: int
    edges: tuple[Edge, ...] = ()
    now_ms: float = 0.0
    dropped: int = 0
    begins: bool = False
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        edges = [[round(edge.t_ms, 3), edge.pin, edge.level] for edge in self.edges]
        return {name: getattr(self, name) for name in self.__slots__} | {
            "edges": edges,
            "now_ms": round(self.now_ms, 3),
        }


@dataclass(eq=False, slots=True)
class EdgeReader:
    """The news of one stream that wait to be sent; when it is full, the oldest are lost and counted."""

    wake: Callable[[], None]
    begun: set[str] = field(default_factory=set)  # boards of which it has had the first news
    _waiting: deque[EdgeNews] = field(default_factory=deque)
    _lost: dict[str, int] = field(default_factory=dict)

    def put(self, news: EdgeNews) -> None:
        if len(self._waiting) >= MAX_WAITING:
            gone = self._waiting.popleft()
            self._lost[gone.device] = self._lost.get(gone.device, 0) + gone.dropped + len(gone.edges)
        self._waiting.append(news)
        self.wake()

    def take(self) -> list[EdgeNews]:
        """What waits, with the edges that this reader lost before it."""
        found = [replace(news, dropped=news.dropped + self._lost.pop(news.device, 0)) for news in self._waiting]
        self._waiting.clear()
        return found


class LivePins:
    """Reads the boards that are watched, each once for all who watch it, in tasks of `group`."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        devices: Registry,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._group = group
        self._devices = devices
        self._now_ms = now_ms
        self._readers: dict[str, set[EdgeReader]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def check(self, names: Sequence[str]) -> list[str]:
        """The ids of these devices. UnknownName, NotSupported where a firmware counts no edges."""
        found = [self._devices.get(name) for name in names]
        for device in found:
            if not device.supports(EdgesRead.method):
                raise NotSupported(f"{device.name} does not report its pins", next_step="leave it out of edges=")
        return [device.device_id for device in found]

    @contextmanager
    def watching(self, device_ids: Sequence[str], wake: Callable[[], None]) -> Iterator[EdgeReader]:
        """Inside, the reader gets these boards' edges; `wake` is called with each of them."""
        reader = EdgeReader(wake)
        for device_id in device_ids:
            self._readers.setdefault(device_id, set()).add(reader)
            if device_id not in self._tasks:
                task = self._group.create_task(self._follow(device_id), name=f"live pins:{device_id}")
                self._tasks[device_id] = task
        try:
            yield reader
        finally:
            for device_id in device_ids:
                self._readers[device_id].discard(reader)
                if not self._readers[device_id]:
                    del self._readers[device_id]
                    self._tasks.pop(device_id).cancel()

    async def _follow(self, device_id: str) -> None:
        cursor, before_ms, told_s = -1, 0.0, 0.0
        recent: deque[Edge] = deque(maxlen=_AT_FIRST)
        while True:
            began_s = asyncio.get_running_loop().time()
            pause_s = _AWAY_S
            try:
                device = self._devices.get(device_id)
                if cursor < 0:
                    end = await device.call(EdgesRead(cursor=_NEWEST), _CALL_S, wait=False)
                    cursor = max(0, end.cursor - _AT_FIRST)
                log = await device.call(EdgesRead(cursor=cursor), _CALL_S, wait=False)
                pause_s = max(_pause_s(device), len(self._tasks) / READINGS_A_SECOND)
            except MicroclawError as exc:
                cursor = -1
                text = clean_text(exc.message, one_line=True, limit=200)
                self._forget(device_id)
                for reader in self._readers[device_id]:
                    reader.put(EdgeNews(self._name(device_id), self._now_ms(), problem=text))
            else:
                edges = log.edges[-MAX_EDGES:]
                if log.now_ms < before_ms:  # another boot
                    self._forget(device_id)
                    recent.clear()
                recent += edges
                news = EdgeNews(
                    device.name, self._now_ms(), edges, log.now_ms, log.dropped + len(log.edges) - len(edges)
                )
                is_due = bool(edges) or news.dropped > 0 or began_s - told_s >= 1.0
                told_s = began_s if is_due else told_s
                self._tell(device_id, news, tuple(recent), is_due=is_due)
                cursor, before_ms = log.cursor, log.now_ms
            took_s = asyncio.get_running_loop().time() - began_s
            await asyncio.sleep(max(pause_s - took_s, pause_s / 4))

    def _tell(self, device_id: str, news: EdgeNews, recent: tuple[Edge, ...], *, is_due: bool) -> None:
        """Give it to each reader; one that has had none of this board yet gets what is recent, at once."""
        for reader in self._readers[device_id]:
            if device_id not in reader.begun:
                reader.begun.add(device_id)
                reader.put(replace(news, edges=recent, dropped=0, begins=True))
            elif is_due:
                reader.put(news)

    def _forget(self, device_id: str) -> None:
        """The next news of this board begin anew."""
        for reader in self._readers[device_id]:
            reader.begun.discard(device_id)

    def _name(self, device_id: str) -> str:
        try:
            return self._devices.get(device_id).name
        except UnknownName:
            return device_id  # it was forgotten meanwhile


def _pause_s(device: Device) -> float:
    return LOCAL_S if any(endpoint.startswith(_LOCAL) for endpoint in device.endpoints) else REMOTE_S
