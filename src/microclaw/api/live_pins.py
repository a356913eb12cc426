"""The edges of boards that somebody watches, read while they do. It keeps none; what a board counted is the board's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypedDict

from msgspec import Struct, field

from microclaw.devices.calls import EdgesRead
from microclaw.devices.registry import Registry
from microclaw.errors import MicroclawError, NotSupported
from microclaw.events import Edge
from microclaw.text import clean_text

MAX_BOARDS: Final = 64  # of one stream
MAX_EDGES: Final = 2_000  # of one event: what a reader that does not keep up has missed before these is counted
LOCAL_S: Final = 0.05  # between two readings of a virtual board: a process of this machine
REMOTE_S: Final = 0.25  # of a board on the network, which runs its program meanwhile
READINGS_A_SECOND: Final = 100  # of all boards together: with many of them each is read less often
_CALL_S: Final = 5.0
_AWAY_S: Final = 2.0  # until a board that did not answer is asked again
_TOLD_S: Final = 1.0  # so often at least, for the board's time
_LOCAL: Final = "virtual:"
_NEWEST: Final = 2**52  # a cursor past the end: the board answers with where its end is
_AT_FIRST: Final = 400  # edges of before


class EdgeNews(TypedDict):
    """Edges that a board counted, oldest first: its time, the pin, the level. `now_ms` is its time when it answered.

    `begins`: the first news of this board, or of another boot; earlier edges of it do not count. `dropped`: so many are
    missing before these. `problem`: why there are none.
    """

    device: str
    at_ms: int
    edges: list[tuple[float, int, int]]
    now_ms: float
    dropped: int
    begins: bool
    problem: str | None


class WatchedBoard(Struct, eq=False):
    """The last edges of a board, `counted` with those before. `told` is the number of its news, `boot` of its boots."""

    name: str
    edges: deque[Edge] = field(default_factory=lambda: deque(maxlen=MAX_EDGES))
    counted: int = 0
    boot: int = 0
    told: int = 0
    at_ms: int = 0
    now_ms: float = 0.0
    problem: str | None = None
    wakes: list[Callable[[], None]] = field(default_factory=list)

    def begin(self) -> None:
        self.edges.clear()
        self.boot += 1

    def count(self, edges: Sequence[Edge], dropped: int) -> None:
        if dropped:
            self.edges.clear()
        self.edges += edges
        self.counted += len(edges) + dropped

    def tell(self, at_ms: int, problem: str | None = None) -> None:
        self.told = self.told + 1
        self.at_ms = at_ms
        self.problem = problem
        for wake in self.wakes:
            wake()


class EdgeReader:
    """The place of one stream in each of its boards."""

    def __init__(self, boards: Sequence[WatchedBoard]) -> None:
        self._seen = dict.fromkeys(boards, (0, 0, 0))

    def take(self) -> Iterator[EdgeNews]:
        """Yield the news of each board."""
        for board, (told, boot, counted) in self._seen.items():
            if told == board.told:
                continue
            self._seen[board] = board.told, board.boot, board.counted
            is_away = board.problem is not None
            begins = boot != board.boot and not is_away
            new = board.counted - counted
            if is_away:
                edges = []
            else:
                edges = list(board.edges)[max(0, len(board.edges) - (_AT_FIRST if begins else new)) :]
            yield EdgeNews(
                device=board.name,
                at_ms=board.at_ms,
                edges=[(round(edge.t_ms, 3), edge.pin, edge.level) for edge in edges],
                now_ms=0.0 if is_away else round(board.now_ms, 3),
                dropped=0 if begins or is_away else new - len(edges),
                begins=begins,
                problem=board.problem,
            )


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
        self._watched: dict[str, tuple[WatchedBoard, asyncio.Task[None]]] = {}

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
        boards: dict[str, WatchedBoard] = {}
        for device_id in dict.fromkeys(device_ids):  # one may be named by its name and by its id
            if device_id not in self._watched:
                board = WatchedBoard(device_id)
                task = self._group.create_task(self._follow(device_id, board), name=f"live pins:{device_id}")
                self._watched[device_id] = board, task
            boards[device_id] = self._watched[device_id][0]
            boards[device_id].wakes.append(wake)
        try:
            yield EdgeReader(list(boards.values()))
        finally:
            for device_id, board in boards.items():
                board.wakes.remove(wake)
                if not board.wakes:
                    self._watched.pop(device_id)[1].cancel()

    async def _follow(self, device_id: str, board: WatchedBoard) -> None:
        cursor = -1
        told_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            pause_s = _AWAY_S
            try:
                device = self._devices.get(device_id)
                board.name = device.name
                begins = cursor < 0
                if begins:
                    end = await device.call(EdgesRead(cursor=_NEWEST), _CALL_S, wait=False)
                    cursor = max(0, end.cursor - _AT_FIRST)
                log = await device.call(EdgesRead(cursor=cursor), _CALL_S, wait=False)
                is_local = any(endpoint.startswith(_LOCAL) for endpoint in device.endpoints)
                pause_s = max(LOCAL_S if is_local else REMOTE_S, len(self._watched) / READINGS_A_SECOND)
            except MicroclawError as exc:
                cursor = -1
                board.tell(self._now_ms(), clean_text(exc.message, one_line=True, limit=200))
            else:
                if begins or log.now_ms < board.now_ms:  # another boot
                    board.begin()
                board.count(log.edges, log.dropped)
                cursor = log.cursor
                board.now_ms = log.now_ms
                if begins or log.edges or log.dropped or began_s - told_s >= _TOLD_S:
                    told_s = began_s
                    board.tell(self._now_ms())
            took_s = loop.time() - began_s
            await asyncio.sleep(max(pause_s - took_s, pause_s / 4))
