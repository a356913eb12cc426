"""The edges and the parts of watched boards, read while a client watches them. It stores none of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, TypeAlias, TypedDict

from msgspec import Struct, field

from microclaw.clock import now_ms
from microclaw.devices.registry.calls import EdgeLog, EdgesRead, PartsRead
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import MicroclawError, NotSupported
from microclaw.events import Edge
from microclaw.interfaces.api.live_bench import NEWS_S, BenchReader, WatchedBench
from microclaw.programs.bench.board_bench import BoardBench
from microclaw.programs.bench.source import FIRST_EDGES, read_edges
from microclaw.text import clean_text

# Boards of one stream, by their edges and by their parts.
MAX_BOARDS: Final = 64
MAX_BENCHES: Final = 8
# Edges of one event; a slow reader gets the number of the edges that it missed before them.
MAX_EDGES: Final = 2_000
# Between two readings of a virtual board, which is a process of this machine.
LOCAL_S: Final = 0.05
# Between two readings of a board on the network, which has to run its program, too.
REMOTE_S: Final = 0.25
# Of all boards together, so with many boards each is read less often.
READINGS_A_SECOND: Final = 100
# Until a board that did not answer is read again.
_AWAY_S: Final = 2.0
_LOCAL: Final = "virtual:"


class EdgeNews(TypedDict):
    """Edges that a board counted, oldest first: its time, the pin, the level. `now_ms` is its time when it answered.

    `begins`: the first news of this board, or of another boot; its earlier edges do not count. `dropped`: how many
    edges are missing before these. `problem`: why there are none.
    """

    device: str
    at_ms: int
    edges: list[tuple[float, int, int]]
    now_ms: float
    dropped: int
    begins: bool
    problem: str | None


class WatchedBoard(Struct, eq=False):
    """The last edges of a board, and its parts if a reader watches them.

    `counted` includes the edges before. `news_number` is the number of its news, `boot` the number of its boots.
    `cursor` is where its next edges begin, None if nothing was read yet. `edge_readers` counts the streams with its
    edges.
    """

    name: str
    cursor: int | None = None
    told_s: float = 0.0
    edge_readers: int = 0
    bench: WatchedBench | None = None
    edges: deque[Edge] = field(default_factory=lambda: deque(maxlen=MAX_EDGES))
    counted: int = 0
    boot: int = 0
    news_number: int = 0
    at_ms: int = 0
    now_ms: float = 0.0
    problem: str | None = None
    wakes: list[Callable[[], None]] = field(default_factory=list)

    def begin(self) -> None:
        """Forget the edges of the boot before."""
        self.edges.clear()
        self.boot += 1

    def count(self, edges: Sequence[Edge], dropped: int) -> None:
        """Add edges, `dropped` of them lost before."""
        if dropped:
            self.edges.clear()
        self.edges += edges
        self.counted += len(edges) + dropped

    def tell(self, at_ms: int, problem: str | None = None) -> None:
        """Wake the readers."""
        self.news_number += 1
        self.at_ms = at_ms
        self.problem = problem
        self.wake_readers()

    def wake_readers(self) -> None:
        for wake in self.wakes:
            wake()


class EdgeReader:
    """The place of one stream in each of its boards."""

    def __init__(self, boards: Sequence[WatchedBoard]) -> None:
        self._seen = dict.fromkeys(boards, (0, 0, 0))

    def take(self) -> Iterator[EdgeNews]:
        """Yield the news of each board."""
        for board, (news_number, boot, counted) in self._seen.items():
            if news_number == board.news_number:
                continue
            self._seen[board] = (board.news_number, board.boot, board.counted)
            if board.problem is None:
                yield _board_news(board, begins=boot != board.boot, new_count=board.counted - counted)
            else:
                yield EdgeNews(
                    device=board.name,
                    at_ms=board.at_ms,
                    edges=[],
                    now_ms=0.0,
                    dropped=0,
                    begins=False,
                    problem=board.problem,
                )


def _board_news(board: WatchedBoard, *, begins: bool, new_count: int) -> EdgeNews:
    limit = FIRST_EDGES if begins else new_count
    first = max(0, len(board.edges) - limit)
    edges = list(board.edges)[first:]
    return EdgeNews(
        device=board.name,
        at_ms=board.at_ms,
        edges=[(round(edge.t_ms, 3), edge.pin, edge.level) for edge in edges],
        now_ms=round(board.now_ms, 3),
        dropped=0 if begins else new_count - len(edges),
        begins=begins,
        problem=None,
    )


class BoardNews:
    """The place of one stream in the boards whose edges or whose parts it has."""

    def __init__(self, edges: EdgeReader, benches: BenchReader) -> None:
        self.edges = edges
        self.benches = benches

    def take(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the kind and the facts of each new event."""
        for edge_news in self.edges.take():
            yield "edges", edge_news
        for bench_news in self.benches.take():
            yield "bench", bench_news


WatchBoards: TypeAlias = Callable[[Callable[[], None]], AbstractContextManager[BoardNews]]
"""Begins to read boards, and calls its argument after each reading with news."""


def watch_nothing(_wake: Callable[[], None]) -> AbstractContextManager[BoardNews]:
    """Watch no board."""
    return nullcontext(BoardNews(EdgeReader(()), BenchReader(())))


