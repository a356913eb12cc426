"""The WASMachine transport against scripted peers: captured answers, every refusal, and hostile ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.devices.transports.conftest import MODULE, PATIENT, OpenTransport, StartPeer, answer

from microclaw.devices.registry.calls import AppEntry, AppInstall, AppList
from microclaw.devices.transports.address import AddressLock, HostPort
from microclaw.devices.transports.wasmachine_connection import NoAnswer, WasmachineConnection
from microclaw.errors import AppExists, DeployRejected, DeviceUnreachable, ImageTooLarge, InvalidModule, TooManyApps
from microclaw.wire.wasmachine.answers import AppletInfo, encode_applets, encode_error
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder, MessageType, encode_frame
from microclaw.wire.wasmachine.request import CoapCode, RequestAction, Response, WasmachineRequest

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "wasmachine.json").read_text())["cases"]
LIMIT_S = 60.0


async def next_request(reader: asyncio.StreamReader, decoder: FrameDecoder) -> tuple[Frame, WasmachineRequest]:
    while (frame := decoder.next_frame()) is None:
        data = await reader.read(65536)
        if not data:
            raise EOFError
        decoder.receive(data)
    return frame, WasmachineRequest.decode(frame.payload)


def answering(respond: Callable[[Frame, WasmachineRequest], bytes]) -> Callable[..., Awaitable[None]]:
    """A peer that answers every request with these bytes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        while True:
            frame, request = await next_request(reader, decoder)
            writer.write(respond(frame, request))
            await writer.drain()

    return script


def listing(*names: str) -> Callable[[Frame, WasmachineRequest], bytes]:
    apps = [AppletInfo(name, 8192) for name in names]
    return lambda _frame, request: answer(encode_applets(apps, request.mid, Generation.NEW))


@pytest.mark.parametrize("case", [c for c in VECTORS if c["case"] == "query all: one app"], ids=lambda c: c["runtime"])
async def test_captured_list_is_asked_and_read_byte_for_byte(
    case: dict[str, Any], start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    asked = bytes.fromhex(case["to_device"])
    seen = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readexactly(len(asked)))
        for part in case["from_device"]:
            writer.write(bytes.fromhex(part))

    mid = WasmachineRequest.decode(asked[8:]).mid
    transport = open_wasmachine(await start_peer(script), first_mid=mid - 1)
    assert await transport.call(AppList(), LIMIT_S) == (AppEntry("echo", 16384),)
    assert bytes(seen) == asked


async def test_other_answers_are_never_ours_and_events_do_no_harm(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    body = AttributeContainer.of("", {"text": "hello", "n": 3}).encode(Generation.NEW)
    event = encode_frame(MessageType.REQUEST, WasmachineRequest(RequestAction.EVENT, "log", 9, body, sender=1).encode())
    broken = encode_frame(MessageType.REQUEST, b"\x01\x06")

    def respond(frame: Frame, request: WasmachineRequest) -> bytes:
        old = answer(encode_applets([AppletInfo("ghost", 1)], request.mid - 7, Generation.NEW))
        return (
            event + broken + old + answer(Response(CoapCode.CREATED, request.mid + 1)) + listing("real")(frame, request)
        )

    transport = open_wasmachine(await start_peer(answering(respond)))
    assert [app.name for app in await transport.call(AppList(), LIMIT_S)] == ["real"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Install WASM app failed: app already installed.", AppExists),
        ("Install Applet failed: exceed max app installations.", TooManyApps),
        ("Install WASM app failed: invalid WASM version.", InvalidModule),
        ("Install WASM app failed: WASM module load failed: unknown opcode", InvalidModule),
        ("Install WASM app failed: allocate memory failed.", ImageTooLarge),
        ("Install WASM app failed: create app thread failed.", DeployRejected),
    ],
)
async def test_each_refusal_of_an_install_is_its_own_error_with_a_next_step(
    text: str, error: type[DeployRejected], start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    def respond(_frame: Frame, request: WasmachineRequest) -> bytes:
        return answer(encode_error(text, request.mid, Generation.NEW))

    transport = open_wasmachine(await start_peer(answering(respond)))
    with pytest.raises(error) as caught:
        await transport.call(AppInstall("blink", MODULE), LIMIT_S)
    assert type(caught.value) is error
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("name", "wasm", "error"),
    [
        *((name, MODULE, DeployRejected) for name in ("", "a/b", "a&heap=1", "a" * 127)),
        ("blink", b"", InvalidModule),
        ("blink", MODULE[:-1], InvalidModule),
        ("blink", MODULE + b"\x03\xff\xff\xff\xff\xff", InvalidModule),
        ("blink", MODULE + b"\x00" + b"\x80\x80\x10" + bytes(262144), ImageTooLarge),
    ],
)
async def test_what_the_device_misreads_or_what_would_wedge_it_is_never_sent(
    name: str, wasm: bytes, error: type[DeployRejected], open_wasmachine: OpenTransport
) -> None:
    transport = open_wasmachine(9)  # nothing listens there: a connection would fail otherwise
    with pytest.raises(error) as caught:
        await transport.call(AppInstall(name, wasm), LIMIT_S)
    assert caught.value.next_step


async def test_nobody_at_the_address_is_unreachable_with_the_address(
    open_wasmachine: OpenTransport, unused_tcp_port: int
) -> None:
    with pytest.raises(DeviceUnreachable) as caught:
        await open_wasmachine(unused_tcp_port).call(AppList(), LIMIT_S)
    assert caught.value.exit_code == 4
    assert caught.value.next_step


async def test_calls_take_turns_on_one_connection_and_an_idle_one_is_given_back(
    start_peer: StartPeer, open_wasmachine: OpenTransport
) -> None:
    connections = 0
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        decoder = FrameDecoder()
        try:
            while True:
                frame, request = await next_request(reader, decoder)
                assert len(decoder.buffer) == 0
                writer.write(listing("a")(frame, request))
        finally:
            ended.set()

    transport = open_wasmachine(await start_peer(script), replace(PATIENT, idle_s=0.5))
    answers = await asyncio.gather(*(transport.call(AppList(), LIMIT_S) for _ in range(20)))
    assert (len(answers), connections) == (20, 1)
    async with asyncio.timeout(LIMIT_S):
        await ended.wait()
    await transport.call(AppList(), LIMIT_S)
    assert connections == 2


async def test_a_request_that_could_not_be_sent_is_forgotten_and_the_next_connection_is_given_back_when_idle(
    start_peer: StartPeer, tmp_path: Path
) -> None:
    ended = asyncio.Event()
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await ended.wait()  # it reads nothing
            return
        frame, request = await next_request(reader, FrameDecoder())
        writer.write(listing("a")(frame, request))
        await reader.read()
        ended.set()

    port = await start_peer(script)
    lock = AddressLock(tmp_path, str(port))
    connection = WasmachineConnection(HostPort("127.0.0.1", port), lock, PATIENT)
    with pytest.raises(NoAnswer):
        await connection.begin(encode_frame(MessageType.REQUEST, bytes(50_000_000)), 1, 0.2)
    query = WasmachineRequest(RequestAction.GET, "/applet", 2, b"")
    await connection.exchange(encode_frame(MessageType.REQUEST, query.encode()), 2, LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        await ended.wait()
