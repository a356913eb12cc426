"""Backups that the host makes by itself: when they are due, how many are kept, what fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.backup.conftest import KEY, NOW_MS, restore, tree

from microclaw.errors import ConfigError, Overloaded, StoreError
from microclaw.host.audit.event import AuditEvent
from microclaw.host.backup.scheduled import ScheduledBackups
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import BackupSettings
from microclaw.text import moment_text

DAY_MS = 86_400_000


class Backups:
    """Those of a home in a folder, at `now_ms`, with the security log's events."""

    def __init__(self, home: Path, folder: Path) -> None:
        folder.mkdir()
        self.home = home
        self.folder = folder
        self.now_ms = NOW_MS
        self.events: list[AuditEvent] = []
        self.settings = BackupSettings(folder=str(folder), every="1d", keep=3, recipient=str(KEY.to_public()))

    def made(self, **changes: object) -> ScheduledBackups:
        changed = replace(self.settings, **changes)  # type: ignore[arg-type]
        return ScheduledBackups(self.home, changed, record=self.events.append, now_ms=lambda: self.now_ms)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def kept(home: Path, tmp_path: Path) -> Backups:
    return Backups(home, tmp_path / "kept")


async def test_one_is_made_when_it_is_due_and_the_newest_are_kept(kept: Backups) -> None:
    backups = kept.made()
    for day in range(5):
        kept.now_ms = NOW_MS + day * DAY_MS
        await backups.run_due()
        kept.now_ms += DAY_MS - 1
        await backups.run_due()
    await kept.made().run_due()  # a host that starts again knows of them
    assert [event.kind.value for event in kept.events] == ["backup.made"] * 5
    assert f"last {moment_text(NOW_MS + 4 * DAY_MS)}; 3 in " in str(backups.text())
    assert [path.stat().st_mode & 0o777 for path in kept.files()] == [0o600] * 3
    new = kept.home.with_name("new")
    restore(kept.files()[-1].read_bytes(), new)
    assert tree(new) == tree(kept.home)


async def test_what_is_not_its_own_is_left_alone_and_the_future_pushes_out_no_new_one(kept: Backups) -> None:
    backups = kept.made(keep=1)
    await backups.run_due()
    (first,) = kept.files()
    prefix = first.name[:-20]
    others = {
        "microclaw-ffffffff-20270101T000000Z.age",
        f"{prefix}20270101T000000Z.age.old",
        f"{prefix}99999999T999999Z.age",
        "photo.jpg",
        ".microclaw-ffffffff-20270101T000000Z.age.01234567.new",
    }
    of_a_crash = f".{prefix}20270101T000000Z.age.01234567.new"
    of_a_wrong_clock = f"{prefix}20990101T000000Z.age"
    for name in (*others, of_a_crash, of_a_wrong_clock):
        (kept.folder / name).write_bytes(b"x")
    kept.now_ms += DAY_MS
    await backups.run_due()
    (second,) = {path.name for path in kept.files()} - others
    assert second not in (first.name, of_a_wrong_clock)


async def test_a_folder_that_is_not_there_is_told_and_one_backup_is_made_at_a_time(kept: Backups) -> None:
    with pytest.raises(StoreError) as error:
        await kept.made(folder=str(kept.folder / "usb")).run_due()
    assert "mount" in str(error.value.next_step)
    backups = kept.made()
    with backups.reading() as chunks:
        with pytest.raises(Overloaded):
            await backups.run_due()
        assert b"".join(chunks)
    await backups.run_due()
    assert len(kept.files()) == 1


async def test_a_host_that_ends_leaves_no_half_backup(kept: Backups) -> None:
    for number in range(20):
        (kept.home / "workspace" / f"large-{number}").write_bytes(bytes(2 << 20))
    work = asyncio.create_task(kept.made().run_due())
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [path for path in kept.files() if path.suffix != ".age"] == []
    assert not (kept.home / "backup.new").exists()


def test_settings_need_a_public_key(tmp_path: Path) -> None:
    key = str(KEY.to_public())

    def problems(recipient: str) -> int:
        environ = {"MICROCLAW_BACKUP__FOLDER": str(tmp_path), "MICROCLAW_BACKUP__RECIPIENT": recipient}
        return len(load_settings(environ, home=tmp_path / "home").problems)

    assert (problems(""), problems(key)) == (1, 0)
    with pytest.raises(ConfigError):
        problems(key[:-1])
