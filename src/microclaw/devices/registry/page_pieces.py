"""A page of a program from a board of ours: one HTTP request, and its answer in pieces (protocols/link-methods.md)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from msgspec import Struct

from microclaw.conversion import convert
from microclaw.devices.registry.calls import MAX_PAGE_BYTES, AppPage
from microclaw.errors import ProtocolError

AskPiece: TypeAlias = Callable[[dict[str, Any], float], Awaitable[object]]
"""Calls `apps.page` with these parameters, and waits so many seconds for its answer."""


class _Piece(Struct):
    answer: bytes
    more: bool
    cursor: int


async def read_page(call: AppPage, ask_piece: AskPiece, deadline: float, endpoint: str) -> bytes:
    """Ask for pieces until the answer is whole. `deadline` is a time of the loop's clock.

    Each piece may be asked for twice: the board knows the request by its number. Raises ProtocolError for a piece that
    is none.
    """
    now_s = asyncio.get_running_loop().time
    params: dict[str, Any] = {"name": call.name, "number": secrets.randbits(30), "cursor": 0, "request": call.request}
    answer = b""
    while True:
        value = await ask_piece(params, deadline - now_s())
        try:
            piece = convert(value, _Piece)
        except ValueError as exc:
            raise ProtocolError(f"{endpoint} answered {call.method} with an invalid value: {exc}") from exc
        answer += piece.answer
        if not piece.more:
            return answer
        if piece.cursor != len(answer) or len(answer) > MAX_PAGE_BYTES:
            raise ProtocolError(f"{endpoint} answered {call.method} with the cursor {piece.cursor}")
        params.pop("request", None)
        params["cursor"] = len(answer)
