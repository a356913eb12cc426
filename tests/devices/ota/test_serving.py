"""Payloads over real connections: windows on the link, files by HTTPS, and what a device is not given."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import aiohttp
import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.devices.link.scripted import PATIENCE_S
from tests.devices.ota.lamp import PAYLOAD, Lamp, hello_of, lamp

from microclaw.devices.link.update_windows import WINDOWS_AT_ONCE
from microclaw.devices.ota.payloads import OfferedPayloads
from microclaw.wire.link.messages import BlobRead, ErrorMessage, Notify, OtaOffer

__all__ = ["device", "lamp", "limits", "paired", "plane", "scripted"]

DIGEST = hashlib.sha256(PAYLOAD).digest()
FIRST = BlobRead(DIGEST, 0, 100)


async def fetch(device: ScriptedDevice, window: int = 16_384) -> bytes:
    """As a device does: the next window when the last one is written."""
    got = bytearray()
    while len(got) < len(PAYLOAD):
        await device.send(BlobRead(DIGEST, len(got), window))
        until = min(len(PAYLOAD), len(got) + window)
        while len(got) < until:
            async with asyncio.timeout(PATIENCE_S):
                piece = await device.blobs.get()
            assert (piece.key, piece.offset) == (DIGEST[:8], len(got))
            assert 1 <= len(piece.data) <= 1_008
            got += piece.data
    assert device.blobs.empty()
    return bytes(got)


async def refusal(device: ScriptedDevice, wanted: BlobRead) -> str:
    message_id = await device.send(wanted)
    answer = await device.next_envelope(ErrorMessage)
    assert isinstance(answer.body, ErrorMessage)
    assert (answer.re, answer.body.fatal) == (message_id, False)
    return answer.body.code


async def test_an_offered_payload_is_read_in_windows(lamp: Lamp) -> None:
    async with lamp.online(offered=True):
        sent = await lamp.board.next(OtaOffer)
        lamp.key.public.verify(sent.manifest, sent.signature)
        for window in (16_384, 1_000, 16_383):
            assert await fetch(lamp.board, window) == PAYLOAD


async def test_what_was_not_offered_or_is_gone_is_unknown_and_what_is_withdrawn_ends(lamp: Lamp) -> None:
    async with lamp.online():
        assert await refusal(lamp.board, FIRST) == "blob_unknown"
        await lamp.offer()
        assert await refusal(lamp.board, BlobRead(bytes(32), 0, 100)) == "blob_unknown"
        for offset in (len(PAYLOAD), 2**62):
            assert await refusal(lamp.board, BlobRead(DIGEST, offset, 1)) == "blob_range"
        await lamp.board.send(BlobRead(DIGEST, len(PAYLOAD) - 1, 100))
        async with asyncio.timeout(PATIENCE_S):
            assert (await lamp.board.blobs.get()).data == PAYLOAD[-1:]
        path = lamp.payloads.path(lamp.release.sha256)
        path.write_bytes(PAYLOAD[:10])
        assert await refusal(lamp.board, FIRST) == "blob_unknown"
        path.unlink()
        assert await refusal(lamp.board, FIRST) == "blob_unknown"
        await lamp.table.withdraw(lamp.release.release_id, 5)
        assert await refusal(lamp.board, FIRST) == "blob_withdrawn"


class SlowSource(OfferedPayloads):
    """A disk that answers when the test lets it; `most` windows were read at the same time."""

    now = most = 0

    def __init__(self, lamp: Lamp) -> None:
        super().__init__(lamp.table, lamp.payloads)
        self.may_read = asyncio.Event()
        lamp.plane.links.parts.updates.source = self

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        await self.may_read.wait()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().window(link_id, sha256, offset, length)
        finally:
            self.now -= 1


async def test_one_window_is_under_way_at_a_time_and_holds_nothing_up(lamp: Lamp) -> None:
    slow = SlowSource(lamp)
    wanted = BlobRead(DIGEST, 0, 1_008)
    async with lamp.online(offered=True):
        await lamp.board.next(OtaOffer)
        await lamp.board.send(wanted)
        assert await refusal(lamp.board, BlobRead(DIGEST, 1_008, 1_008)) == "blob_busy"
        await lamp.plane.plane.notify("lamp", "meanwhile", speak=False, expires_s=None)
        assert (await lamp.board.next(Notify)).text == "meanwhile"
        assert lamp.board.blobs.empty()
        slow.may_read.set()
        async with asyncio.timeout(PATIENCE_S):
            assert (await lamp.board.blobs.get()).data == PAYLOAD[:1_008]
        assert await fetch(lamp.board) == PAYLOAD
        slow.may_read.clear()
        await lamp.board.send(wanted)  # the connection goes away: its window is sent to nobody
        assert await refusal(lamp.board, FIRST) == "blob_busy"
    slow.may_read.set()
    async with lamp.online():
        assert await fetch(lamp.board) == PAYLOAD


@pytest.fixture
async def offered(lamp: Lamp) -> Lamp:
    async with lamp.online(offered=True):
        return lamp


async def get(
    lamp: Lamp, path: str = f"/ota/{DIGEST.hex()}.bin", *, device: ScriptedDevice | None = None, token: bool = True,
    **headers: str,
) -> tuple[int, bytes, Any]:  # fmt: skip
    """The device plane's answer by HTTPS, as a board asks it."""
    asks = device or lamp.board
    if token:
        headers["Authorization"] = f"Bearer {asks.token}"
    url = lamp.plane.plane.address.replace("wss://", "https://").removesuffix("/link") + path
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as http,
        http.get(url, ssl=asks.context(), headers=headers) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def test_a_file_by_https_whole_and_in_parts(offered: Lamp) -> None:
    status, body, headers = await get(offered)
    assert (status, body, headers["Content-Type"]) == (200, PAYLOAD, "application/octet-stream")
    for asked, part in (("1000-1999", PAYLOAD[1_000:2_000]), ("63000-", PAYLOAD[63_000:]), ("-7", PAYLOAD[-7:])):
        status, body, headers = await get(offered, Range=f"bytes={asked}")
        assert (status, body) == (206, part)
        if asked == "-7":
            start = PAYLOAD.rindex(part)
        else:
            start = int(asked.partition("-")[0])
        assert headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(PAYLOAD)}"
    for wrong in (f"bytes={len(PAYLOAD)}-", "bytes=5-2", "bytes=0-1,5-6", "lines=0-1"):
        status, _, headers = await get(offered, Range=wrong)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(PAYLOAD)}")


