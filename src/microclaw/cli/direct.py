"""Calls a board by its address, without a host: one transport, one call, closed again."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from microclaw.errors import NotSupported

CALL_TIMEOUT_S = 15.0
_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$")
_PREFIXES = ("wasmachine://", "serial:", "virtual:")


def is_address(target: str) -> bool:
    """Whether a target names an address instead of a device: HOST:PORT or a transport's full form."""
    return target.startswith(_PREFIXES) or _HOST_PORT.match(target) is not None


def call_directly(target: str, board_id: str, method: str, values: dict[str, Any]) -> Any:
    """Do it and return the answer as JSON values. Raises DeviceError and its kinds."""
    from microclaw.devices.call_text import call_from, result_value

    endpoint = target if target.startswith(_PREFIXES) else f"wasmachine://{target}"
    return result_value(asyncio.run(_call(endpoint, board_id, call_from(method, values))))


async def _call(endpoint: str, board_id: str, call: Any) -> Any:
    from microclaw.boards import load_board
    from microclaw.devices.device import check_call
    from microclaw.transports.open import open_transport

    board = load_board(board_id)
    transport = open_transport(endpoint, board)
    try:
        if call.method not in transport.capabilities:
            offered = ", ".join(sorted(transport.capabilities))
            raise NotSupported(f"{endpoint} does not offer {call.method}", next_step=f"it offers {offered}")
        check_call(board, call)
        return await transport.call(call, CALL_TIMEOUT_S)
    finally:
        await transport.close()
