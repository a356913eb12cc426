"""From a backup to a home: whole or not at all."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.backup.conftest import FILES, KEYS, NOW_MS, backup_of, make_home, tree

from microclaw.audit import AuditEvent, AuditKind, read_events, verify_chains
from microclaw.audit.event import line_of
from microclaw.audit.files import FOLDER as AUDIT
from microclaw.audit.files import append_lines, locked
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import host_names
from microclaw.auth.credentials import Identity, Refusal
from microclaw.auth.device_identity import Authenticator
from microclaw.auth.device_tokens import DeviceTokens, token_hash
from microclaw.backup.age_file import decrypted, encrypted
from microclaw.backup.archive import WORK, HomeFile, archive_of, home_archive, list_files
from microclaw.backup.errors import BackupDamaged, BackupError
from microclaw.backup.restore import Restored, restore_home
from microclaw.errors import ConfigError, StoreError, StoreOwned
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable
from microclaw.store.sqlite_file import take_lock

PATIENCE_S = 60
DAY_MS = 86_400_000
NAMES = host_names("lab.example", ())


def restore(data: bytes, home: Path, *, replace: bool = False) -> Restored:
    chunks = decrypted(io.BytesIO(data), KEYS)
    return restore_home(chunks, home, replace=replace, now=lambda: datetime(2026, 11, 22, 10, 30))


def test_everything_is_back_with_its_modes_and_times(home: Path, tmp_path: Path) -> None:
    new = tmp_path / "b" / "home"
    restored = restore(backup_of(home), new)
    assert tree(new) == tree(home)
    assert (restored.old_home, restored.unanswered, restored.contents.devices) == (None, 1, 1)
    assert {path.stat().st_mode & 0o777 for path in [new, *new.rglob("*")] if path.is_dir()} == {0o700}
    modes = {path.name: path.stat().st_mode & 0o777 for path in new.rglob("*") if path.is_file()}
    assert {name for name, mode in modes.items() if mode == 0o700} == {"check.py"}
    assert set(modes.values()) == {0o600, 0o700}
    assert (new / "sessions/terminal_t.jsonl").stat().st_mtime == 1_700_000_000
    (event,) = read_events(new)
    assert event.event.kind.value == "backup.restored"
    assert [path.name for path in new.parent.iterdir()] == ["home"]


@pytest.mark.parametrize(("more", "devices"), [(1, 0), (-1, 0), (0, 1)])
def test_an_archive_that_is_not_what_it_says_puts_nothing_in_place(
    home: Path, tmp_path: Path, more: int, devices: int
) -> None:
    before = tree(home)
    with home_archive(home, now_ms=NOW_MS) as (contents, _):
        store = home / WORK / "microclaw.db"
        files = [HomeFile(store.name, store, store.stat().st_size), *list_files(home)[0]]
        says = replace(contents, files=contents.files - more, devices=contents.devices + devices)
        data = b"".join(encrypted(archive_of(says, files), KEYS.public, os.urandom))
    for place, replacing in ((tmp_path / "new", False), (home, True)):
        with pytest.raises(BackupDamaged):
            restore(data, place, replace=replacing)
    assert tree(home) == before
    assert sorted(path.name for path in (*tmp_path.iterdir(), *home.parent.iterdir())) == ["a", "home"]


async def test_the_store_is_settled_so_that_nothing_is_done_or_numbered_twice(home: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    with closing(sqlite3.connect(home / "microclaw.db")) as connection:
        connection.execute("INSERT OR IGNORE INTO people VALUES ('owner', 'owner', 'owner', 1)")
        connection.execute(f"INSERT INTO sign_ins VALUES ('s-1', 'owner', x'{'ab' * 32}', 'link', '', '', 1, 1)")
        connection.execute("INSERT INTO person_passwords VALUES ('owner', '$argon2id$', 1)")
        connection.commit()
    restore(backup_of(home), new)
    with closing(sqlite3.connect(new / "microclaw.db")) as connection:
        assert connection.execute("SELECT * FROM sign_ins").fetchall() == []  # one that was ended must not live again
        assert len(connection.execute("SELECT * FROM person_passwords").fetchall()) == 1
        ((epoch,),) = connection.execute("SELECT tx_epoch FROM links").fetchall()
        assert epoch != b"e" * 8
        assert connection.execute("SELECT state FROM inbox").fetchall() == [("kept",)]
        assert connection.execute("SELECT name FROM devices").fetchall() == [("lamp",)]
    async with Database.open(new / "microclaw.db"):
        pass  # whole, of this version, and nobody holds its lock


async def authenticated(home: Path, token: str) -> Identity | Refusal:
    async with Database.open(home / "microclaw.db") as database:
        table = IdentityTable(database)
        authority = await Authority.open(home / "identity", table, NAMES, now_ms=lambda: NOW_MS + DAY_MS)
        authenticator = Authenticator(authority.certificate, table, now_ms=lambda: NOW_MS + DAY_MS)
        return await authenticator.authenticate(None, f"Bearer {token}")


async def test_a_token_of_before_the_backup_opens_the_restored_host_and_a_later_one_does_not(
    home: Path, tmp_path: Path
) -> None:
    """A board with a token has to be paired again where the host changed it after the backup (docs/backup.md)."""
    clock = [NOW_MS]
    async with Database.open(home / "microclaw.db") as database:
        tokens = DeviceTokens(IdentityTable(database), now_ms=lambda: clock[0])
        issued = await tokens.issue("d-1")
        assert issued is not None
        data = backup_of(home)
        clock[0] += DAY_MS
        later = await tokens.rotate(Identity("d-1", "token", token_hash(issued.token).hex(), clock[0]))
        assert later is not None
    restored = restore(data, tmp_path / "new")
    assert restored.contents.changing_tokens == 1
    assert isinstance(await authenticated(tmp_path / "new", issued.token), Identity)
    assert isinstance(await authenticated(tmp_path / "new", later.token), Refusal)


def test_a_home_that_is_not_empty_is_replaced_only_when_told_and_kept(home: Path, tmp_path: Path) -> None:
    data = backup_of(home)
    (home / "memory/MEMORY.md").write_bytes(b"newer\n")
    before = tree(home)
    with pytest.raises(ConfigError):
        restore(data, home)
    restored = restore(data, home, replace=True)
    assert restored.old_home == home.with_name("home.before-20261122-103000")
    assert tree(restored.old_home) == before
    assert (home / "memory/MEMORY.md").read_bytes() == FILES["memory/MEMORY.md"]
    assert restore(data, home, replace=True).old_home == home.with_name("home.before-20261122-103000-2")


def test_an_empty_home_and_a_link_to_one_are_filled(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("empty")
    restore(backup_of(home), tmp_path / "link")
    assert tree(tmp_path / "empty") == tree(home)
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


def test_a_home_in_which_a_host_started_meanwhile_stays(home: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"

    def chunks() -> Iterator[bytes]:
        yield from decrypted(io.BytesIO(backup_of(home)), KEYS)
        new.mkdir()
        (new / "microclaw.db").write_bytes(b"another host's")

    with pytest.raises(StoreError):
        restore_home(chunks(), new, replace=True)
    assert [path.name for path in new.iterdir()] == ["microclaw.db"]


def test_somebodys_folder_and_a_home_whose_host_runs_are_refused(home: Path, tmp_path: Path) -> None:
    data = backup_of(home)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError):
        restore(data, tmp_path / "photos", replace=True)
    lock = take_lock(home / "microclaw.db")
    before = tree(home)
    try:
        with pytest.raises(StoreOwned):
            restore(data, home, replace=True)
    finally:
        os.close(lock)
    assert tree(home) == before
    assert sorted(path.name for path in home.parent.iterdir()) == ["home"]


@pytest.mark.parametrize("part", [0.1, 0.9])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_broken_backup_writes_nothing_to_the_home(home: Path, damage: str, part: float) -> None:
    data = bytearray(backup_of(home))
    place = min(len(data) - 1, round(part * len(data)))
    if damage == "cut":
        del data[place:]
    else:
        data[place] ^= 1
    before = tree(home)
    with pytest.raises(BackupError):
        restore(bytes(data), home, replace=True)
    assert tree(home) == before
    assert [path.name for path in home.parent.iterdir()] == ["home"]


def test_a_backup_whose_store_or_identity_does_not_fit_is_refused(home: Path, tmp_path: Path) -> None:
    (home / "identity/authority.pem").unlink()
    with pytest.raises(BackupDamaged):
        restore(backup_of(home), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_a_disk_without_room_is_told_before_anything_is_unpacked(home: Path, tmp_path: Path) -> None:
    with (home / "workspace/sparse").open("wb") as file:
        file.truncate(7 << 30)
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    for count in range(free // (7 << 30) + 1):
        os.link(home / "workspace/sparse", home / f"workspace/sparse-{count}")
    with home_archive(home, now_ms=NOW_MS) as (_, chunks), pytest.raises(StoreError):
        restore_home(chunks, tmp_path / "new", replace=False)
    assert not (tmp_path / "new").exists()


CHILD = """
import sys
from pathlib import Path
from microclaw.backup.restore import restore_home
def chunks():
    while data := sys.stdin.buffer.read(4096):
        yield data
        print(len(data), flush=True)
