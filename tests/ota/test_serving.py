"""Payloads over real connections: windows on the link, files by HTTPS, and what a device is not given."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.link_server.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.link_server.scripted import PATIENCE_S

from microclaw.clock import now_ms
from microclaw.link_server.update_windows import WINDOWS_AT_ONCE
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import Release, write_manifest
from microclaw.ota.offers import Offers
from microclaw.ota.payloads import Payloads
from microclaw.ota.serving import OfferedPayloads
from microclaw.store.firmware import FirmwareTable, ReleaseRow
from microclaw.wire.link.messages import BlobRead, ErrorMessage, Hello, Notify, OtaFacts, OtaOffer, Software

__all__ = ["device", "limits", "paired", "plane", "scripted"]

PAYLOAD = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(2_000))
DIGEST = hashlib.sha256(PAYLOAD)


@dataclass
class Updates:
    """A published release, and offers on that plane."""

    release: ReleaseRow
    table: FirmwareTable
    payloads: Payloads
    offers: Offers


@pytest.fixture
async def updates(plane: Plane, tmp_path: Path, key: SigningKey, release_of: Callable[..., Release]) -> Updates:
    table, payloads = FirmwareTable(plane.database), Payloads(tmp_path / "firmware")
    payloads.open(frozenset())
    payloads.write(DIGEST.hexdigest(), len(PAYLOAD), 0, PAYLOAD)
    payloads.keep(DIGEST.hexdigest())
    offers = Offers(table, plane.registry, now_ms=now_ms, record=plane.audited.append)
    wired = plane.links.parts.updates
    wired.source, wired.changed = OfferedPayloads(table, payloads), offers.changed
    row = await table.publish(new_release(release_of(PAYLOAD), key))
    return Updates(row, table, payloads, offers)


def new_release(release: Release, key: SigningKey) -> ReleaseRow:
    manifest = write_manifest(release)
    told: dict[str, Any] = {name: getattr(release, name) for name in release.__struct_fields__}
    for name in ("schema", "alg", "size"):
        del told[name]
    told |= {
        "device": release.device or "",
        "revisions": release.revisions or (),
        "size_bytes": release.size,
        "manifest": manifest,
    }
    return ReleaseRow(**told, signature=key.sign(manifest), published_ms=1, published_by="owner")


def hello_of(device: ScriptedDevice, key: SigningKey, version: str = "1.3.0", **facts: Any) -> Hello:
    told: dict[str, Any] = {
        "board": "esp32s3", "channel": "stable", "kinds": ("files",), "keys": (key.public.key_id,),
        "security_version": 1,
    }  # fmt: skip
    usual = device.hello()
    return Hello(
        usual.boot_id, Software("microclaw-micropython", version), usual.board, usual.capabilities, usual.tx_epoch, 0,
        "power_on", ota=OtaFacts(**{**told, **facts}),
    )  # fmt: skip


@asynccontextmanager
async def with_offer(paired: ScriptedDevice, updates: Updates, key: SigningKey) -> AsyncIterator[None]:
    """The board is connected, and has an offer."""
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        await updates.offers.offer("lamp", updates.release, by="owner")
        yield


async def fetch(device: ScriptedDevice, sha256: bytes, size: int, window: int = 16_384) -> bytes:
    """As a device does: the next window when the last one is written."""
    got = bytearray()
    while len(got) < size:
        await device.send(BlobRead(sha256, len(got), window))
        until = min(size, len(got) + window)
        while len(got) < until:
            async with asyncio.timeout(PATIENCE_S):
                piece = await device.blobs.get()
            assert piece.key == sha256[:8]
            assert piece.offset == len(got)
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


async def test_an_offered_payload_is_read_in_windows(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    async with with_offer(paired, updates, key):
        sent = await paired.next(OtaOffer)
        key.public.verify(sent.manifest, sent.signature)
        for window in (16_384, 1_000, 16_383):
            assert await fetch(paired, DIGEST.digest(), len(PAYLOAD), window) == PAYLOAD


async def test_what_was_not_offered_is_unknown_and_what_is_withdrawn_ends(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    first = BlobRead(DIGEST.digest(), 0, 100)
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        assert await refusal(paired, first) == "blob_unknown"
        await updates.offers.offer("lamp", updates.release, by="owner")
        assert await refusal(paired, BlobRead(bytes(32), 0, 100)) == "blob_unknown"
        assert await refusal(paired, BlobRead(DIGEST.digest(), len(PAYLOAD), 1)) == "blob_range"
        assert await refusal(paired, BlobRead(DIGEST.digest(), 2**62, 16_384)) == "blob_range"
        await paired.send(BlobRead(DIGEST.digest(), len(PAYLOAD) - 1, 100))
        async with asyncio.timeout(PATIENCE_S):
            assert (await paired.blobs.get()).data == PAYLOAD[-1:]
        await updates.table.withdraw(updates.release.release_id, 5)
        assert await refusal(paired, first) == "blob_withdrawn"


class SlowSource(OfferedPayloads):
    """A disk that answers when the test lets it."""

    def __init__(self, updates: Updates) -> None:
        super().__init__(updates.table, updates.payloads)
        self.may_read = asyncio.Event()

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        await self.may_read.wait()
        return await super().window(link_id, sha256, offset, length)


async def test_one_window_is_under_way_at_a_time_and_holds_nothing_up(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    plane.links.parts.updates.source = slow = SlowSource(updates)
    async with with_offer(paired, updates, key):
        await paired.next(OtaOffer)
        await paired.send(BlobRead(DIGEST.digest(), 0, 1_008))
        assert await refusal(paired, BlobRead(DIGEST.digest(), 1_008, 1_008)) == "blob_busy"
        await plane.plane.notify("lamp", "meanwhile", speak=False, expires_s=None)
        assert (await paired.next(Notify)).text == "meanwhile"
        assert paired.blobs.empty()
        slow.may_read.set()
        async with asyncio.timeout(PATIENCE_S):
            assert (await paired.blobs.get()).data == PAYLOAD[:1_008]
        assert await fetch(paired, DIGEST.digest(), len(PAYLOAD)) == PAYLOAD


class CountingSource(OfferedPayloads):
    """The number of windows that are read at the same time, at most."""

    now = most = 0

    async def window(self, link_id: str, sha256: bytes, offset: int, length: int) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().window(link_id, sha256, offset, length)
        finally:
            self.now -= 1


async def test_few_windows_are_worked_on_at_once_and_every_device_gets_its_payload(
    plane: Plane, scripted: Any, updates: Updates, key: SigningKey
) -> None:
    devices = {f"board-{number}": scripted(plane) for number in range(5)}
    source = CountingSource(updates.table, updates.payloads)
    plane.links.parts.updates.source = source
    async with AsyncExitStack() as stack:
        for name, each in devices.items():
            await each.pair(partial(plane.plane.pair, name=name))
            await stack.enter_async_context(each.connected(hello_of(each, key)))
            await each.until_ready()
            await updates.offers.offer(name, updates.release, by="owner")
            await each.next(OtaOffer)
        found = await asyncio.gather(*(fetch(each, DIGEST.digest(), len(PAYLOAD)) for each in devices.values()))
    assert found == [PAYLOAD] * len(devices)
    assert source.most == WINDOWS_AT_ONCE


async def test_a_window_of_a_connection_that_went_away_is_sent_to_nobody(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    plane.links.parts.updates.source = slow = SlowSource(updates)
    async with with_offer(paired, updates, key):
        await paired.next(OtaOffer)
        await paired.send(BlobRead(DIGEST.digest(), 0, 1_008))
        assert await refusal(paired, BlobRead(DIGEST.digest(), 0, 1)) == "blob_busy"
    slow.may_read.set()
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        assert await fetch(paired, DIGEST.digest(), len(PAYLOAD)) == PAYLOAD


async def test_a_payload_that_is_gone_from_the_disk_ends_no_connection(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    async with with_offer(paired, updates, key):
        updates.payloads.path(DIGEST.hexdigest()).write_bytes(PAYLOAD[:10])
        assert await refusal(paired, BlobRead(DIGEST.digest(), 0, 100)) == "blob_unknown"
        updates.payloads.path(DIGEST.hexdigest()).unlink()
        assert await refusal(paired, BlobRead(DIGEST.digest(), 0, 100)) == "blob_unknown"
        updates.payloads.path(DIGEST.hexdigest()).write_bytes(PAYLOAD)
        assert await fetch(paired, DIGEST.digest(), len(PAYLOAD)) == PAYLOAD
    assert plane.links.link(next(iter(plane.registry.list())).device_id).connections == 1


@dataclass
class Web:
    """The device plane's HTTPS, as a board asks it."""

    plane: Plane
    device: ScriptedDevice

    async def get(
        self, sha256: str, *, token: bool = True, path: str = "/ota/{}.bin", **headers: str
    ) -> tuple[int, bytes, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {self.device.token}"
        url = self.plane.plane.address.replace("wss://", "https://").removesuffix("/link") + path.format(sha256)
        timeout = aiohttp.ClientTimeout(PATIENCE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, ssl=self.device.context(), headers=sent) as answer,
        ):
            return answer.status, await answer.read(), answer.headers


