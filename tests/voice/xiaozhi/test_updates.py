"""Updates of xiaozhi's firmware: what a person said yes to, for that device, never older, and judged by its report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.flash.images import one_image, program
from tests.voice.xiaozhi.conftest import MAC, ForeignDevice, Open, wall_ms

from microclaw.audit import AuditKind
from microclaw.errors import ConfigError
from microclaw.voice.xiaozhi.updates import AGREED_MS, MAX_DOWNLOADS, MAX_OFFERS, UNKNOWN_MS
from microclaw.wire.xiaozhi import credential_of

KITCHEN = credential_of(MAC)
S3, C3 = 9, 5
NEWER = program(S3, "xiaozhi", "2.5.0")
SHA = hashlib.sha256(NEWER).hexdigest()


class Clock:
    """The host's, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return wall_ms() + self.ahead_ms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "images"
    found.mkdir()
    (found / "bread-2.5.0.bin").write_bytes(NEWER)
    return found


async def boot(device: ForeignDevice, version: str = "2.4.2", **more: Any) -> dict[str, str]:
    """What the device is told of firmware at its start."""
    await device.do("boot", firmware=version, **more)
    firmware: dict[str, str] = (await device.until("ota", status=200))["body"]["firmware"]
    return firmware


async def standing(talk: Any) -> dict[str, Any]:
    """How its last update stands."""
    updates = talk.server.updates
    update: dict[str, Any] = updates.to_json(await updates.plan(KITCHEN))["update"]
    return update


async def agree(talk: Any, version: str = "2.5.0", sha256: str = SHA) -> None:
    await talk.server.updates.agree(KITCHEN, version, sha256, by="owner", device="kitchen")


async def ready(talk: Any) -> ForeignDevice:
    """Paired, started once more, and a person said yes."""
    device: ForeignDevice = await talk.paired()
    await boot(device)
    await agree(talk)
    return device


async def test_an_update_from_the_yes_to_the_version_that_it_reports(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        assert await boot(device) == {"version": "2.4.2", "url": ""}  # there is a newer one, and no yes
        plan = await talk.server.updates.plan(KITCHEN)
        assert (plan.image.version, plan.image.sha256, plan.image.file) == ("2.5.0", SHA, "bread-2.5.0.bin")
        await agree(talk)
        assert (await standing(talk))["state"] == "agreed"
        offered = await boot(device)
        assert offered["version"] == "2.5.0"
        assert "force" not in offered
        await device.do("fetch", url=offered["url"])
        fetched = await device.until("fetched")
        assert (fetched["status"], fetched["whole"], fetched["sha256"]) == (200, True, SHA)
        assert (await standing(talk))["state"] == "fetched"
        for status in (*[200] * (MAX_DOWNLOADS - 1), 404):  # who fetched it first may not have been the device
            await device.do("fetch", url=offered["url"])
            assert (await device.until("fetched"))["status"] == status
        assert await boot(device, "2.5.0") == {"version": "2.5.0", "url": ""}
        assert (await standing(talk))["state"] == "verified"
        kinds = [(e.kind, e.about, e.by) for e in talk.plane.audited if e.kind.value.startswith("firmware.")]
        assert kinds == [(AuditKind.FIRMWARE_ALLOWED, "kitchen", "owner"), (AuditKind.FIRMWARE_ENDED, "kitchen", None)]
        assert await boot(device, "2.5.0") == {"version": "2.5.0", "url": ""}


async def test_a_device_that_was_not_let_in_is_offered_nothing(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device)
        await agree(talk)
        other = await talk.device(client="99999999-2222-4333-8444-555555555555")  # the same MAC
        other.start("boot", rounds=1, polls=0)
        assert (await other.until("ota"))["body"]["firmware"] == {"version": "2.4.2", "url": ""}
        assert (await standing(talk))["state"] == "agreed"
        assert (await boot(device))["version"] == "2.5.0"


@pytest.mark.parametrize("version", ["2.5.0", "2.5.1", "2.10", "3.0.0"])
async def test_nothing_that_is_not_newer_is_offered(talking: Open, folder: Path, version: str) -> None:
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device, version)
        with pytest.raises(ConfigError, match=f"nothing newer than {version} for bread"):
            await agree(talk)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (program(C3, "xiaozhi", "2.6.0"), "is for the ESP32-C3, and this device says esp32s3"),
        (program(S3, "hello", "2.6.0"), "says of itself hello 2.6.0, not xiaozhi 2.6.0"),
        (program(S3, "xiaozhi", "2.5.9"), "says of itself xiaozhi 2.5.9, not xiaozhi 2.6.0"),
        (program(S3, "xiaozhi", "2.6.0")[:-40], "ends within its program|is damaged"),
        (program(S3, "xiaozhi", "2.6.0")[:500] + b"x" + program(S3, "xiaozhi", "2.6.0")[501:], "is damaged"),
        (program(S3, "xiaozhi", "2.6.0") + b"more", "bytes behind its program"),
        (b"MZ" * 500, "is damaged: its program has no header"),
        (b"", "is damaged: its program has no header"),
    ],
)
async def test_a_newest_image_that_is_wrong_is_told_of_and_no_other_taken(
    talking: Open, folder: Path, data: bytes, reason: str
) -> None:
    (folder / "bread-2.6.0.bin").write_bytes(data)
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device)
        with pytest.raises(ConfigError, match=reason):
            await agree(talk)


