"""Backups that the host makes by itself: when they are due, how many are kept, what fails."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.backup.conftest import KEYS, NOW_MS, tree

from microclaw.api.status import for_everybody
from microclaw.audit import AuditEvent
from microclaw.backup.age_file import decrypted
from microclaw.backup.keys import Password
from microclaw.backup.restore import restore_home
from microclaw.backup.scheduled import ScheduledBackups, backups_in, host_name
from microclaw.cli.host_commands import backup_line
from microclaw.config.load import load_settings
from microclaw.config.settings import BackupSettings
from microclaw.errors import ConfigError, MicroclawError, StoreError

DAY_MS = 86_400_000


class Clock:
    now = NOW_MS

    def ms(self) -> int:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> BackupSettings:
    (tmp_path / "kept").mkdir()
    return BackupSettings(folder=str(tmp_path / "kept"), every="1d", keep=3, recipient=str(KEYS.public))


@pytest.fixture
def made(home: Path, settings: BackupSettings) -> Callable[..., tuple[ScheduledBackups, Clock, list[AuditEvent]]]:
    def make(**changes: object) -> tuple[ScheduledBackups, Clock, list[AuditEvent]]:
        clock, events = Clock(), list[AuditEvent]()
        changed = replace(settings, **changes)  # type: ignore[arg-type]
        return ScheduledBackups(home, changed, record=events.append, now_ms=clock.ms), clock, events

    return make


Make = Callable[..., tuple[ScheduledBackups, Clock, list[AuditEvent]]]


async def test_one_is_made_when_it_is_due_and_the_newest_are_kept(made: Make, home: Path, tmp_path: Path) -> None:
    backups, clock, events = made()
    folder, state = tmp_path / "kept", backups.object()
    assert state is not None
    for day in range(5):
        clock.now = NOW_MS + day * DAY_MS
        await backups.run_due()
        clock.now += DAY_MS - 1
        await backups.run_due()
    found = sorted(backups_in(folder))
    assert [at for _, at, _ in found] == [NOW_MS + day * DAY_MS for day in (2, 3, 4)]
    assert len(list(folder.iterdir())) == 3
    assert len(events) == 5
    assert {(event.kind.value, path.stat().st_mode & 0o777) for event in events for *_, path in found} == {
        ("backup.made", 0o600)
    }
    state = backups.object()
    assert state is not None
    assert (state["count"], state["last_ms"], state["keep"]) == (3, NOW_MS + 4 * DAY_MS, 3)
    assert backup_line(state).startswith("last ")
    assert for_everybody({"backup": state}) == {}
    restore_home(decrypted(io.BytesIO(found[-1][2].read_bytes()), KEYS), tmp_path / "new", replace=False)
    assert tree(tmp_path / "new") == tree(home)


async def test_what_is_not_its_own_backup_is_left_alone(made: Make, home: Path, tmp_path: Path) -> None:
    backups, clock, _ = made(keep=1)
    folder, host = tmp_path / "kept", host_name(home)
    others = [
        "microclaw-ffffffff-20270101T000000Z.age",
        f"microclaw-{host}-20270101T000000Z.age.old",
        f"microclaw-{host}-99999999T999999Z.age",
        "photo.jpg",
        ".microclaw-ffffffff-20270101T000000Z.age.01234567.new",
    ]
    for name in others:
        (folder / name).write_bytes(b"x")
    (folder / f".microclaw-{host}-20270101T000000Z.age.01234567.new").write_bytes(b"of a crash")
    for day in (0, 1):
        clock.now = NOW_MS + day * DAY_MS
        await backups.run_due()
    names = {path.name for path in folder.iterdir()}
    assert names >= set(others)
    assert len(names) == len(others) + 1


async def test_a_backup_of_the_future_pushes_out_no_new_one_and_stops_none(
    made: Make, home: Path, tmp_path: Path
) -> None:
    backups, clock, _ = made(keep=2)
    (tmp_path / "kept" / f"microclaw-{host_name(home)}-20990101T000000Z.age").write_bytes(b"of a wrong clock")
    await backups.run_due()
    assert len(backups_in(tmp_path / "kept")) == 2
    clock.now += DAY_MS
    await backups.run_due()
    assert sorted(at for _, at, _ in backups_in(tmp_path / "kept")) == [NOW_MS, NOW_MS + DAY_MS]


async def test_the_host_starts_again_and_knows_when_the_last_one_was(made: Make, tmp_path: Path) -> None:
    first, _, _ = made()
    await first.run_due()
    again, clock, events = made()
    clock.now += DAY_MS // 2
    await again.run_due()
    assert events == []
    state = again.object()
    assert state is not None
    assert state["last_ms"] == NOW_MS


async def test_a_password_file_locks_them_and_must_be_private(made: Make, home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o644)
    backups, _, _ = made(recipient=None, password_file=str(secret))
    with pytest.raises(StoreError):
        await backups.run_due()
    secret.chmod(0o600)
    await backups.run_due()
    ((_, _, path),) = backups_in(tmp_path / "kept")
    assert b"".join(decrypted(io.BytesIO(path.read_bytes()), Password("correct horse battery")))
    secret.unlink()
    backups, _, _ = made(recipient=None, password_file=str(secret), folder=str(home))
    with pytest.raises(ConfigError):
        await backups.run_due()


async def test_a_folder_that_is_not_there_is_told_with_what_to_do(made: Make, home: Path, tmp_path: Path) -> None:
    backups, _, _ = made(folder=str(tmp_path / "usb"))
    with pytest.raises(MicroclawError) as error:
        await backups.run_due()
    assert "mount" in str(error.value.next_step)
    (tmp_path / "usb").mkdir()
    (home / "microclaw.db").rename(home / "gone.db")
    with pytest.raises(ConfigError):
        await backups.run_due()
    state = backups.object()
    assert state is not None
    assert list((tmp_path / "usb").iterdir()) == []


async def test_a_host_that_ends_leaves_no_half_backup(made: Make, home: Path, tmp_path: Path) -> None:
    for number in range(20):
        (home / "workspace" / f"large-{number}").write_bytes(bytes(2 << 20))
    backups, _, _ = made()
    work = asyncio.create_task(backups.run_due())
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [path for path in (tmp_path / "kept").iterdir() if path.suffix != ".age"] == []
    assert not (home / "backup.new").exists()


def test_settings_need_a_lock_and_one_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    lines = [f'folder = "{tmp_path}"', f'recipient = "{KEYS.public}"', f'password_file = "{tmp_path / "p"}"']

    def load(*chosen: int) -> BackupSettings | None:
        (home / "config.toml").write_text("\n".join(["[backup]", *(lines[n] for n in chosen)]))
        settings = load_settings({}, home=home)
        assert bool(settings.problems) is (chosen == (0,))
        return settings.backup

    assert load(1) is load(0) is None
    for chosen in ((0, 1), (0, 2)):
        assert load(*chosen) is not None
    with pytest.raises(ConfigError):
        load(0, 1, 2)
