"""Interrupted installs: wherever the connection breaks, no corrupt app stays and the device is usable again."""

from __future__ import annotations

import asyncio

import pytest
from tests.transports.conftest import MODULE, OpenTransport, StartPeer, answer

from microclaw.devices.calls import AppInstall, AppList, AppUninstall
from microclaw.errors import DeviceSilent, InstallInterrupted, ProtocolError
from microclaw.transports.wasmachine_connection import Timeouts
from microclaw.wire.wasmachine.answers import AppletInfo, encode_applets, encode_error
from microclaw.wire.wasmachine.attributes import Generation
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder
from microclaw.wire.wasmachine.request import Action, Request, Response, Status

LIMIT_S = 60.0


class StockParser:
    """A manager whose parser outlives the connection, as the firmware's does: bytes first finish the open frame.

    A claimed length that no heap has is dropped and the hunt for a frame goes on, as after a failed malloc.
    """

    def __init__(self, cut_after: int) -> None:
        self.apps: dict[str, int] = {}
        self.cut_after = cut_after
        self.decoder = FrameDecoder(max_payload_bytes=262144)
        self.log: list[str] = []

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.cut_after:
                self.decoder.receive(data[: self.cut_after])
                self.cut_after = 0
                return
            self.decoder.receive(data)
            while (frame := self._next()) is not None:
                try:
                    request = Request.decode(frame.payload)
                except ProtocolError:
                    continue  # padding in the place of a url
                writer.write(answer(self.perform(request)))

    def _next(self) -> Frame | None:
        try:
            return self.decoder.next_frame()
        except ProtocolError:
            self.decoder = FrameDecoder(max_payload_bytes=262144)
            return None

    def perform(self, request: Request) -> Response:
        name = request.url.partition("name=")[2].partition("&")[0]
        self.log.append(f"{request.action.name} {name}".strip())
        match request.action:
            case Action.PUT:
                self.apps[name] = 8192
                return Response(Status.CREATED, request.mid)
            case Action.DELETE if name in self.apps:
                del self.apps[name]
                return Response(Status.DELETED, request.mid)
            case Action.DELETE:
                return encode_error("Uninstall WASM app failed: no app found.", request.mid, Generation.NEW)
            case _:
                return encode_applets([AppletInfo(n, h) for n, h in self.apps.items()], request.mid, Generation.NEW)


BIG_MODULE = MODULE + b"\x00\x80\x20" + bytes(4096)


@pytest.mark.parametrize("cut_after", [1, 2, 5, 8, 20, 100, 4150])
async def test_install_cut_anywhere_leaves_no_corrupt_app_and_a_working_device(
    cut_after: int, start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    device = StockParser(cut_after)
    device.apps["other"] = 8192
    transport = open_wasmachine(await start_peer(device.script))
    with pytest.raises(InstallInterrupted) as caught:
        await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert caught.value.outcome == "not_installed"
    assert list(device.apps) == ["other"]
    await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert list(device.apps) == ["other", "blink"]


async def test_device_gone_in_mid_install_is_outcome_unknown_and_mended_at_the_next_call(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    device = StockParser(cut_after=500)
    gone = True

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if gone and device.cut_after == 0:
            return
        await device.script(reader, writer)

    transport = open_wasmachine(await start_peer(script))
    with pytest.raises(InstallInterrupted) as caught:
        await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert caught.value.outcome == "unknown"
    assert caught.value.exit_code == 4
    assert caught.value.next_step is not None
    gone = False
    assert await transport.call(AppList(), LIMIT_S) == ()
    assert device.log == ["PUT blink", "DELETE blink", "GET", "GET"]


async def test_install_whose_answer_alone_is_lost_is_found_listed(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    device = StockParser(cut_after=0)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not device.log:
            decoder = FrameDecoder()
            while (frame := decoder.next_frame()) is None:
                decoder.receive(await reader.read(65536))
            device.perform(Request.decode(frame.payload))
            await reader.read()
        await device.script(reader, writer)

    transport = open_wasmachine(await start_peer(script))
    with pytest.raises(InstallInterrupted) as caught:
        await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert caught.value.outcome == "listed"
    assert list(device.apps) == ["blink"]


async def test_install_given_up_by_its_caller_is_mended_at_the_next_call(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    device = StockParser(cut_after=0)
    silent = True

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if silent:
            device.decoder.receive(await reader.readexactly(300))
            await asyncio.Event().wait()
        await device.script(reader, writer)

    transport = open_wasmachine(await start_peer(script))
    with pytest.raises(InstallInterrupted):
        await transport.call(AppInstall("blink", BIG_MODULE), 0.1)
    silent = False
    assert await transport.call(AppList(), LIMIT_S) == ()
    await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert list(device.apps) == ["blink"]


@pytest.mark.parametrize("died_after", [1, 300])
async def test_an_install_of_a_process_that_died_is_cleared_by_the_next_one(
    died_after: int, start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    device = StockParser(cut_after=0)
    is_dying = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_dying.is_set():
            device.decoder.receive(await reader.readexactly(died_after))
            is_dying.set()
            await asyncio.Event().wait()
        await device.script(reader, writer)

    port = await start_peer(script)
    first = open_wasmachine(port)
    install = asyncio.create_task(first.call(AppInstall("blink", BIG_MODULE), LIMIT_S))
    await is_dying.wait()
    install.cancel()
    with pytest.raises(asyncio.CancelledError):
        await install
    second = open_wasmachine(port)  # knows of it by the mark alone
    assert await second.call(AppList(), LIMIT_S) == ()
    await second.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert list(device.apps) == ["blink"]


async def test_a_board_that_stays_mute_is_diagnosed_as_silent(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    transport = open_wasmachine(await start_peer(script), timeouts=Timeouts(answer_s=0.2, first_query_s=0.1))
    with pytest.raises(DeviceSilent):
        await transport.call(AppList(), LIMIT_S)
    with pytest.raises(DeviceSilent):
        await transport.call(AppUninstall("blink"), LIMIT_S)
    with pytest.raises(InstallInterrupted) as interrupted:
        await transport.call(AppInstall("blink", BIG_MODULE), LIMIT_S)
    assert (interrupted.value.outcome, interrupted.value.silent) == ("unknown", True)
    with pytest.raises(DeviceSilent):  # cut off by the caller's own limit
        await open_wasmachine(await start_peer(script), timeouts=Timeouts(answer_s=9, first_query_s=0.1)).call(
            AppList(), 0.3
        )
