"""Puts a program on a device over the link: begin, write in pieces, commit; resumed by offset, checked by hash."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from microclaw.devices.calls import AppInstall
from microclaw.errors import DeviceTimeout, ProtocolError
from microclaw.link_server.values import Asked, ask
from microclaw.wire.link.messages import Value

CHUNK_BYTES: Final = 4096
MAX_RESUMES: Final = 4
_PIECE_S: Final = 5.0


async def install(link: Asked, call: AppInstall, timeout_s: float) -> None:
    """Upload and start it; it comes back by itself after a power cut. Raises DeployRejected, DeviceError.

    After OutcomeUnknown the device may or may not have it: `apps.list` tells.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    for attempt in range(MAX_RESUMES + 1):
        try:
            await _upload(link, call, deadline)
            break
        except DeviceTimeout:
            # A piece or its answer was lost with a connection: begin again tells where to go on.
            if attempt == MAX_RESUMES or loop.time() >= deadline:
                raise
    left_s = deadline - loop.time()
    await ask(link, "apps.commit", {}, idempotent=False, timeout_s=max(left_s, 0.001))


async def _upload(link: Asked, call: AppInstall, deadline: float) -> None:
    wasm = call.wasm
    begin: dict[str, Value] = {
        "name": call.name,
        "kind": "wasm",
        "size": len(wasm),
        "sha256": hashlib.sha256(wasm).digest(),
        "heap": call.heap_bytes,
        "autostart": True,
    }
    left_s = _left_s(deadline)
    offset = _offset(link, await ask(link, "apps.begin", begin, idempotent=True, timeout_s=left_s), 0, len(wasm))
    while offset < len(wasm):
        piece: dict[str, Value] = {"offset": offset, "data": wasm[offset : offset + CHUNK_BYTES]}
        limit_s = min(_left_s(deadline), _PIECE_S)
        answer = await ask(link, "apps.write", piece, idempotent=True, timeout_s=limit_s)
        offset = _offset(link, answer, offset + 1, len(wasm))


def _offset(link: Asked, value: Value, least: int, most: int) -> int:
    offset = value.get("offset") if isinstance(value, dict) else value
    if type(offset) is not int or not least <= offset <= most:
        raise ProtocolError(
            f"{link.endpoint} answered an upload with the offset {offset!r:.40}, expected {least} to {most}",
            next_step="restart the device, then deploy again",
        )
    return offset


def _left_s(deadline: float) -> float:
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise DeviceTimeout("the upload took too long; nothing was started", next_step="try again")
    return left_s
