"""A page of a program over the link: one HTTP request, and its answer in pieces (docs/protocols/link-methods.md)."""

from __future__ import annotations

import asyncio
import secrets

from msgspec import Struct, convert

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.method_calls import ask
from microclaw.devices.registry.calls import MAX_PAGE_BYTES, AppPage, silent_page_error
from microclaw.errors import DeviceTimeout, Overloaded, ProtocolError
from microclaw.wire.link.values import Value


class _Piece(Struct):
    answer: bytes
    more: bool
    cursor: int


async def ask_page(link: DeviceLink, call: AppPage, timeout_s: float) -> bytes:
    """Send the request, and ask for more until the answer is whole.

    Raises ProgramSilent if the answer is not whole in time, Overloaded if other pages of this device take half of it.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    await _wait_for_turn(link, timeout_s / 2)
    try:
        async with asyncio.timeout_at(deadline):
            return await _read_page(link, call, deadline)
    except (TimeoutError, DeviceTimeout) as exc:
        raise silent_page_error(call.name) from exc
    finally:
        link.page_turn.release()


async def _wait_for_turn(link: DeviceLink, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await link.page_turn.acquire()
    except TimeoutError as exc:
        text = f"{link.name} makes one page at a time: no turn came within {timeout_s:g} s"
        raise Overloaded(text, next_step="try again in a moment") from exc


async def _read_page(link: DeviceLink, call: AppPage, deadline: float) -> bytes:
    """Ask for pieces. Each call may come twice: the board knows the request by its number."""
    now_s = asyncio.get_running_loop().time
    params: dict[str, Value] = {"name": call.name, "number": secrets.randbits(30), "cursor": 0, "request": call.request}
    answer = b""
    while True:
        value = await ask(link, call.method, params, idempotent=True, timeout_s=deadline - now_s())
        try:
            piece = convert(value, _Piece)
        except ValueError as exc:
            raise ProtocolError(f"{link.endpoint} answered {call.method} with an invalid value: {exc}") from exc
        answer += piece.answer
        if not piece.more:
            return answer
        if piece.cursor != len(answer) or len(answer) > MAX_PAGE_BYTES:
            raise ProtocolError(f"{link.endpoint} answered {call.method} with the cursor {piece.cursor}")
        params.pop("request", None)
        params["cursor"] = len(answer)
