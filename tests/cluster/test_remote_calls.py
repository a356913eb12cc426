"""A device that is connected to one host is called from another, over HTTPS between them."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.cluster.two_hosts import ClusterHost, Fleet, link_id_of, moved_to, sees_lamp_elsewhere, told
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.cluster import remote_calls
from microclaw.devices.calls import (
    AppInstall,
    AppUninstall,
    DeviceRestart,
    GpioGet,
    GpioSet,
    PinLevel,
)
from microclaw.errors import (
    AppNotFound,
    DeviceTimeout,
    DeviceUnreachable,
    InvalidModule,
    OutcomeUnknown,
    Overloaded,
)
from microclaw.wire.link.messages import Call, ErrorInfo, Result


async def test_a_device_of_another_host_is_called(east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice) -> None:
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        device = west.device("lamp")
        assert device.transports[0].online  # type: ignore[attr-defined]
        assert await device.call(GpioSet(4, 1), timeout_s=60) == PinLevel(4, 1)
        assert await device.call(GpioSet(4, 0), wait=False) == PinLevel(4, 0)
    await until(lambda: not device.transports[0].online)  # type: ignore[attr-defined]
    with pytest.raises(DeviceUnreachable):
        await device.call(GpioGet(4), wait=False)


async def test_a_program_is_installed_from_another_host(west: ClusterHost, lamp: ScriptedDevice) -> None:
    wasm, flash = secrets.token_bytes(1_500_000), bytearray()

    def answer(call: Call) -> Result:
        if call.method == "apps.write":
            data = call.params["data"]
            assert isinstance(data, bytes)
            flash.extend(data)
        return Result(ok=True, value={"offset": len(flash)})

    lamp.answer = answer
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        await west.device("lamp").call(AppInstall("blink", wasm), timeout_s=60)
    assert bytes(flash) == wasm


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_board_that_comes_back_to_another_host_tells_by_its_uptime_whether_it_restarted(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice, restarted: bool
) -> None:
    lamp.capabilities = (*lamp.capabilities, "device.status")
    lamp.answer = lambda call: Result(ok=True, value={"uptime_ms": 1 if restarted else 86_400_000})
    async with lamp.connected():
        await lamp.until_ready()
        await until(lambda: west.device("lamp").supports("device.status"))
        waiting = asyncio.create_task(west.device("lamp").call(DeviceRestart()))
        await lamp.next(Call)
    lamp.address, lamp.boot_id = west.plane.plane.address, secrets.token_bytes(16)
    async with lamp.connected():
        if restarted:
            assert 0 <= (await waiting).seconds < 45
        else:
            with pytest.raises(OutcomeUnknown):
                await waiting


@pytest.mark.parametrize(
    ("code", "error"), [("app_not_found", AppNotFound), ("invalid_module", InvalidModule), ("expired", DeviceTimeout)]
)
async def test_a_devices_error_is_the_same_class_at_another_host(
    west: ClusterHost, lamp: ScriptedDevice, code: str, error: type[Exception]
) -> None:
    lamp.answer = lambda call: Result(ok=False, error=ErrorInfo(code, "no app x"))
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        with pytest.raises(error, match=r"apps\.remove: no app x") as caught:
            await west.device("lamp").call(AppUninstall("x"), timeout_s=60)
        assert type(caught.value) is error
        assert caught.value.foreign  # type: ignore[attr-defined]


async def test_a_call_waits_for_a_device_that_comes_to_another_host(west: ClusterHost, lamp: ScriptedDevice) -> None:
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
    await until(lambda: not west.link(link_id_of(west)).anywhere)
    waiting = asyncio.create_task(west.device("lamp").call(GpioSet(4, 1), timeout_s=60))
    async with lamp.connected():
        assert await waiting == PinLevel(4, 1)


async def test_calls_of_two_hosts_to_one_board_are_one_after_another(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    got: list[Call] = []
    lamp.answer = lambda call: got.append(call)
    async with lamp.connected(), asyncio.TaskGroup() as tasks:
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        first = tasks.create_task(west.device("lamp").call(GpioSet(4, 1), timeout_s=60))
        envelope = await lamp.next_envelope(Call)
        second = tasks.create_task(east.device("lamp").call(GpioSet(4, 0), timeout_s=60))
        lamp.answer = lambda call: Result(ok=True, value=dict(call.params))
        await asyncio.wait([second], timeout=0.2)
        assert (len(got), second.done()) == (1, False)
        await lamp.send(Result(ok=True, value={"pin": 4, "level": 1}), re=envelope.id)
        assert (await first, await second) == (PinLevel(4, 1), PinLevel(4, 0))


@pytest.mark.parametrize("call", [GpioSet(4, 1), AppUninstall("x")])
async def test_a_device_that_changes_hosts_in_mid_call(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice, fleet: Fleet, call: Any
) -> None:
    """From a third host: what may be done twice is done at the new one, of the other the outcome is unknown."""
    lamp.answer = lambda call: None
    async with fleet.host("north") as north, lamp.connected():
        await north.sees(east, west)
        await lamp.until_ready()
        await sees_lamp_elsewhere(north)
        waiting = asyncio.create_task(north.device("lamp").call(call, timeout_s=60))
        await lamp.next(Call)
        await done_once(moved_to(west, lamp), call, waiting)
        assert await lamp.until_closed() == 4409


async def done_once(moved: ScriptedDevice, call: Any, waiting: asyncio.Task[Any]) -> None:
    async with moved.connected():
        if isinstance(call, GpioSet):
            assert await waiting == PinLevel(4, 1)
        else:
            with pytest.raises(OutcomeUnknown):
                await waiting
            assert moved.got.empty()


@pytest.mark.parametrize("call", [GpioSet(4, 1), AppUninstall("x")])
async def test_a_host_that_dies_in_mid_call(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice, call: Any
) -> None:
    """It is cut off in the middle, and its lease ends; the device comes to another host."""
    lamp.answer = lambda call: None
    lamp.address = west.plane.plane.address
    async with lamp.connected():
        await told(lamp, 0)
        await sees_lamp_elsewhere(east)
        waiting = asyncio.create_task(east.device("lamp").call(call, timeout_s=60))
        await lamp.next(Call)
        west.wire.cut()
        await until(lambda: not east.hosts.is_live(west.host_id))
        await done_once(moved_to(east, lamp), call, waiting)
        await west.wire.mend()
        assert await lamp.until_closed() == 4409, "it hears of the newer connection when it is back"


async def test_a_host_with_as_many_requests_as_it_serves_refuses_more(
    lamp: ScriptedDevice, east: ClusterHost, west: ClusterHost, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_calls, "MAX_RUNNING", 1)
    lamp.answer = lambda call: None
    async with fleet.host("north") as north:
        await north.sees(west, east)
        lamp.address = west.plane.plane.address
        async with lamp.connected():
            await lamp.until_ready()
            await sees_lamp_elsewhere(east)
            await sees_lamp_elsewhere(north)
            first = asyncio.create_task(east.device("lamp").call(GpioSet(4, 1), timeout_s=60))
            envelope = await lamp.next_envelope(Call)
            with pytest.raises(Overloaded):
                await north.device("lamp").call(GpioGet(4), timeout_s=60)
            await lamp.send(Result(ok=True, value={"pin": 4, "level": 1}), re=envelope.id)
            assert await first == PinLevel(4, 1)


async def test_a_host_that_ends_tells_who_asked(lamp: ScriptedDevice, east: ClusterHost, fleet: Fleet) -> None:
    lamp.answer = lambda call: None
    async with AsyncExitStack() as stack:
        west = await stack.enter_async_context(fleet.host("west"))
        await west.sees(east)
        lamp.address = west.plane.plane.address
        async with lamp.connected():
            await lamp.until_ready()
            await sees_lamp_elsewhere(east)
            waiting = asyncio.create_task(east.device("lamp").call(AppUninstall("x"), timeout_s=60))
            await lamp.next(Call)
            await stack.aclose()
            with pytest.raises(OutcomeUnknown):
                await waiting
