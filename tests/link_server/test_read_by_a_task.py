"""The device plane on an aiohttp that does not hand its connection over: a task reads, all else is as always."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from microclaw.link_server.arrival import LinkProtocol
from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.websocket import LinkSocket
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Ping, Telemetry


@pytest.fixture(autouse=True)
def keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """No seam of ours shows what another version of aiohttp does: here `set_parser` is none that we know."""

    def feed(socket: LinkSocket, data: bytes) -> None:
        raise AssertionError(f"{socket} was fed {data!r}")

    monkeypatch.setattr(LinkProtocol, "set_parser", web.RequestHandler.set_parser)
    monkeypatch.setattr(LinkSocket, "feed", feed)


async def test_messages_and_calls_go_both_ways(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Telemetry(1000, 5, ()))
        await paired.send(Ping(1, 1))
        link = plane.hub.link(plane.registry.get("lamp").device_id)
        for _ in range(20):
            await link.call("device.info", {}, idempotent=True, timeout_s=5)
        assert link.telemetry.free_heap == 1000
        assert await plane.plane.notify("lamp", "a note", speak=False, expires_s=None) == "delivered"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", CloseCode.MALFORMED),
        (b"\x01" + bytes(16_384), CloseCode.MALFORMED),
        (b"\x01" + bytes(16_385), CloseCode.TOO_LARGE),
        (b"\x01" + bytes(1_000_000), CloseCode.TOO_LARGE),
    ],
)
async def test_a_breach_has_the_same_close_code(plane: Any, paired: Any, message: bytes, code: int) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send_raw(message)
        assert await paired.until_closed() == code


async def test_a_text_message_closes_1003(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send_text("hello")
        assert await paired.until_closed() == CloseCode.NOT_BINARY


@pytest.mark.parametrize("limits", [LinkLimits(messages_a_second=1, messages_at_once=20)])
async def test_a_flood_closes_4429(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        for n in range(30):
            await paired.send_raw(b"\x09%d" % n)
        assert await paired.until_closed() == CloseCode.TOO_MANY


async def test_who_is_not_let_in_is_told(plane: Any, device: Any) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    context = ssl.create_default_context(cadata=plane.ca)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(device.address, ssl=context, protocols=["microclaw.v1"], headers=headers) as socket,
    ):
        await socket.receive(5)
        assert socket.close_code == CloseCode.NOT_AUTHENTICATED


async def test_the_host_says_1001_when_it_goes(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        await plane.plane.goodbye()
        assert await paired.until_closed() == CloseCode.SHUTTING_DOWN