restore_home(chunks(), Path(sys.argv[1]), replace=True)
"""


@pytest.mark.parametrize("after", [1, 300])
def test_a_kill_while_it_unpacks_leaves_the_old_home_and_the_next_try_works(home: Path, after: int) -> None:
    with home_archive(home, now_ms=NOW_MS) as (_, chunks):
        plain = b"".join(chunks)
    before = tree(home)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        for count in range(after):
            child.stdin.write(plain[count * 4096 : (count + 1) * 4096])
            child.stdin.flush()
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        assert child.wait(PATIENCE_S) == -signal.SIGKILL
    assert tree(home) == before
    restored = restore(backup_of(home), home, replace=True)
    assert tree(home) == before
    assert restored.old_home is not None
    assert sorted(path.name for path in home.parent.iterdir()) == ["home", restored.old_home.name]


async def test_a_whole_home_that_an_earlier_restore_left_aside_is_kept(home: Path) -> None:
    """As after a power cut between the exchange and the last rename: it is the home of before."""
    await make_home(home.with_name(".home.restoring") / "ready")
    data = backup_of(home)
    restore(data, home, replace=True)
    kept = sorted(path.name for path in home.parent.iterdir())
    assert kept == ["home", "home.before-20261122-103000", "home.before-20261122-103000-2"]
    assert tree(home.with_name(kept[1])).keys() == tree(home).keys()


def test_a_backup_has_the_security_log_and_its_head_as_of_one_moment(home: Path, tmp_path: Path) -> None:
    """While lines are added it waits: it comes in between, where lines are written and their head is not yet."""
    long = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "a b c " * 30, about="ci"), 0)
    append_lines(home / AUDIT, "acts", [long] * 3)
    made: list[bytes] = []
    maker = threading.Thread(target=lambda: made.append(backup_of(home)))
    inode = (home / AUDIT).stat().st_ino
    with locked(home / AUDIT):
        maker.start()
        deadline = time.monotonic() + 60
        while not (waits := _is_waited_for(inode)) and maker.is_alive() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        lines = (home / AUDIT / "acts.jsonl").read_bytes()
        (home / AUDIT / "acts.jsonl").write_bytes(lines[:100])  # what nobody may see
        done_meanwhile = bool(made)
        (home / AUDIT / "acts.jsonl").write_bytes(lines)
    maker.join()
    assert (waits, done_meanwhile) == (True, False)
    restore(made[0], tmp_path / "new")
    reports = verify_chains(tmp_path / "new")
    assert all(report.whole for report in reports), reports
    assert [one.event.kind.value for one in read_events(tmp_path / "new", kinds={"backup"})] == ["backup.restored"]


def _is_waited_for(inode: int) -> bool:
    """Whether somebody waits for the lock of this file, as the kernel tells it."""
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any("->" in row and any(word.endswith(f":{inode}") for word in row) for row in rows)
