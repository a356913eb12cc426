"""Ends of connections by limits, versions and other connections, over real TLS on loopback.

Breaches of a message: tests/link/test_host.py; who is not let in at all: test_auth_matrix.py.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from microclaw.errors import DeviceUnreachable
from microclaw.events import DeviceConnected
from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import CloseCode, FrameType, encode_frame
from microclaw.wire.link.messages import Call, Envelope, ErrorMessage, Event

REFUSED = 'microclaw_link_refused_total{reason="%s"}'


@pytest.mark.parametrize("offered", [["microclaw.v2"], ["microclaw.v3", "microclaw.v2"]])
async def test_a_device_of_a_newer_version_hears_what_is_spoken_here(
    plane: Any, device: Any, offered: list[str]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(device.address, ssl=device.context(), protocols=offered) as socket,
    ):
        error = decode((await socket.receive_bytes(timeout=5))[1:]).body
        assert isinstance(error, ErrorMessage)
        assert error.code == "unsupported_version"
        await socket.receive(5)
        assert socket.close_code == CloseCode.MALFORMED
    assert plane.refused == {"version": 1}


async def test_more_durable_messages_than_the_host_can_apply_close_1013(plane: Any, paired: Any) -> None:
    """The disk stands still, and the device goes on."""
    may_write = threading.Event()
    async with paired.connected():
        await paired.until_ready()
        await plane.published.until(DeviceConnected)
        standstill = asyncio.create_task(plane.database.write(lambda _: may_write.wait(30)))
        try:
            for seq in range(1, 259):
                event = Envelope(secrets.token_bytes(16), Event("tick", {"n": seq}), seq=seq)
                await paired.send_raw(encode_frame(FrameType.CONTROL, encode(event)))
            error = await paired.next(ErrorMessage)
        finally:
            may_write.set()
        assert error.code == "overloaded"
        assert await paired.until_closed() == CloseCode.OVERLOADED
        await standstill
    assert plane.refused == {"overloaded": 1}


async def test_a_full_control_lane_closes_1013(plane: Any, paired: Any) -> None:
    """A device that sends pings and does not read the pongs."""
    async with paired.connected():
        await paired.until_ready()
        link = plane.links.link(plane.registry.get("lamp").device_id)
        with suppress(DeviceUnreachable):
            for number in range(10_000):
                link.connection.session.send(Call("device.info", {"n": number}, idempotent=True))
        link.connection.pump()
        assert await paired.until_closed() == CloseCode.OVERLOADED
    assert plane.refused == {"overloaded": 1}


async def test_who_hangs_up_without_a_word_is_counted(plane: Any, paired: Any, device: Any) -> None:
    port, context = plane.plane.port, device.context()
    _, plain = await asyncio.open_connection("127.0.0.1", port)
    plain.transport.abort()
    await plane.until_refused("tls")
    _, tls = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    tls.transport.abort()
    await plane.until_refused("not_a_link")
    async with _raw(paired):
        pass
    await plane.until_refused("no_hello")
    assert plane.refused == {"tls": 1, "not_a_link": 1, "no_hello": 1}


@pytest.mark.parametrize("limits", [LinkLimits(messages_a_second=1, messages_at_once=20)])
async def test_a_flood_closes_4429(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        for n in range(30):
            await paired.send_raw(b"\x09%d" % n)
        assert await paired.until_closed() == CloseCode.TOO_MANY


@pytest.mark.parametrize("limits", [LinkLimits(connections_in_all=0)])
async def test_one_connection_too_many_closes_4429(plane: Any, device: Any) -> None:
    async with _raw(device) as socket:
        await socket.receive(5)
        assert socket.close_code == CloseCode.TOO_MANY


@pytest.mark.parametrize("limits", [LinkLimits(arriving_an_address=2)])
async def test_an_address_has_so_many_strangers_and_no_more(plane: Any, device: Any) -> None:
    async with _raw(device), _raw(device):
        with pytest.raises(aiohttp.ClientError):
            async with _raw(device):
                pass
    assert plane.count(REFUSED % "too_many") == 1


# What else is served


async def test_the_authoritys_certificate_is_public(plane: Any, device: Any) -> None:
    address = device.address.replace("wss", "https").replace("/link", "/ca.pem")
    async with aiohttp.ClientSession() as http, http.get(address, ssl=False) as answer:
        assert await answer.read() == plane.ca.encode()


@pytest.mark.parametrize("path", ["/", "/link", "/link/../ca.pem", "/v1/devices"])
async def test_nothing_else_is_served(plane: Any, device: Any, path: str) -> None:
    address = device.address.replace("wss", "https").replace("/link", path)
    async with aiohttp.ClientSession() as http, http.get(address, ssl=False) as answer:
        assert answer.status == (200 if path == "/link/../ca.pem" else 404)


async def test_the_subprotocol_is_needed(plane: Any, device: Any) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            async with http.ws_connect(device.address, ssl=device.context(), protocols=["mqtt"]):
                pass


# Bounds


class _raw:
    """A WebSocket without a session: the test says every byte."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._http = aiohttp.ClientSession()

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        device = self._device
        headers = {"Authorization": f"Bearer {device.token}"} if device.token else {}
        try:
            self.socket = await self._http.ws_connect(
                device.address, ssl=device.context(), protocols=["microclaw.v1"], headers=headers
            )
        except BaseException:
            await self._http.close()
            raise
        return self.socket

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._http.close()
