"""A virtual board for a host that has no device at all, as long as this process lasts. It drives nothing."""

from __future__ import annotations

import logging
from typing import Any, Final

from microclaw.errors import MicroclawError
from microclaw.mcp.bridge import HostBridge, segment
from microclaw.virtual_boards.process import VirtualBoardProcess

NAME: Final = "virtual-1"
BOARD: Final = "virtual"
_log = logging.getLogger(__name__)


class LentBoard:
    """`async with LentBoard(bridge) as board: await board.lend(devices)`; leaving takes it back and closes `bridge`.

    The bridge is its own, without an `attach`: taking a board back starts no host.
    """

    def __init__(self, bridge: HostBridge) -> None:
        self._bridge = bridge
        self._process: VirtualBoardProcess | None = None

    async def __aenter__(self) -> LentBoard:
        return self

    async def __aexit__(self, *_: Any) -> None:
        async with self._bridge:
            if self._process is None:
                return
            try:
                await self._bridge.delete(f"/v1/devices/{segment(NAME)}")
            except MicroclawError as exc:  # the host has gone, or somebody removed it: the board ends all the same
                _log.warning("%s was not taken out of the host's list: %s", NAME, exc.message)
            finally:
                await self._process.stop()

    async def lend(self, devices: list[dict[str, Any]]) -> None:
        """Add one where the host has none, or only one that a client lent and left behind when it was killed."""
        left_behind = [device for device in devices if device["name"] == NAME and device["reachable"] is False]
        if self._process is not None or len(left_behind) < len(devices):
            return
        process = VirtualBoardProcess(name=NAME, board=BOARD)
        ready = await process.start()
        try:
            if left_behind:
                await self._bridge.delete(f"/v1/devices/{segment(NAME)}")
            body = {"name": NAME, "board": BOARD, "transports": list(ready.transports)}
            await self._bridge.post("/v1/devices", body)
        except MicroclawError as exc:
            _log.warning("no board was lent: %s", exc.message)  # another client was first
            await process.stop()
            return
        except BaseException:
            await process.stop()
            raise
        self._process = process