@pytest.fixture
async def offered(plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey) -> Web:
    async with with_offer(paired, updates, key):
        pass
    return Web(plane, paired)


async def test_a_file_by_https_whole_and_in_parts(offered: Web) -> None:
    name = DIGEST.hexdigest()
    status, body, headers = await offered.get(name)
    assert (status, body) == (200, PAYLOAD)
    assert headers["Content-Type"] == "application/octet-stream"
    status, body, headers = await offered.get(name, Range="bytes=1000-1999")
    assert (status, body) == (206, PAYLOAD[1_000:2_000])
    assert headers["Content-Range"] == f"bytes 1000-1999/{len(PAYLOAD)}"
    assert (await offered.get(name, Range="bytes=63000-"))[:2] == (206, PAYLOAD[63_000:])
    assert (await offered.get(name, Range="bytes=-7"))[:2] == (206, PAYLOAD[-7:])
    assert (await offered.get(name, Range=f"bytes={len(PAYLOAD)}-"))[0] == 416
    assert (await offered.get(name, Range="bytes=5-2"))[0] == 416
    for nothing in ("bytes=-0", "bytes=-000"):
        status, _, headers = await offered.get(name, Range=nothing)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(PAYLOAD)}")
    assert (await offered.get(name, Range="bytes=0-1,5-6"))[0] == 416
    assert (await offered.get(name, Range="lines=0-1"))[0] == 416


