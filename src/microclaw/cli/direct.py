"""Calls a board by its address, without a host: one face, one call, closed again."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from microclaw.errors import NotSupported

CALL_TIMEOUT_S = 15.0
_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$")
_PREFIXES = ("wasmachine://", "serial:", "virtual:")


def is_address(target: str) -> bool:
    """Whether a target names an address instead of a device: HOST:PORT or a face's full form."""
    return target.startswith(_PREFIXES) or _HOST_PORT.match(target) is not None


def call_directly(target: str, board_id: str, method: str, values: dict[str, Any]) -> Any:
    """Do it and return the answer as JSON values. Raises DeviceError and its kinds."""
    from microclaw.web.calls import call_from, result_value

    face_id = target if target.startswith(_PREFIXES) else f"wasmachine://{target}"
    return result_value(asyncio.run(_call(face_id, board_id, call_from(method, values))))


async def _call(face_id: str, board_id: str, call: Any) -> Any:
    from microclaw.boards import load_board
    from microclaw.devices.checks import check_call
    from microclaw.faces.open import open_face

    board = load_board(board_id)
    face = open_face(face_id, board)
    try:
        if call.method not in face.capabilities:
            offered = ", ".join(sorted(face.capabilities))
            raise NotSupported(f"{face_id} does not offer {call.method}", next_step=f"it offers {offered}")
        check_call(board, call)
        return await face.call(call, CALL_TIMEOUT_S)
    finally:
        await face.close()
