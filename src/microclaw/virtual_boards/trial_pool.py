"""Throw-away virtual boards for trials, with one ready in advance. Starts and ends processes; judges no program."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppInstall
from microclaw.errors import MicroclawError
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.transports.wasmachine import WasmachineTransport
from microclaw.virtual_boards.process import VirtualBoardProcess

_log = logging.getLogger(__name__)


class BoardKind(Struct, frozen=True):
    """The properties of a trial board; boards of one kind are interchangeable.

    `firmware` are the words of a description (boards/firmware.py).
    """

    board_id: str
    clock: Literal["real", "virtual"] = "virtual"
    firmware: tuple[str, ...] = ()


class TrialBoard:
    """A running virtual board with its two transports. `async with` ends it and removes its files.

    Programs are told the local time of `zone`, the machine's if None.
    """

    def __init__(self, kind: BoardKind, board: BoardProfile, zone: tzinfo | None = None) -> None:
        self.kind = kind
        self._zone = zone
        self._board = board
        self._stack = AsyncExitStack()

    control: VirtualBoardTransport
    wasmachine: WasmachineTransport

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="microclaw-try-")))
            process = VirtualBoardProcess(
                name="trial",
                board=self.kind.board_id,
                serial="none",
                control=folder / "control.sock",
                clock=self.kind.clock,
                firmware=self.kind.firmware,
            )
            await stack.enter_async_context(process)
            self.control = process.control
            self.wasmachine = WasmachineTransport(
                process.ready.transports[0], self._board, lock_folder=folder, zone=self._zone
            )
            stack.push_async_callback(self.wasmachine.close)
            self._process = process
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def install(self, call: AppInstall, timeout_s: float) -> None:
        """Through the real protocol of the program's kind. Raises CallRejected and its kinds, DeviceError."""
        if call.kind == "py":
            times = (call.every_ms, call.stop_after_ms)
            await self.control.install_py(call.name, call.code, call.heap_bytes, timeout_s, times)
        else:
            await self.wasmachine.call(call, timeout_s)

    @property
    def running(self) -> bool:
        return self._process.running


class TrialPool:
    """`async with TrialPool(board)` starts a board at once, and the next one a second after a board was used.

    The pause leaves the processor to the deployment that follows a trial. Used boards end in the background; leaving
    the block ends all boards.
    """

    def __init__(self, board: BoardProfile, *, zone: tzinfo | None = None, refill_after_s: float = 1.0) -> None:
        self._board = board
        self._zone = zone
        self._kind = BoardKind(board.board_id)
        self._tasks = asyncio.TaskGroup()
        self._warm: asyncio.Task[TrialBoard | None] | None = None
        self._open = False
        self._refill_after_s = refill_after_s
        self._refill_due: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        self.refill()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        if self._refill_due is not None:
            self._refill_due.cancel()
        if self._warm is not None:
            warm, self._warm = self._warm, None
            if warm.done():
                self._tasks.create_task(_end_when_started(warm), name="end trial board")
            else:
                warm.cancel()
        await self._tasks.__aexit__(exc_type, exc, traceback)

    def refill(self) -> None:
        """Start a board in the background if none is ready."""
        if self._open and self._warm is None:
            self._warm = self._tasks.create_task(self._start(), name="start trial board")

    @asynccontextmanager
    async def take(self, kind: BoardKind, board: BoardProfile) -> AsyncIterator[TrialBoard]:
        """A board for one trial: the ready one if it is of that kind, else a new one."""
        trial_board = await self._take_warm() if kind == self._kind else None
        if trial_board is None:
            async with TrialBoard(kind, board, self._zone) as trial_board:
                yield trial_board
            return
        try:
            yield trial_board
        finally:
            self._tasks.create_task(_end(trial_board), name="end trial board")
            self._refill_due = asyncio.get_running_loop().call_later(self._refill_after_s, self.refill)

    async def _take_warm(self) -> TrialBoard | None:
        if self._warm is None:
            return None
        warm, self._warm = self._warm, None
        try:
            trial_board = await asyncio.shield(warm)
        except asyncio.CancelledError:
            self._tasks.create_task(_end_when_started(warm), name="end trial board")
            raise
        if trial_board is not None and not trial_board.running:
            await _end(trial_board)
            return None
        return trial_board

    async def _start(self) -> TrialBoard | None:
        try:
            return await TrialBoard(self._kind, self._board, self._zone).__aenter__()
        except (MicroclawError, OSError) as exc:
            _log.warning("no trial board in advance: %s", exc)  # a trial then starts its own, or raises
            return None


async def _end(trial_board: TrialBoard) -> None:
    try:
        await trial_board.__aexit__()
    except (MicroclawError, OSError):
        _log.exception("ending a trial board")


async def _end_when_started(warm: asyncio.Task[TrialBoard | None]) -> None:
    trial_board = await warm
    if trial_board is not None:
        await _end(trial_board)
