"""A page of a program over the link. A device makes one page at a time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.method_calls import ask
from microclaw.devices.registry.calls import AppPage, silent_page_error
from microclaw.devices.registry.page_pieces import read_page
from microclaw.errors import DeviceTimeout, Overloaded
from microclaw.wire.link.values import Value


async def ask_page(link: DeviceLink, call: AppPage, timeout_s: float) -> bytes:
    """Send the request, and ask for more until the answer is whole.

    Raises ProgramSilent if the answer is not whole in time, Overloaded if other pages of this device take half of it.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    await _wait_for_turn(link, timeout_s / 2)
    try:
        async with asyncio.timeout_at(deadline):
            return await read_page(call, partial(_ask_piece, link), deadline, link.endpoint)
    except (TimeoutError, DeviceTimeout) as exc:
        raise silent_page_error(call.name) from exc
    finally:
        link.page_turn.release()


async def _ask_piece(link: DeviceLink, params: dict[str, Any], timeout_s: float) -> Value:
    return await ask(link, AppPage.method, params, idempotent=True, timeout_s=timeout_s)


async def _wait_for_turn(link: DeviceLink, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await link.page_turn.acquire()
    except TimeoutError as exc:
        text = f"{link.name} makes one page at a time: no turn came within {timeout_s:g} s"
        raise Overloaded(text, next_step="try again in a moment") from exc
