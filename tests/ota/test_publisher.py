"""Publishing: what is right is kept once, and whatever is wrong leaves nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.flash.images import program
from tests.ota.conftest import change_of

from microclaw.audit.event import AuditEvent
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.ota.application_image import ImageError
from microclaw.ota.bundle import BundleError, pack
from microclaw.ota.keys import BadSignature, SigningKey
from microclaw.ota.manifest import ManifestError, Release, moment, write_manifest
from microclaw.ota.payloads import Payloads
from microclaw.ota.publisher import Publisher
from microclaw.ota.results import PayloadWanted
from microclaw.store.database import Database
from microclaw.store.firmware import FirmwareTable, ReleaseRow

ABOUT = {"name": "microclaw-micropython", "version": "1.4.0", "security_version": 3}


def bundle(**about: Any) -> bytes:
    return pack({"start.mpy": b"M\x06\0\x1fcode" * 5_000, "about.json": json.dumps({**ABOUT, **about}).encode()})


@pytest.fixture
def audited() -> list[AuditEvent]:
    return []


@pytest.fixture
async def publisher(tmp_path: Path, key: SigningKey, audited: list[AuditEvent]) -> AsyncIterator[Publisher]:
    async with Database.open(tmp_path / "microclaw.db") as database:
        table, payloads = FirmwareTable(database), Payloads(tmp_path / "firmware")
        made = Publisher(table, payloads, now_ms=now_ms, record=audited.append)
        await made.open()
        await made.trust(key.public, "fleet", by="owner")
        yield made


async def yes(_read: object) -> None:
    """Nobody is against it."""


async def publish(publisher: Publisher, key: SigningKey, release: Release, payload: bytes) -> ReleaseRow:
    """Sign and send it, in pieces."""
    manifest = write_manifest(release)
    signature = key.sign(manifest)
    made = await publisher.publish(manifest, signature, yes, by="owner")
    if isinstance(made, PayloadWanted):
        offset = made.offset
        while offset < len(payload):
            offset = await publisher.receive(made.sha256, offset, payload[offset : offset + 30_000])
        made = await publisher.publish(manifest, signature, yes, by="owner")
    assert isinstance(made, ReleaseRow)
    return made


def kept(publisher: Publisher) -> list[str]:
    return sorted(path.name for path in publisher.payloads.folder.iterdir())


async def test_what_was_created_in_the_future_is_refused_as_boards_do(
    publisher: Publisher, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    payload, now_s = bundle(), now_ms() // 1000
    about = {"expires": moment(now_s + 9 * 86_400)}
    with pytest.raises(ManifestError) as error:
        await publish(publisher, key, release_of(payload, created=moment(now_s + 86_400 + 600), **about), payload)
    assert error.value.reason == "no_clock"
    assert kept(publisher) == []
    row = await publish(publisher, key, release_of(payload, created=moment(now_s + 86_400 - 600), **about), payload)
    assert row.version == "1.4.0"


async def test_a_bundle_is_published_once(
    publisher: Publisher, key: SigningKey, release_of: Callable[..., Release], audited: list[AuditEvent]
) -> None:
    payload = bundle()
    release = release_of(payload)
    row = await publish(publisher, key, release, payload)
    assert (row.version, row.board, row.sha256, row.published_by) == ("1.4.0", "esp32s3", release.sha256, "owner")
    assert kept(publisher) == [release.sha256]
    again = await publisher.publish(row.manifest, row.signature, yes, by="owner")
    assert isinstance(again, ReleaseRow)
    assert again.release_id == row.release_id
    await publisher.verify_again(row)
    assert [event.kind for event in audited][:2] == ["firmware.key", "firmware.published"]


async def test_an_image_is_published(publisher: Publisher, key: SigningKey, release_of: Callable[..., Release]) -> None:
    payload = program(9, "sensor-node")
    row = await publish(publisher, key, release_of(payload, kind="image", name="sensor-node"), payload)
    assert (row.kind, row.size_bytes) == ("image", len(payload))
    with pytest.raises(ImageError):
        await publish(publisher, key, release_of(payload, kind="image", board="esp32c3"), payload)


@pytest.mark.parametrize(
    ("fields", "payload", "error"),
    [
        ({}, b"no tar", BundleError), ({}, bundle(version="1.3.9"), BundleError),
        ({}, bundle(security_version=2), BundleError),
        ({}, bundle(name="other"), BundleError), ({"kind": "image"}, bundle(), ImageError),
        ({"expires": moment(1)}, bundle(), ManifestError), ({"key_id": "0" * 16}, bundle(), UnknownName),
    ],
)  # fmt: skip
async def test_what_no_board_would_take_leaves_nothing(
    publisher: Publisher,
    key: SigningKey,
    release_of: Callable[..., Release],
    fields: dict[str, Any],
    payload: bytes,
    error: type[MicroclawError],
) -> None:
    with pytest.raises(error) as caught:
        await publish(publisher, key, release_of(payload, **fields), payload)
    assert caught.value.next_step
    assert kept(publisher) == []
    assert await publisher.table.list() == ()


async def test_a_signature_of_another_key_or_of_other_bytes_is_refused_before_anything_is_kept(
    publisher: Publisher, key: SigningKey, other_key: SigningKey, release_of: Callable[..., Release]
) -> None:
    payload = bundle()
    manifest = write_manifest(release_of(payload))
    good = key.sign(manifest)
    for signature, data in (
        (other_key.sign(manifest), manifest),
        (good, manifest.replace(b'"1.4.0"', b'"1.4.1"')),
        (good, manifest + b" "),
        (bytes(384), manifest),
        (good[:-1], manifest),
    ):
        with pytest.raises(BadSignature):
            await publisher.publish(data, signature, yes, by="owner")
    with pytest.raises(UnknownName):
        await publisher.receive(release_of(payload).sha256, 0, payload[:100])
    foreign = write_manifest(release_of(payload, key_id=other_key.public.key_id))
    with pytest.raises(UnknownName):
        await publisher.publish(foreign, other_key.sign(foreign), yes, by="owner")
    assert kept(publisher) == []


async def test_another_payload_than_the_signed_one_is_refused(
    publisher: Publisher, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    payload = bundle()
    changed = payload[:-2_000] + bytes([payload[-2_000] ^ 1]) + payload[-1_999:]
    with pytest.raises(ConfigError):
        await publish(publisher, key, release_of(payload), changed)
    assert kept(publisher) == []


async def test_one_release_of_a_version_and_board_until_it_is_withdrawn(
    publisher: Publisher, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    payload = bundle()
    first = await publish(publisher, key, release_of(payload), payload)
    other = release_of(payload, expires="2999-01-01T00:00:00Z")
    with pytest.raises(ConfigError):
        await publish(publisher, key, other, payload)
    await publish(publisher, key, release_of(payload, channel="beta"), payload)
    await publisher.withdraw(first.release_id, by="owner")
    assert (await publisher.table.release(first.release_id)).withdrawn_ms is not None
    assert (await publish(publisher, key, other, payload)).release_id > first.release_id
    with pytest.raises(ConfigError):
        await publisher.publish(first.manifest, first.signature, yes, by="owner")
    assert kept(publisher) == [first.sha256]


async def test_a_key_that_is_taken_away_publishes_no_more(
    publisher: Publisher, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    await publisher.distrust(key.public.key_id, by="owner")
    payload = bundle()
    with pytest.raises(UnknownName):
        await publish(publisher, key, release_of(payload), payload)


async def test_a_change_of_keys_is_published(publisher: Publisher, key: SigningKey, other_key: SigningKey) -> None:
    manifest = write_manifest(change_of(key, other_key))
    made = await publisher.publish(manifest, key.sign(manifest), yes, by="owner")
    assert isinstance(made, ReleaseRow)
    assert (made.kind, made.version, made.sha256) == ("keys", "keys-2", "")
