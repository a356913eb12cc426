"""Publishing: what is right is kept once, and whatever is wrong leaves nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.devices.flash.images import program
from tests.devices.ota.conftest import change_of
from tests.stores import new_store

from microclaw.clock import now_ms
from microclaw.devices.ota.bundle import PayloadError, pack
from microclaw.devices.ota.keys import BadSignature, SigningKey
from microclaw.devices.ota.manifest import ManifestError, Release, moment, write_manifest
from microclaw.devices.ota.payloads import Payloads
from microclaw.devices.ota.publisher import Publisher
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.host.audit.event import AuditEvent
from microclaw.host.store.database import Database
from microclaw.host.store.firmware import FirmwareTable, ReleaseRow

ABOUT = {"name": "microclaw-micropython", "version": "1.4.0", "security_version": 3}


def bundle(**about: Any) -> bytes:
    return pack({"start.mpy": b"M\x06\0\x1fcode" * 5_000, "about.json": json.dumps({**ABOUT, **about}).encode()})


PAYLOAD = bundle()


@dataclass
class Host:
    """Publishes what `key` signed, in pieces."""

    publisher: Publisher
    key: SigningKey
    release_of: Callable[..., Release]
    audited: list[AuditEvent] = field(default_factory=list)

    async def publish(self, payload: bytes = PAYLOAD, **fields: Any) -> ReleaseRow:
        return await self.send(write_manifest(self.release_of(payload, **fields)), payload)

    async def send(self, manifest: bytes, payload: bytes = b"") -> ReleaseRow:
        signature = await self.upload(manifest, payload)
        return await self.publisher.publish(manifest, signature, by="owner")

    async def upload(self, manifest: bytes, payload: bytes) -> bytes:
        """Send the payload; the manifest's signature."""
        signature = self.key.sign(manifest)
        wanted = await self.publisher.missing_payload(await self.publisher.verify_manifest(manifest, signature))
        if wanted is not None:
            offset = wanted.offset
            while offset < len(payload):
                offset = await self.publisher.receive(wanted.sha256, offset, payload[offset : offset + 30_000])
        return signature

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.publisher.payloads.folder.iterdir())


@pytest.fixture
async def host(tmp_path: Path, key: SigningKey, release_of: Callable[..., Release]) -> AsyncIterator[Host]:
    async with Database.open(new_store(tmp_path / "microclaw.db")) as database:
        audited: list[AuditEvent] = []
        table = FirmwareTable(database)
        payloads = Payloads(tmp_path / "firmware")
        publisher = Publisher(table, payloads, now_ms=now_ms, record=audited.append)
        await publisher.open()
        await publisher.trust(key.public, "fleet", by="owner")
        yield Host(publisher, key, release_of, audited)


async def test_bundles_images_and_changes_of_keys_are_published_once(host: Host, other_key: SigningKey) -> None:
    row = await host.publish()
    assert (row.version, row.board, row.size_bytes, row.published_by) == ("1.4.0", "esp32s3", len(PAYLOAD), "owner")
    assert host.kept == [row.sha256]
    assert (await host.send(row.manifest)).release_id == row.release_id
    assert [event.kind for event in host.audited][:2] == ["firmware.key", "firmware.published"]
    image = await host.publish(program(9, "sensor-node"), kind="image", name="sensor-node")
    assert (image.kind, image.name) == ("image", "sensor-node")
    with pytest.raises(PayloadError):  # the first release needs the payload
        await host.publish(program(9, "sensor-node"), kind="image", board="esp32c3")
    assert host.kept == sorted([row.sha256, image.sha256])
    change = await host.send(write_manifest(change_of(host.key, other_key)))
    assert (change.kind, change.version, change.sha256) == ("keys", "keys-2", "")


@pytest.mark.parametrize(
    ("fields", "payload", "error"),
    [
        ({}, b"no tar", PayloadError), ({}, bundle(security_version=2), PayloadError),
        ({"kind": "image"}, PAYLOAD, PayloadError),
        ({"kind": "image", "board": "esp32c3"}, program(9, "sensor-node"), PayloadError),
        ({"expires": moment(1)}, PAYLOAD, ManifestError), ({"created": "2999-01-01T00:00:00Z"}, PAYLOAD, ManifestError),
        ({"key_id": "0" * 16}, PAYLOAD, UnknownName), ({"sha256": "0" * 64}, PAYLOAD, ConfigError),
    ],
)  # fmt: skip
async def test_what_no_board_would_take_leaves_nothing(
    host: Host, fields: dict[str, Any], payload: bytes, error: type[MicroclawError]
) -> None:
    with pytest.raises(error) as caught:
        await host.publish(payload, **fields)
    assert caught.value.next_step
    assert host.kept == []
    assert await host.publisher.table.list() == ()


async def test_a_signature_of_another_key_or_of_other_bytes_is_refused_before_anything_is_kept(
    host: Host, other_key: SigningKey
) -> None:
    manifest = write_manifest(host.release_of(PAYLOAD))
    good = host.key.sign(manifest)
    for signature, data in (
        (other_key.sign(manifest), manifest),
        (good, manifest.replace(b'"1.4.0"', b'"1.4.1"')),
        (good, manifest + b" "),
        (bytes(384), manifest),
        (good[:-1], manifest),
    ):
        with pytest.raises(BadSignature):
            await host.publisher.verify_manifest(data, signature)
    sha256 = host.release_of(PAYLOAD).sha256
    with pytest.raises(UnknownName):
        await host.publisher.receive(sha256, 0, PAYLOAD[:100])
    await host.publisher.missing_payload(await host.publisher.verify_manifest(manifest, good))
    assert await host.publisher.receive(sha256, 0, PAYLOAD[:100]) == 100
    for offset, piece in ((0, b"x"), (99, b"x"), (101, b"x"), (100, PAYLOAD)):
        with pytest.raises(ConfigError):
            await host.publisher.receive(sha256, offset, piece)
    assert host.kept == []


async def test_one_release_of_a_version_and_board_until_it_is_withdrawn(host: Host) -> None:
    first = await host.publish()
    with pytest.raises(ConfigError):
        await host.publish(expires="2999-01-01T00:00:00Z")
    await host.publish(channel="beta")
    await host.publisher.withdraw(first.release_id, by="owner")
    assert (await host.publisher.table.release(first.release_id)).withdrawn_ms is not None
    assert (await host.publish(expires="2999-01-01T00:00:00Z")).release_id > first.release_id
    with pytest.raises(ConfigError):
        await host.send(first.manifest)
    assert host.kept == [first.sha256]


async def test_a_key_that_is_distrusted_publishes_no_more_and_its_releases_are_withdrawn(host: Host) -> None:
    """Not even what waits for a yes is published."""
    await host.publish(channel="beta")
    manifest = write_manifest(host.release_of(PAYLOAD))
    signature = await host.upload(manifest, PAYLOAD)
    await host.publisher.distrust(host.key.public.key_id, by="owner")
    with pytest.raises(UnknownName):
        await host.publisher.publish(manifest, signature, by="owner")
    with pytest.raises(UnknownName):
        await host.publish()
    (row,) = await host.publisher.table.list()
    assert row.withdrawn_ms is not None