class LivePins:
    """Reads the watched boards, each once for all its readers, in tasks of `group`."""

    def __init__(self, group: asyncio.TaskGroup, devices: Registry, open_bench: Callable[[Device], BoardBench]) -> None:
        self._group = group
        self._open_bench = open_bench
        self._devices = devices
        self._watched: dict[str, tuple[WatchedBoard, asyncio.Task[None]]] = {}

    def check(self, names: Sequence[str]) -> list[str]:
        """Return the ids of these devices; raises UnknownName, and NotSupported if a firmware counts no edges."""
        devices = [self._devices.get(name) for name in names]
        for device in devices:
            if not device.supports(EdgesRead.method):
                raise NotSupported(f"{device.name} does not report its pins", next_step="leave it out of edges=")
        return [device.device_id for device in devices]

    def find(self, names: Sequence[str]) -> list[str]:
        """Return the ids of these devices, whose parts can be watched; raises UnknownName."""
        return [self._devices.get(name).device_id for name in names]

    @contextmanager
    def watch(self, edges: Sequence[str], benches: Sequence[str], wake: Callable[[], None]) -> Iterator[BoardNews]:
        """Read the edges of some boards and the parts of others, by their ids, for the yielded reader.

        `wake` is called after each reading with news.
        """
        # A device may be there twice: by its name and by its id.
        boards = {device_id: self._join(device_id, wake) for device_id in dict.fromkeys((*edges, *benches))}
        edge_boards = [boards[device_id] for device_id in dict.fromkeys(edges)]
        watched_benches = []
        for board in edge_boards:
            board.edge_readers += 1
        try:
            for device_id in dict.fromkeys(benches):
                watched_benches.append(self._join_bench(device_id, boards[device_id]))
            yield BoardNews(EdgeReader(edge_boards), BenchReader(watched_benches))
        finally:
            for board in edge_boards:
                board.edge_readers -= 1
            for bench in watched_benches:
                bench.readers -= 1
            for device_id, board in boards.items():
                self._leave(device_id, board, wake)

    def _join(self, device_id: str, wake: Callable[[], None]) -> WatchedBoard:
        if device_id not in self._watched:
            board = WatchedBoard(device_id)
            task = self._group.create_task(self._follow(device_id, board), name=f"live pins:{device_id}")
            self._watched[device_id] = board, task
        board = self._watched[device_id][0]
        board.wakes.append(wake)
        return board

    def _join_bench(self, device_id: str, board: WatchedBoard) -> WatchedBench:
        if board.bench is None:
            board.bench = WatchedBench(self._open_bench(self._devices.get(device_id)))
        board.bench.readers += 1
        return board.bench

    def _leave(self, device_id: str, board: WatchedBoard, wake: Callable[[], None]) -> None:
        board.wakes.remove(wake)
        if board.bench is not None and not board.bench.readers:
            board.bench = None
        if not board.wakes:
            self._watched.pop(device_id)[1].cancel()

    async def _follow(self, device_id: str, board: WatchedBoard) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            pause_s = await self._read(device_id, board, began_s)
            spent_s = loop.time() - began_s
            await asyncio.sleep(max(pause_s - spent_s, pause_s / 4))

    async def _read(self, device_id: str, board: WatchedBoard, began_s: float) -> float:
        """Read what the readers of a board want of it; return the time until the next reading, in seconds."""
        try:
            device = self._devices.get(device_id)
            board.name = device.name
            log = None
            if _wants_edges(device, board):
                log = await _read_edges(device, board, began_s)
        except MicroclawError as exc:
            board.cursor = None
            problem = clean_text(exc.message, one_line=True, limit=200)
            if board.bench is not None:
                board.bench.note_silence(problem, began_s)
            board.tell(now_ms(), problem)
            return _AWAY_S
        bench = board.bench
        if bench is not None and await bench.read(log, began_s):
            board.wake_readers()
        if bench is not None and bench.is_silent:
            return _AWAY_S
        return self._pause_s(device)

    def _pause_s(self, device: Device) -> float:
        is_local = any(endpoint.startswith(_LOCAL) for endpoint in device.endpoints)
        interval_s = LOCAL_S if is_local else REMOTE_S
        return max(interval_s, len(self._watched) / READINGS_A_SECOND)


def _wants_edges(device: Device, board: WatchedBoard) -> bool:
    """Return True if a reader wants the board's edges, or its parts follow from them."""
    if board.edge_readers:
        return True
    return device.supports(EdgesRead.method) and not device.supports(PartsRead.method)


async def _read_edges(device: Device, board: WatchedBoard, began_s: float) -> EdgeLog:
    """Read the edges since the last reading, and wake the readers if there are any or if it is time for news."""
    begins = board.cursor is None
    log = await read_edges(device, board.cursor)
    # An earlier time of the board means that it has started again.
    if begins or log.now_ms < board.now_ms:
        board.begin()
    board.count(log.edges, log.dropped)
    board.cursor = log.cursor
    board.now_ms = log.now_ms
    has_news = begins or bool(log.edges) or bool(log.dropped)
    if has_news or began_s - board.told_s >= NEWS_S:
        board.told_s = began_s
        board.tell(now_ms())
    return log