async def test_a_new_download_ends_the_one_before(offered: Web) -> None:
    """The first one's connection may be dead; this one only reads nothing."""
    plane, name = offered.plane, DIGEST.hexdigest()
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.plane.port, ssl=offered.device.context())
    head = f"GET /ota/{name}.bin HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {offered.device.token}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE_S):
        assert b" 200 " in await reader.readline()
        for _ in range(3):
            assert (await offered.get(name))[:2] == (200, PAYLOAD)
        with suppress(ConnectionError, ssl.SSLError):
            await reader.read()
    writer.transport.abort()


async def test_a_device_with_a_certificate_fetches_by_https(
    plane: Plane, scripted: Callable[[Plane], ScriptedDevice], updates: Updates, key: SigningKey
) -> None:
    other = scripted(plane)
    await other.pair(lambda code: plane.plane.pair(code, name="lamp"), token=False)
    async with other.connected(hello_of(other, key)):
        await other.until_ready()
        await updates.offers.offer("lamp", updates.release, by="owner")
    assert (await Web(plane, other).get(DIGEST.hexdigest(), token=False))[:2] == (200, PAYLOAD)


async def test_https_gives_nothing_to_others(offered: Web, updates: Updates) -> None:
    name = DIGEST.hexdigest()
    assert (await offered.get(name, token=False))[0] == 401
    assert (await offered.get("0" * 64))[0] == 404
    for path in ("/ota/{}", "/ota/../{}.bin", "/ota/{}.BIN", "/ota/x{}.bin", "/ota/{}.bin/"):
        assert (await offered.get(name, path=path))[0] == 404
    await updates.table.withdraw(updates.release.release_id, 5)
    status, body, _ = await offered.get(name)
    assert status == 410
    assert b"withdrawn" in body
    await offered.plane.plane.revoke("lamp")
    assert (await offered.get(name))[0] in (401, 403)


async def test_another_device_of_the_host_is_given_nothing(
    plane: Plane, offered: Web, scripted: Callable[[Plane], ScriptedDevice], key: SigningKey
) -> None:
    other = scripted(plane)
    await other.pair(lambda code: plane.plane.pair(code, name="other"))
    assert (await replace(offered, device=other).get(DIGEST.hexdigest()))[0] == 404
    async with other.connected(hello_of(other, key)):
        await other.until_ready()
        assert await refusal(other, BlobRead(DIGEST.digest(), 0, 100)) == "blob_unknown"
