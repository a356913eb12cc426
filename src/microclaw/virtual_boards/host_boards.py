"""The virtual boards of one host: starts each as a process, and again when it ends. It sends them nothing.

running ── its process ended ──> restarting ── started, known under its new address, its programs redeployed ──> running
                                  │     └── too often within a minute ──> failed
                                  └── a start that fails counts as one more end of the process
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.backoff import Backoff
from microclaw.clock import now_ms
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.durable import replace_file
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.text import count_text, moment_text
from microclaw.virtual_boards.process import BoardReady, VirtualBoardProcess

BOARD: Final = "virtual"
_log = logging.getLogger(__name__)


class RestartLimits(Struct, frozen=True):
    """At most so many restarts in `window_s`; the pause doubles with each restart in that time."""

    restarts: int = 3
    window_s: float = 60.0
    pause_s: float = 0.5


_LIMITS: Final = RestartLimits()


class BoardStanding(Struct, frozen=True):
    """The state of a board's process. `last_ms` is the Unix time of its last restart, `reason` how it ended."""

    state: Literal["running", "restarting", "failed", "removed"] = "running"
    restarts: int = 0
    last_ms: int | None = None
    reason: str | None = None

    @property
    def text(self) -> str | None:
        """The text that a person should know of it."""
        if self.state == "failed":
            return f"failed: {self.reason} - look into the host's log, then start the host again"
        if self.state == "restarting":
            return f"is being started again ({self.reason})"
        if self.last_ms is None:
            return None
        return f"restarted {count_text(self.restarts, 'time')}, last {moment_text(self.last_ms)}"


class _Board(Struct):
    name: str
    process: VirtualBoardProcess
    device_id: str = ""
    standing: BoardStanding = BoardStanding()


class VirtualBoards:
    """`async with boards.running(2) as ready`: inside, virtual-1 and virtual-2 are devices of the host; in a cluster
    each host's have its name before: `prefix`. The file `ids` keeps which devices they are, also under other names.

    `put_back` is called with a device's id when its board was started again, without programs.
    """

    def __init__(
        self,
        devices: Registry,
        put_back: Callable[[str], Awaitable[object]],
        *,
        ids: Path,
        limits: RestartLimits = _LIMITS,
        prefix: str = "",
        process: Callable[[str], VirtualBoardProcess] = lambda name: VirtualBoardProcess(name=name, board=BOARD),
    ) -> None:
        self._devices = devices
        self._put_back = put_back
        self._ids = ids
        self._limits = limits
        self._prefix = prefix
        self._process = process
        self._boards: list[_Board] = []

    def standing(self) -> Mapping[str, BoardStanding]:
        """The state of each board, by its device's id."""
        return {board.device_id: board.standing for board in self._boards}

    @property
    def ready(self) -> tuple[BoardReady, ...]:
        return tuple(board.process.ready for board in self._boards)

    @asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[tuple[BoardReady, ...]]:
        """Start so many boards; leaving the block ends them."""
        try:
            ids = _read_ids(self._ids)
            for number in range(1, count + 1):
                first_name = f"{self._prefix}virtual-{number}"
                name = next((d.name for d in self._devices.list() if d.device_id == ids.get(first_name)), first_name)
                board = _Board(name, self._process(name))
                ready = await board.process.start()
                self._boards.append(board)
                ids[first_name] = board.device_id = (await self._register(board.name, ready, {*ids.values()})).device_id
            if self._boards:
                with suppress(OSError):  # a board that is renamed is another device at the next start then
                    await asyncio.to_thread(replace_file, self._ids, msgspec.json.encode(ids))
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(self._watch(b), name=f"watch {b.name}") for b in self._boards]
                try:
                    yield self.ready
                finally:
                    for task in watching:
                        task.cancel()
        finally:
            for board in self._boards:
                await board.process.stop()
            self._boards = []

    async def _register(self, name: str, ready: BoardReady, ours: Set[str]) -> Device:
        """Add the board as a device, or give the known device the new ports; `ours` are the ids of earlier ones.

        Another board of that name, which connects by itself, keeps its link.
        """
        try:
            known = self._devices.get(name)
        except UnknownName:
            return await self._devices.add(name, ready.board, ready.transports)
        if known.board.board_id != ready.board or (known.link_ids and known.device_id not in ours):
            raise ConfigError(
                f"{name} is the name of a {known.board.title} already",
                next_step=f"microclaw device rename {name} ANOTHER-NAME, without --virtual",
            )
        return await self._devices.set_transports(name, ready.transports)

    async def _watch(self, board: _Board) -> None:
        """Start the board again each time its process ends, until it has failed or was removed."""
        starts_s: deque[float] = deque()
        try:
            while board.standing.state == "running":
                reason = await board.process.ended()
                _log.warning("%s ended (%s)", board.name, reason)
                await self._restart(board, reason, starts_s)
        except Exception:  # the host and its other boards outlive it
            _log.exception("looking after %s", board.name)
            board.standing = replace(board.standing, state="failed", reason="something went wrong inside the host")

    async def _restart(self, board: _Board, reason: str, starts_s: deque[float]) -> None:
        """Try until it runs, has failed too often, or its device was removed."""
        while True:
            while starts_s and time.monotonic() - starts_s[0] >= self._limits.window_s:
                starts_s.popleft()
            if len(starts_s) >= self._limits.restarts:
                reason = f"it ended {len(starts_s) + 1} times within {self._limits.window_s:g} s, last with {reason}"
                _log.error("%s is not started again: %s", board.name, reason)
                board.standing = replace(board.standing, state="failed", reason=reason)
                return
            board.standing = replace(board.standing, state="restarting", reason=reason)
            await asyncio.sleep(Backoff(min_s=self._limits.pause_s, failures=len(starts_s)).next_wait_s())
            starts_s.append(time.monotonic())
            try:
                await self._start_again(board)
            except UnknownName:
                _log.info("%s is no device of this host any more: it stays off", board.name)
                board.standing = replace(board.standing, state="removed")
                return
            except MicroclawError as exc:
                _log.warning("%s could not be started again: %s", board.name, exc.message)
                reason = exc.message
                continue
            count = board.standing.restarts + 1
            board.standing = replace(board.standing, state="running", restarts=count, last_ms=now_ms())
            await self._fill(board)
            return

    async def _start_again(self, board: _Board) -> None:
        """Start a new process for the board. UnknownName when its device was removed."""
        await board.process.stop()
        self._devices.get(board.device_id)
        board.process = self._process(board.name)
        ready = await board.process.start()
        try:
            await self._devices.set_transports(board.device_id, ready.transports)
        except BaseException:
            await board.process.stop()
            raise

    async def _fill(self, board: _Board) -> None:
        """Put its programs back now. After a failure the reconciler does it later."""
        try:
            await self._put_back(board.device_id)
        except Exception:  # the board runs, whatever is wrong with its programs
            _log.exception("putting the programs of %s back", board.name)


def _read_ids(file: Path) -> dict[str, str]:
    """The ids of boards' devices by the boards' first names; none where nobody wrote them, or somebody else did."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
