"""/v1/backup: the home as one archive, for the command line of this machine, which encrypts it. It writes no file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Final, TypeAlias

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from microclaw.api.caller import RequestCaller, check_local_owner
from microclaw.auth.gate import Gate

MEDIA_TYPE: Final = "application/x-tar"
ReadHome: TypeAlias = Callable[[], AbstractContextManager[Iterator[bytes]]]
"""The home's archive inside a block."""


def backup_router(gate: Gate, read_home: ReadHome) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.post("/v1/backup", summary="The home as a tar archive, for the owner on this machine", response_model=None)
    async def backup(by: RequestCaller) -> StreamingResponse:
        check_local_owner(gate, by, "read the whole home")
        stack = ExitStack()
        chunks = await asyncio.to_thread(stack.enter_context, read_home())
        return StreamingResponse(_sent(chunks, stack), media_type=MEDIA_TYPE)

    return router


async def _sent(chunks: Iterator[bytes], stack: ExitStack) -> AsyncIterator[bytes]:
    """The bytes, read in a thread. An error cuts the answer off, which its reader sees; the log has the reason."""
    try:
        while (data := await asyncio.to_thread(next, chunks, None)) is not None:
            yield data
    finally:
        await asyncio.shield(asyncio.to_thread(stack.close))
