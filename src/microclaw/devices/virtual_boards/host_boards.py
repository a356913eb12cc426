"""The virtual boards of one host: starts each as a process, and again when it ends. It sends them nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from microclaw.clock import now_ms
from microclaw.conversion import decode_json
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.process import BoardReady, VirtualBoardProcess
from microclaw.durable import replace_file
from microclaw.errors import ConfigError, DeviceUnreachable, MicroclawError, UnknownName
from microclaw.hardware.parts.wiring import Wiring, wiring_tables, with_boot_button
from microclaw.supervision import SupervisedTasks
from microclaw.text import count_text, moment_text
from microclaw.wire.board_control import Wire

BOARD: Final = "virtual"
FIRST_RETRY_S: Final = 0.5
_log = logging.getLogger(__name__)


class _Board(Struct):
    name: str
    process: VirtualBoardProcess
    device_id: str


class VirtualBoards:
    """`async with boards.running(2) as ready`: inside, virtual-1 and virtual-2 are devices of the host; in a cluster
    each host's have its name before: `prefix`. The file `ids` keeps which devices they are, also under other names.

    `put_back` is called with a device's id when its board was started again, without programs. The pause before that
    begins with `first_retry_s` and doubles (supervision.py).
    """

    def __init__(
        self,
        devices: Registry,
        put_back: Callable[[str], Awaitable[object]],
        *,
        ids: Path,
        prefix: str = "",
        first_retry_s: float = FIRST_RETRY_S,
        process: Callable[[str], VirtualBoardProcess] = lambda name: VirtualBoardProcess(name=name, board=BOARD),
    ) -> None:
        self._devices = devices
        self._put_back = put_back
        self._ids = ids
        self._first_retry_s = first_retry_s
        self._prefix = prefix
        self._process = process
        self._boards: list[_Board] = []
        self._tasks: SupervisedTasks | None = None

    def standing(self) -> Mapping[str, str | None]:
        """The text that a person should know of each board's process, by its device's id; None: it runs."""
        states = () if self._tasks is None else self._tasks.started()
        found: dict[str, str | None] = {}
        for board, state in zip(self._boards, states, strict=False):
            text: str | None = None
            if state.failures and board.process.running:
                text = f"ended {count_text(state.failures, 'time')}, last {moment_text(state.failed_ms or 0)}"
            elif state.failures:
                text = f"is being started again ({state.reason})"
            found[board.device_id] = text
        return found

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
                process = self._process(name)
                ready = await process.start()
                board = _Board(name, process, "")
                self._boards.append(board)
                device = await self._register(name, ready, {*ids.values()})
                ids[first_name] = board.device_id = device.device_id
                await self._wire(device)
            if self._boards:
                with suppress(OSError):  # a board that is renamed is another device at the next start then
                    await asyncio.to_thread(replace_file, self._ids, msgspec.json.encode(ids))
            self._devices.wiring_watchers.append(self._rewire)
            async with asyncio.TaskGroup() as group:
                self._tasks = SupervisedTasks(group, now_ms=now_ms)
                for number, board in enumerate(self._boards, 1):  # two may have one name
                    self._tasks.start(
                        f"{number} {board.name}", partial(self._watch, board), first_retry_s=self._first_retry_s
                    )
                try:
                    yield self.ready
                finally:
                    await self._tasks.stop()
        finally:
            for board in self._boards:
                await board.process.stop()
            self._boards = []
            self._tasks = None

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
        """Start it again unless it runs, and raise when it ends. Returns when its device was removed."""
        if not board.process.running:
            try:
                await self._start_again(board)
            except UnknownName:
                _log.info("%s is no device of this host any more: it stays off", board.name)
                return
            try:
                await self._put_back(board.device_id)
            except Exception:  # the board runs, whatever is wrong with its programs; the reconciler does it later
                _log.exception("putting the programs of %s back", board.name)
        raise DeviceUnreachable(f"it ended: {await board.process.ended()}", next_step="look into the host's log")

    async def _start_again(self, board: _Board) -> None:
        """Start a new process for the board. UnknownName when its device was removed."""
        await board.process.stop()
        self._devices.get(board.device_id)
        board.process = self._process(board.name)
        ready = await board.process.start()
        try:
            device = await self._devices.set_transports(board.device_id, ready.transports)
            await self._wire(device)
        except BaseException:
            await board.process.stop()
            raise

    async def _rewire(self, device: Device, _: Wiring) -> None:
        await self._wire(device)

    async def _wire(self, device: Device) -> None:
        """Give the board of a device the parts that are recorded for it; a board of somebody else gets none."""
        for board in self._boards:
            if device.device_id != board.device_id or not board.process.running:
                continue
            wiring = with_boot_button(device.wiring, device.board)
            try:
                await board.process.control.request(Wire(wiring_tables(wiring)))
            except MicroclawError as exc:
                # The board itself works, and its programs find nothing wired.
                _log.warning("%s was not given its wiring: %s", device.name, exc.message)


def _read_ids(file: Path) -> dict[str, str]:
    """The ids of boards' devices by the boards' first names; none where nobody wrote them, or somebody else did."""
    try:
        return decode_json(file.read_bytes(), dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