async def test_a_new_download_ends_the_one_before(offered: Lamp) -> None:
    """The first one's connection may be dead; this one only reads nothing."""
    port = offered.plane.plane.port
    token = offered.board.token
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=offered.board.context())
    head = f"GET /ota/{DIGEST.hex()}.bin HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE_S):
        assert b" 200 " in await reader.readline()
        for _ in range(3):
            assert (await get(offered))[:2] == (200, PAYLOAD)
        with suppress(ConnectionError, ssl.SSLError):
            await reader.read()
    writer.transport.abort()


async def test_https_serves_a_certificate_and_gives_nothing_to_others(
    offered: Lamp, plane: Plane, scripted: Callable[[Plane], ScriptedDevice]
) -> None:
    other = scripted(plane)
    name = DIGEST.hex()
    await other.pair(lambda code: plane.plane.pair(code, name="other"), token=False)
    assert (await get(offered, device=other, token=False))[0] == 404  # another device of this host
    async with other.connected(hello_of(other, offered.key)):
        await other.until_ready()
        assert await refusal(other, FIRST) == "blob_unknown"
        await offered.offers.offer("other", offered.release, by="owner")
    assert (await get(offered, device=other, token=False))[:2] == (200, PAYLOAD)
    assert (await get(offered, token=False))[0] == 401
    for path in (f"{'0' * 64}.bin", name, f"../{name}.bin", f"{name}.BIN", f"x{name}.bin", f"{name}.bin/"):
        assert (await get(offered, f"/ota/{path}"))[0] == 404
    await offered.table.withdraw(offered.release.release_id, 5)
    status, body, _ = await get(offered)
    assert status == 410
    assert b"withdrawn" in body
    await plane.plane.revoke("lamp")
    assert (await get(offered))[0] in (401, 403)


async def test_few_windows_are_worked_on_at_once_and_every_device_gets_its_payload(
    plane: Plane, scripted: Any, lamp: Lamp
) -> None:
    devices = {f"board-{number}": scripted(plane) for number in range(5)}
    source = SlowSource(lamp)
    source.may_read.set()
    async with AsyncExitStack() as stack:
        for name, each in devices.items():
            await each.pair(partial(plane.plane.pair, name=name))
            await stack.enter_async_context(each.connected(hello_of(each, lamp.key)))
            await each.until_ready()
            await lamp.offers.offer(name, lamp.release, by="owner")
            await each.next(OtaOffer)
        found = await asyncio.gather(*(fetch(each) for each in devices.values()))
    assert found == [PAYLOAD] * len(devices)
    assert source.most == WINDOWS_AT_ONCE
