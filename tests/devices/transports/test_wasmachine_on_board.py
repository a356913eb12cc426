"""The WASMachine transport on a virtual board in its stock mode: real parser, real apps, real cuts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.devices.transports.conftest import PATIENT, of_board

from microclaw.devices.registry.calls import AppEntry, AppInstall, AppList, AppPage, AppRequest, AppUninstall, Call
from microclaw.devices.registry.device import Device
from microclaw.devices.transports.address import AddressLock
from microclaw.devices.transports.installs import InstallMark, InterruptedInstall
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.transports.wasmachine_connection import Timeouts
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import (
    AppExists,
    AppNotFound,
    DeviceSilent,
    DeviceTimeout,
    InstallInterrupted,
    InvalidModule,
    TooManyApps,
)
from microclaw.hardware.boards import load_board
from microclaw.host.store.devices import DeviceRow
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module
from microclaw.wire import board_control as wire
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import WasmachineRequest, install_request

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "wasmachine.json").read_text())["cases"]
ECHO = WasmachineRequest.decode(
    bytes.fromhex(next(c for c in CASES if c["case"] == "install with heap, timers, watchdog")["to_device"])[8:]
).body
LIMIT_S = 60.0


async def test_app_is_installed_asked_listed_and_removed(transport: WasmachineTransport) -> None:
    assert await transport.call(AppList(), LIMIT_S) == ()
    await transport.call(AppInstall("echo", ECHO, heap_bytes=16384), LIMIT_S)
    assert await transport.call(AppList(), LIMIT_S) == (AppEntry("echo", 16384),)
    reply = await transport.call(AppRequest("echo", "/echo", {}), LIMIT_S)
    assert reply.status == 69
    assert reply.values["reply"] == "pong"
    await transport.call(AppUninstall("echo"), LIMIT_S)
    assert await transport.call(AppList(), LIMIT_S) == ()


async def test_each_wrong_order_has_its_own_error(transport: WasmachineTransport) -> None:
    for name in ("a", "b", "c"):
        await transport.call(AppInstall(name, ECHO), LIMIT_S)
    with pytest.raises(TooManyApps):
        await transport.call(AppInstall("d", ECHO), LIMIT_S)
    await transport.call(AppUninstall("c"), LIMIT_S)
    with pytest.raises(AppExists):
        await transport.call(AppInstall("a", ECHO), LIMIT_S)
    with pytest.raises(AppNotFound):
        await transport.call(AppUninstall("c"), LIMIT_S)
    with pytest.raises(AppNotFound):
        await transport.call(AppRequest("c", "/x", {}), LIMIT_S)
    with pytest.raises(InvalidModule):
        await transport.call(AppInstall("e", ECHO[:8] + b"\x0a\x03\x01\x01\xff"), LIMIT_S)
    assert {app.name for app in await transport.call(AppList(), LIMIT_S)} == {"a", "b"}


def marks(folder: Path) -> list[Path]:
    return list(folder.glob("*.install"))


@pytest.mark.parametrize("sent_bytes", [600, 10**9])
async def test_a_new_process_clears_what_one_that_died_left_half_sent(
    sent_bytes: int, board: VirtualBoardProcess, transport: WasmachineTransport, tmp_path: Path
) -> None:
    endpoint = board.ready.transports[0]
    frame = encode_frame(MessageType.INSTALL, install_request(7, "echo", ECHO, heap_bytes=8192).encode())
    if sent_bytes < len(frame):
        transport.timeouts = replace(PATIENT, first_query_s=1.0)  # nothing comes before it is padded
    InstallMark(AddressLock(tmp_path, endpoint)).write(InterruptedInstall("echo", len(frame)))
    host, _, port = endpoint.removeprefix("wasmachine://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(frame[:sent_bytes])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    listed = [app.name for app in await transport.call(AppList(), LIMIT_S)]
    assert listed == (["echo"] if sent_bytes > len(frame) else [])  # a whole one stays, half a one never does
    assert marks(tmp_path) == []
    await transport.call(AppInstall("second", ECHO), LIMIT_S)
    assert "second" in [app.name for app in await transport.call(AppList(), LIMIT_S)]


async def test_an_install_cut_anywhere_leaves_no_corrupt_app_and_a_working_device(
    transport: WasmachineTransport, board: VirtualBoardProcess
) -> None:
    await transport.call(AppInstall("other", ECHO), LIMIT_S)
    for after_bytes in (1, 8, 600):
        await board.control.request(wire.Fault("cut", 1, after_bytes))
        with pytest.raises(InstallInterrupted) as caught:
            await transport.call(AppInstall("echo", ECHO), LIMIT_S)
        assert caught.value.outcome == "not_installed"
        assert [app.name for app in await transport.call(AppList(), LIMIT_S)] == ["other"]
    # The answer alone is lost: of a query, of a removal, of an install.
    transport.timeouts = replace(PATIENT, first_query_s=1.0)
    await board.control.request(wire.Fault("mute"))
    assert [app.name for app in await transport.call(AppList(), LIMIT_S)] == ["other"]
    transport.timeouts = replace(PATIENT, answer_s=1.0)
    await board.control.request(wire.Fault("mute"))
    await transport.call(AppUninstall("other"), LIMIT_S)
    await board.control.request(wire.Fault("mute"))
    with pytest.raises(InstallInterrupted) as caught:
        await transport.call(AppInstall("echo", ECHO), LIMIT_S)
    assert caught.value.outcome == "listed"
    assert [app.name for app in await transport.call(AppList(), LIMIT_S)] == ["echo"]


async def test_a_board_that_stays_mute_is_diagnosed_as_silent_and_what_was_sent_is_mended_when_it_is_back(
    board: VirtualBoardProcess, tmp_path: Path
) -> None:
    transport = of_board(board, tmp_path, Timeouts(answer_s=0.5, first_query_s=0.3, idle_s=0.05))
    await board.control.request(wire.Fault("mute", 1000))
    calls: tuple[Call[Any], ...] = (AppList(), AppUninstall("echo"))
    for call in calls:
        with pytest.raises(DeviceSilent):
            await transport.call(call, LIMIT_S)
    with pytest.raises(InstallInterrupted) as caught:
        await transport.call(AppInstall("echo", ECHO), LIMIT_S)
    assert (caught.value.outcome, caught.value.silent) == ("unknown", True)
    with pytest.raises((InstallInterrupted, DeviceSilent)):
        await transport.call(AppInstall("echo", ECHO), 0.1)  # its caller gives up
    await transport.close()
    await board.control.request(wire.Fault("mute", 0))
    transport = of_board(board, tmp_path)
    await transport.call(AppList(), LIMIT_S)
    assert marks(tmp_path) == []
    await transport.close()


async def test_one_http_request_is_answered_by_the_program_and_a_silent_one_says_so(
    transport: WasmachineTransport, build_cache: Path
) -> None:
    source = (Path(__file__).parents[2] / "vectors" / "pages.c").read_text()
    image = await compile_module(source, load_board("virtual"), name="pages", cache=BuildCache(build_cache))
    await transport.call(AppInstall("pages", image.wasm, heap_bytes=32_000), LIMIT_S)
    answer = await transport.call(AppPage("pages", b"GET /state HTTP/1.1\r\n\r\n"), LIMIT_S)
    assert answer.endswith(b"\r\n\r\noff by GET")
    long_answer = await transport.call(AppPage("pages", b"GET /long HTTP/1.1\r\n\r\n"), LIMIT_S)
    assert len(long_answer) > 11_000
    with pytest.raises(AppNotFound):
        await transport.call(AppPage("others", b"GET / HTTP/1.1\r\n\r\n"), LIMIT_S)
    transport.timeouts = replace(PATIENT, answer_s=0.3)
    with pytest.raises(DeviceTimeout):
        await transport.call(AppPage("pages", b"GET /silent HTTP/1.1\r\n\r\n"), LIMIT_S)


async def test_other_calls_go_on_while_a_program_makes_a_page(
    transport: WasmachineTransport, build_cache: Path
) -> None:
    source = (Path(__file__).parents[2] / "vectors" / "pages.c").read_text()
    image = await compile_module(source, load_board("virtual"), name="pages", cache=BuildCache(build_cache))
    device = Device(DeviceRow("d1", "d", "virtual"), load_board("virtual"), (transport,))
    for name in ("slow", "quick"):
        await device.call(AppInstall(name, image.wasm, heap_bytes=32_000), LIMIT_S)
    async with asyncio.TaskGroup() as group:
        silent = [
            group.create_task(device.call(AppPage("slow", b"GET /silent HTTP/1.1\r\n\r\n"), LIMIT_S)) for _ in range(2)
        ]
        for _ in range(2):
            assert {app.name for app in await device.call(AppList(), LIMIT_S)} == {"slow", "quick"}
            answer = await device.call(AppPage("quick", b"GET /state HTTP/1.1\r\n\r\n"), LIMIT_S)
            assert answer.endswith(b"off by GET")
        await device.call(AppUninstall("quick"), LIMIT_S)
        await device.call(AppInstall("quick", image.wasm, heap_bytes=32_000), LIMIT_S)
        assert not any(page.done() for page in silent)
        for page in silent:
            page.cancel()
    await device.close()
