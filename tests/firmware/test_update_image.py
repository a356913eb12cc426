"""Application images for the second slot, over the link: the firmware's own files on a simulated `esp32.Partition`."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.firmware.test_update import WELL, about, offer, put
from tests.firmware.test_update import updatable as updatable
from tests.firmware.update_host import UpdateHost, hosting_updates

from microclaw.wire.link.messages import BlobRead

SLOT_BYTES = 256 * 1024
SIZE = 200_001


def image(chip: int = 0, size: int = SIZE) -> bytes:
    """As far as the board looks at it: ESP-IDF's header, the start of the application's description."""
    head = struct.pack("<BBBBIB3sHBHH4sB", 0xE9, 1, 2, 0x20, 0x40080000, 0, bytes(3), chip, 0, 0, 0, bytes(4), 1)
    description = struct.pack("<IIII32s32s", 0xABCD5432, 3, 0, 0, b"1.4.0", b"microclaw-micropython")
    body = random.Random(5).randbytes(size)
    return (head + struct.pack("<II", 0x3F400020, size) + description + body)[:size]


@pytest.fixture
def slots(updatable: Firmware) -> Firmware:
    """A board with two slots; the first one runs."""
    for name in ("ota_0", "ota_1"):
        (updatable.folder / name).write_bytes(b"\xff" * SLOT_BYTES)
    updatable.write("otadata.json", json.dumps({"boot": "ota_0", "ota_0": "valid", "two": True, "size": SLOT_BYTES}))
    return updatable


async def test_an_image_comes_into_the_other_slot_through_a_power_cut(slots: Firmware, tmp_path: Path) -> None:
    payload = image()
    host = UpdateHost(payload)
    died = False

    def serve(_host: UpdateHost, window: BlobRead) -> bool:
        nonlocal died
        if window.offset > 100_000 and not died:
            died = True
            slots.kill()
            return False
        return True

    host.serve = serve
    async with hosting_updates(slots, tmp_path, host), asyncio.timeout(PATIENCE_S):
        async with slots.running():
            host.say(offer(payload, kind="image"))
            await host.until(lambda: died)
            assert slots.process is not None
            await slots.process.wait()
        async with slots.running():
            await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
    assert host.states("1.4.0") == WELL
    assert (slots.folder / "ota_1").read_bytes()[:SIZE] == payload
    assert slots.read("otadata.json")["boot"] == "ota_1"
    assert slots.read("otadata.json")["ota_1"] == "valid"
    assert [hello.firmware.version for hello in host.hellos] == ["1.0.0", "1.0.0", "1.4.0"]
    offsets = [window.offset for window in host.windows]
    again = next(after for before, after in pairwise(offsets) if after < before)
    assert again == 65536, "what was noted last"
    ota = host.hellos[-1].ota
    assert ota is not None
    assert list(ota.kinds) == ["files", "image"]


async def test_an_image_without_a_welcome_goes_back_with_the_next_reset(slots: Firmware, tmp_path: Path) -> None:
    payload = image()
    host = UpdateHost(payload)
    async with hosting_updates(slots, tmp_path, host), asyncio.timeout(PATIENCE_S):
        async with slots.running():
            host.say(offer(payload, kind="image"))
            await host.until(lambda: "staged" in host.states("1.4.0"))
            host.lets_in = False
            await slots.until("starting")
            await slots.until("starting")
        host.lets_in = True
        async with slots.running():
            await host.until(lambda: host.states("1.4.0")[-1:] == ["rolled_back"])
    assert host.statuses[-1].error == "unhealthy: power_on"
    assert slots.read("otadata.json")["boot"] == "ota_0"
    assert host.hellos[-1].firmware.version == "1.0.0"


async def test_the_version_is_that_of_what_was_taken_last(slots: Firmware, tmp_path: Path) -> None:
    """An image of 1.4.0, refused is one of 1.3.0; then our files of 1.5.0."""
    payload = image()
    host = UpdateHost(payload)
    async with hosting_updates(slots, tmp_path, host), asyncio.timeout(PATIENCE_S):
        async with slots.running():
            host.say(offer(payload, kind="image"))
            await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
            host.say(offer(payload, kind="image", version="1.3.0"))
            await host.until(lambda: host.states("1.3.0") == ["refused"])
            before = len(host.hellos)
            host.cut()
            await host.until(lambda: len(host.hellos) > before)
        assert host.statuses[-1].error == "old_version: 1.3.0, here runs 1.4.0"
        put(slots.folder / "fw_a/about.json", about("1.5.0", 0))
        before = len(host.hellos)
        async with slots.running():
            await host.until(lambda: len(host.hellos) > before)
    assert [hello.firmware.version for hello in host.hellos] == ["1.0.0", "1.4.0", "1.4.0", "1.5.0"]


@pytest.mark.parametrize(
    ("changes", "state", "error"),
    [
        ({"chip": 9}, "failed", "bad_image: for esp32s3"),
        ({"size": SLOT_BYTES + 1}, "refused", "no_slot"),
        ({"two": False}, "refused", "no_slot"),
    ],
)
async def test_an_image_that_cannot_run_here_is_refused(
    slots: Firmware, tmp_path: Path, changes: dict[str, int], state: str, error: str
) -> None:
    payload = image(changes.get("chip", 0), changes.get("size", SIZE))
    if "two" in changes:
        (slots.folder / "otadata.json").unlink()
    host = UpdateHost(payload)
    async with hosting_updates(slots, tmp_path, host), slots.running(), asyncio.timeout(PATIENCE_S):
        host.say(offer(payload, kind="image"))
        await host.until(lambda: host.states("1.4.0")[-1:] == [state])
        assert slots.boots == 1
    assert (host.statuses[-1].error or "").startswith(error)
