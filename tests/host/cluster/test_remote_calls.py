"""A device that is connected to one host, or is on a port of its machine, is called from another over HTTPS."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import WholeHost, paired, whole_host
from tests.host.store.two_hosts import until

from microclaw.devices.registry.calls import AppInstall, AppUninstall, DeviceRestart, GpioGet, GpioSet, PinLevel
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import AppNotFound, ConfigError, DeviceUnreachable, OutcomeUnknown
from microclaw.host.operations.connection import HostError
from microclaw.programs.changes.change_log import SetLevel
from microclaw.wire.link.messages import Call, ErrorInfo, Event, Notify, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONSOLE = "console:/dev/nothing-is-here"


async def test_a_device_of_another_host_is_called(east: WholeHost, west: WholeHost, lamp: ScriptedDevice) -> None:
    wasm = secrets.token_bytes(1_500_000)
    flash = bytearray()

    def answer(call: Call) -> Result:
        if call.method == "apps.remove":
            return Result(ok=False, error=ErrorInfo("app_not_found", "no app x"))
        if call.method == "apps.write":
            data = call.params["data"]
            assert isinstance(data, bytes)
            flash.extend(data)
        return Result(ok=True, value={"offset": len(flash), "pin": 4, "level": call.params.get("level", 0)})

    got: list[Call] = []
    lamp.answer = lambda call: got.append(call)
    device = west.device()
    async with lamp.connected():
        await until(west.online)
        first = asyncio.create_task(device.call(GpioSet(4, 1), timeout_s=60))
        envelope = await lamp.next_envelope(Call)
        second = asyncio.create_task(east.device().call(GpioSet(4, 0), timeout_s=60))
        lamp.answer = answer
        await asyncio.wait([second], timeout=0.2)
        assert (len(got), second.done()) == (1, False), "calls of two hosts are one after another"
        await lamp.send(Result(ok=True, value={"pin": 4, "level": 1}), re=envelope.id)
        assert (await first, await second) == (PinLevel(4, 1), PinLevel(4, 0))
        await device.call(AppInstall("blink", wasm), timeout_s=60)
        assert bytes(flash) == wasm
        with pytest.raises(AppNotFound, match=r"did not remove the program: no app x") as caught:
            await device.call(AppUninstall("x"), timeout_s=60)
        assert caught.value.foreign
    await until(lambda: not west.online())
    with pytest.raises(DeviceUnreachable):
        await device.call(GpioGet(4), wait=False)
    waiting = asyncio.create_task(device.call(SetLevel(4, 1), timeout_s=60))  # as an undo calls it
    async with lamp.connected():
        assert await waiting == PinLevel(4, 1), "it came back, to the other host"


LOST: tuple[tuple[Any, str], ...] = (
    (GpioSet(4, 1), "it goes elsewhere"),
    (AppUninstall("x"), "it goes elsewhere"),
    (AppUninstall("x"), "its host is cut off"),
    (GpioSet(4, 1), "its host stops"),
)


async def test_a_device_that_its_host_loses_in_mid_call(
    east: WholeHost, west: WholeHost, shared_url: str, tmp_path: Path
) -> None:
    """Calls that may be done twice are done where the device is then, of the others the outcome is unknown."""
    for number, (call, how) in enumerate(LOST):
        async with AsyncExitStack() as stack:
            host = west
            name = f"lamp-{number}"
            if how == "its host stops":
                host = await stack.enter_async_context(whole_host(shared_url, tmp_path / "south", like=east.home))
                await host.sees("east", "west")
            lamp = await paired(host, name)
            lamp.answer = lambda call: None
            async with lamp.connected():
                await until(partial(east.knows, name))
                waiting = asyncio.create_task(east.device(name).call(call, timeout_s=60))
                while (await lamp.next(Call)).method != call.method:
                    pass
                if how == "its host is cut off":
                    west.way.cut()
                    await east.sees()
                await stack.aclose()
                moved = ScriptedDevice(east.link, lamp.ca, token=lamp.token, boot_id=lamp.boot_id)
                asked = list[str]()

                def answer(one: Call, asked: list[str] = asked) -> Result:
                    asked.append(one.method)
                    return Result(ok=True, value=dict(one.params))

                moved.answer = answer
                async with moved.connected():
                    await moved.until_ready()
                    if isinstance(call, GpioSet):
                        assert await waiting == PinLevel(4, 1), how
                    else:
                        with pytest.raises(OutcomeUnknown):
                            await waiting
                        assert call.method not in asked
                    if how == "its host is cut off":
                        west.way.mend()
                        await west.sees("east")
                    if host is west:
                        assert await lamp.until_closed() == 4409, "the newer connection wins"


async def test_a_board_on_a_port_is_called_by_its_host_alone(east: WholeHost, west: WholeHost) -> None:
    async with VirtualBoardProcess() as board:
        await west.host.devices.add("desk", "virtual", board.ready.transports)
        await until(lambda: "desk" in [one.name for one in east.host.devices.list()])
        device = east.device("desk")
        assert (device.host, device.kinds) == ("west", ("wasm", "py"))
        assert await device.call(GpioGet(4)) == PinLevel(4, 0)
        with pytest.raises(ConfigError):  # one board has one cable
            await east.host.devices.set_transports("desk", [*device.endpoints, CONSOLE])
        west.way.cut()
        await east.sees()
        with pytest.raises(DeviceUnreachable, match="host west"):
            await device.call(GpioGet(4))
        west.way.mend()
        await west.sees("east")
        await east.sees("west")


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_board_that_comes_back_to_another_host_tells_by_its_uptime_whether_it_restarted(
    west: WholeHost, lamp: ScriptedDevice, restarted: bool
) -> None:
    lamp.capabilities = (*lamp.capabilities, "device.status")
    lamp.answer = lambda call: Result(ok=True, value={"uptime_ms": 1 if restarted else 86_400_000})
    async with lamp.connected():
        await until(lambda: west.online() and west.device().supports("device.status"))
        waiting = asyncio.create_task(west.device().call(DeviceRestart()))
        while (await lamp.next(Call)).method != "device.restart":
            pass
    lamp.address, lamp.boot_id = west.link, secrets.token_bytes(16)
    async with lamp.connected():
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(outcome, OutcomeUnknown) is not restarted


async def test_a_device_stays_connected_while_its_host_has_no_database(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice
) -> None:
    async with lamp.connected():
        await until(west.online)
        # What the connection itself stores is written before this event is acknowledged.
        await lamp.send(Event("tick", {"n": 0}))
        await until(lambda: not lamp.outbox.rows)
        east.way.cut()
        await east.until("/v1/cluster", lambda facts: not facts["cluster"]["member"])
        assert await east.device().call(GpioSet(4, 1), timeout_s=60)
        with pytest.raises(HostError):
            await east.ask("/v1/devices/lamp/notify", {"text": "tea is ready"})
        await lamp.send(Event("tick", {"n": 1}))
        await asyncio.sleep(0.5)
        assert lamp.outbox.rows, "nothing is acked that is not written"
        east.way.mend()
        await until(lambda: not lamp.outbox.rows)
        await east.ask("/v1/devices/lamp/notify", {"text": "tea is cold"})
        assert (await lamp.next(Notify)).text == "tea is cold"
        assert lamp.closed is None
