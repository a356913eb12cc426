"""Requests for programs' pages over a real link: one at a time, and who waits is not taken for silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted

from microclaw.devices.registry.calls import AppPage
from microclaw.errors import MicroclawError, Overloaded, ProgramSilent
from microclaw.wire.link.messages import Call, Result

__all__ = ["device", "limits", "paired", "plane", "scripted"]


async def test_a_silent_program_leaves_the_page_of_another_one_unasked_and_not_silent(
    paired: ScriptedDevice, plane: Plane
) -> None:
    asked = asyncio.Queue[str]()

    def answer(call: Call) -> Result | None:
        if call.method != "apps.page":
            return Result(ok=True, value={})
        asked.put_nowait(str(call.params["name"]))
        return None

    paired.answer = answer
    paired.capabilities += (AppPage.method,)
    async with paired.online(), asyncio.TaskGroup() as group:
        lamp = plane.registry.get("lamp")
        silent = group.create_task(_error_of(lamp.call(AppPage("silent", b"GET / HTTP/1.1\r\n\r\n"), 1.0)))
        assert await asked.get() == "silent"
        waiting = group.create_task(_error_of(lamp.call(AppPage("other", b"GET / HTTP/1.1\r\n\r\n"), 0.2)))
        assert isinstance(await waiting, Overloaded)
        assert asked.empty()
        assert isinstance(await silent, ProgramSilent)


async def _error_of(asking: Awaitable[bytes]) -> MicroclawError:
    with pytest.raises(MicroclawError) as caught:
        await asking
    return caught.value