async def test_room_chip_and_partitions_of_the_device_count(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        for more, reason in (
            ({"slot": 1_000}, "room for 1,000"),
            ({"chip": ""}, "this device says nothing"),
            ({"version": "1.9.9"}, "has other partitions than 1.9.9"),
            ({"version": "v2-dirty"}, "not of numbers and dots"),
        ):
            await device.do("boot", firmware=more.pop("version", "2.4.2"), **more)
            with pytest.raises(ConfigError, match=reason):
                await agree(talk)


async def test_no_file_outside_of_the_folder_is_read(talking: Open, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret-9.0.0.bin").write_bytes(program(S3, "xiaozhi", "9.0.0"))
    (folder / "bread-9.0.0.bin").symlink_to(tmp_path / "secret-9.0.0.bin")
    (folder / "bread-8.0.0.bin").mkdir()
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device)
        assert (await talk.server.updates.plan(KITCHEN)).image.version == "2.5.0"
        base = talk.ota.removesuffix("ota/") + "firmware/"
        for path in ("bread-2.5.0.bin", "../../images/bread-2.5.0.bin", "%2e%2e/bread-2.5.0.bin", ".bin", ""):
            await device.do("fetch", url=base + path)
            assert (await device.until("fetched"))["status"] == 404


async def test_what_changed_after_the_yes_is_not_given_out(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await ready(talk)
        offered = await boot(device)
        (folder / "bread-2.5.0.bin").write_bytes(one_image(S3, NEWER[32 : 32 + 256] + b"other code"))
        changed = await standing(talk)
        assert changed["state"] == "failed"
        assert changed["text"].startswith("the file changed")
        await device.do("fetch", url=offered["url"])
        assert (await device.until("fetched"))["status"] == 503
        assert await boot(device) == {"version": "2.4.2", "url": ""}
        failed = await standing(talk)
        assert failed["state"] == "failed"
        assert "not the file any more" in failed["text"]


async def test_a_download_that_breaks_off_is_offered_again_three_times(talking: Open, folder: Path) -> None:
    large = one_image(S3, program(S3, "xiaozhi", "2.6.0")[32 : 32 + 256] + bytes(3_000_000))
    (folder / "bread-2.6.0.bin").write_bytes(large)
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device)
        await agree(talk, "2.6.0", hashlib.sha256(large).hexdigest())
        for _ in range(MAX_OFFERS):
            offered = await boot(device)
            assert offered["version"] == "2.6.0"
            await device.do("fetch", url=offered["url"], stop_after=1_000)
            await device.until("fetched")
            assert (await standing(talk))["state"] == "offered"
        assert await boot(device) == {"version": "2.4.2", "url": ""}
        failed = await standing(talk)
        assert (failed["state"], failed["text"]) == ("failed", "it was offered 3 times and never fetched whole")


async def test_a_report_that_says_nothing_leaves_what_is_known(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await ready(talk)
        known = (await talk.server.updates.plan(KITCHEN)).report
        await device.do("boot", firmware="")
        assert (await talk.server.updates.plan(KITCHEN)).report == known
        assert (await standing(talk))["state"] == "agreed"


async def test_an_image_that_did_not_start_is_not_offered_again(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await ready(talk)
        offered = await boot(device)
        await device.do("fetch", url=offered["url"])
        await device.until("fetched", whole=True)
        assert await boot(device) == {"version": "2.4.2", "url": ""}  # it went back to the one before
        failed = await standing(talk)
        assert failed["state"] == "failed"
        assert "reports 2.4.2" in failed["text"]
        assert await boot(device) == {"version": "2.4.2", "url": ""}


async def test_without_another_start_the_outcome_is_unknown_and_a_late_one_settles_it(
    talking: Open, folder: Path
) -> None:
    clock = Clock()
    async with talking(firmware=folder, now_ms=clock) as talk:
        device = await ready(talk)
        offered = await boot(device)
        await device.do("fetch", url=offered["url"])
        await device.until("fetched", whole=True)
        clock.ahead_ms = UNKNOWN_MS + 1_000
        assert (await standing(talk))["state"] == "outcome_unknown"
        await boot(device, "2.5.0")
        assert (await standing(talk))["state"] == "verified"


async def test_a_yes_ends_after_a_day_or_when_it_is_taken_back(talking: Open, folder: Path) -> None:
    clock = Clock()
    async with talking(firmware=folder, now_ms=clock) as talk:
        device = await ready(talk)
        offered = await boot(device)
        assert (await talk.server.updates.cancel(KITCHEN)).version == "2.5.0"
        await device.do("fetch", url=offered["url"])
        assert (await device.until("fetched"))["status"] == 404
        assert (await boot(device))["url"] == ""
        await agree(talk)
        clock.ahead_ms = AGREED_MS + 1_000
        assert (await standing(talk))["state"] == "failed"
        assert (await boot(device))["url"] == ""
        assert "24 hours" in (await standing(talk))["text"]


async def test_a_device_that_is_revoked_takes_its_update_with_it(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await ready(talk)
        offered = await boot(device)
        await talk.plane.plane.revoke("kitchen", by="owner")
        await device.do("fetch", url=offered["url"])
        assert (await device.until("fetched"))["status"] == 404
        plan = await talk.server.updates.plan(KITCHEN)
        assert (plan.report, plan.update) == (None, None)


async def test_a_yes_is_for_what_was_shown(talking: Open, folder: Path) -> None:
    async with talking(firmware=folder) as talk:
        device = await talk.paired()
        await boot(device)
        with pytest.raises(ConfigError, match="another image is there than the one that was shown"):
            await agree(talk, sha256="0" * 64)
    async with talking() as talk:
        with pytest.raises(ConfigError, match="no folder with images"):
            await agree(talk)
