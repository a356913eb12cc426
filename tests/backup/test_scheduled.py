"""Backups that the host makes by itself: when they are due, how many are kept, what fails."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.backup.conftest import KEYS, NOW_MS, restore, tree

from microclaw.api.status import for_everybody
from microclaw.audit import AuditEvent
from microclaw.backup.age import Password, decrypted
from microclaw.backup.scheduled import ScheduledBackups, backup_times, host_name
from microclaw.cli.host_commands import backup_line
from microclaw.config.load import load_settings
from microclaw.config.settings import BackupSettings
from microclaw.errors import ConfigError, Overloaded, StoreError

DAY_MS = 86_400_000
Make = Callable[..., ScheduledBackups]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


class Clock:
    now = NOW_MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> list[AuditEvent]:
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def made(home: Path, folder: Path, clock: Clock, events: list[AuditEvent]) -> Make:
    settings = BackupSettings(folder=str(folder), every="1d", keep=3, recipient=str(KEYS.public))

    def make(**changes: object) -> ScheduledBackups:
        changed = replace(settings, **changes)  # type: ignore[arg-type]
        return ScheduledBackups(home, changed, record=events.append, now_ms=lambda: clock.now)

    return make


async def test_one_is_made_when_it_is_due_and_the_newest_are_kept(
    made: Make, home: Path, folder: Path, clock: Clock, events: list[AuditEvent]
) -> None:
    backups = made()
    for day in range(5):
        clock.now = NOW_MS + day * DAY_MS
        await backups.run_due()
        clock.now += DAY_MS - 1
        await backups.run_due()
    times = [NOW_MS + day * DAY_MS for day in (2, 3, 4)]
    assert sorted(backup_times(folder, host_name(home))) == times
    assert [path.stat().st_mode & 0o777 for path in files(folder)] == [0o600] * 3
    assert [event.kind.value for event in events] == ["backup.made"] * 5
    await made().run_due()  # a host that starts again knows of them
    assert len(events) == 5
    state = backups.object()
    assert state is not None
    assert (state["count"], state["last_ms"], state["keep"]) == (3, times[-1], 3)
    assert backup_line(state).startswith("last ")
    assert for_everybody({"backup": state}) == {}
    new = home.with_name("new")
    restore(files(folder)[-1].read_bytes(), new)
    assert tree(new) == tree(home)


async def test_what_is_not_its_own_backup_is_left_alone(made: Make, home: Path, folder: Path, clock: Clock) -> None:
    backups, host = made(keep=1), host_name(home)
    others = {
        "microclaw-ffffffff-20270101T000000Z.age",
        f"microclaw-{host}-20270101T000000Z.age.old",
        f"microclaw-{host}-99999999T999999Z.age",
        "photo.jpg",
        ".microclaw-ffffffff-20270101T000000Z.age.01234567.new",
    }
    for name in (*others, f".microclaw-{host}-20270101T000000Z.age.01234567.new"):  # the last one is of a crash
        (folder / name).write_bytes(b"x")
    for day in (0, 1):
        clock.now = NOW_MS + day * DAY_MS
        await backups.run_due()
    names = {path.name for path in files(folder)}
    assert names >= others
    assert len(names) == len(others) + 1


async def test_a_backup_of_the_future_pushes_out_no_new_one_and_stops_none(
    made: Make, home: Path, folder: Path, clock: Clock
) -> None:
    backups = made(keep=2)
    (folder / f"microclaw-{host_name(home)}-20990101T000000Z.age").write_bytes(b"of a wrong clock")
    for day in (0, 1):
        clock.now = NOW_MS + day * DAY_MS
        await backups.run_due()
        assert len(files(folder)) == 2
    assert sorted(backup_times(folder, host_name(home))) == [NOW_MS, NOW_MS + DAY_MS]


async def test_a_password_file_locks_them_and_must_be_private(made: Make, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o644)
    backups = made(recipient=None, password_file=str(secret))
    with pytest.raises(StoreError):
        await backups.run_due()
    secret.chmod(0o600)
    await backups.run_due()
    (path,) = files(folder)
    assert b"".join(decrypted(io.BytesIO(path.read_bytes()), Password("correct horse battery")))
    path.unlink()
    secret.unlink()
    with pytest.raises(ConfigError):
        await backups.run_due()


async def test_a_folder_or_a_store_that_is_not_there_is_told(made: Make, home: Path, folder: Path) -> None:
    with pytest.raises(StoreError) as error:
        await made(folder=str(folder / "usb")).run_due()
    assert "mount" in str(error.value.next_step)
    (home / "microclaw.db").rename(home / "gone.db")
    with pytest.raises(ConfigError):
        await made().run_due()
    assert files(folder) == []


async def test_one_backup_at_a_time(made: Make, folder: Path) -> None:
    backups = made()
    with backups.reading() as chunks:
        with pytest.raises(Overloaded):
            await backups.run_due()
        assert b"".join(chunks)
    await backups.run_due()
    assert len(files(folder)) == 1


async def test_a_host_that_ends_leaves_no_half_backup(made: Make, home: Path, folder: Path) -> None:
    for number in range(20):
        (home / "workspace" / f"large-{number}").write_bytes(bytes(2 << 20))
    work = asyncio.create_task(made().run_due())
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [path for path in files(folder) if path.suffix != ".age"] == []
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
