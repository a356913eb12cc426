"""From a backup to a home: whole or not at all."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.backup.conftest import FILES, KEY, NOW_MS, backup_of, make_home, restore, tree

from microclaw.audit import AuditEvent, AuditKind, read_events, verify_chains
from microclaw.audit.event import line_of
from microclaw.audit.files import FOLDER as AUDIT
from microclaw.audit.files import append_lines, locked
from microclaw.backup.age import decrypted, encrypted
from microclaw.backup.archive import HomeFile, archive_of, home_archive
from microclaw.backup.restore import restore_home
from microclaw.errors import BackupDamaged, ConfigError, StoreError, StoreOwned
from microclaw.store.database import Database
from microclaw.store.sqlite_file import take_lock

PATIENCE_S = 60
KEPT = "home.before-20261122-103000"


def beside(home: Path) -> list[str]:
    return sorted(path.name for path in home.parent.iterdir())


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
    assert [event.event.kind.value for event in read_events(new)] == ["backup.restored"]
    assert beside(new) == ["home"]


@pytest.mark.parametrize("wrong", ["files", "devices", "store", "identity"])
def test_an_archive_that_is_not_what_it_says_puts_nothing_in_place(home: Path, tmp_path: Path, wrong: str) -> None:
    before = tree(home)
    with home_archive(home, now_ms=NOW_MS) as (contents, chunks):
        store = tmp_path / "store"
        store.write_bytes((home / "backup.new/microclaw.db").read_bytes() if wrong != "store" else b"x" * 8192)
        paths = {"microclaw.db": store, "config.toml": home / "config.toml"}
        if wrong != "identity":
            paths["identity/authority.pem"] = home / "identity/authority.pem"
        files = [HomeFile(name, path, path.stat().st_size) for name, path in paths.items()]
        says = replace(
            contents,
            files=len(files) + (wrong == "files"),
            bytes=sum(file.size_bytes for file in files),
            devices=contents.devices + (wrong == "devices"),
        )
        data = b"".join(encrypted(archive_of(says, files), KEY.public))
        list(chunks)
    for place, replacing in ((tmp_path / "new", False), (home, True)):
        with pytest.raises(BackupDamaged):
            restore(data, place, replace=replacing)
    assert tree(home) == before
    assert (beside(home), beside(store)) == (["home"], ["a", "store"])


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
        assert connection.execute("SELECT tx_epoch FROM links").fetchall() != [(b"e" * 8,)]
        assert connection.execute("SELECT state FROM inbox").fetchall() == [("kept",)]
        assert connection.execute("SELECT name FROM devices").fetchall() == [("lamp",)]
    async with Database.open(new / "microclaw.db"):
        pass  # whole, of this version, and nobody holds its lock


def test_a_home_that_is_not_empty_is_replaced_only_when_told_and_kept(home: Path) -> None:
    data = backup_of(home)
    (home / "memory/MEMORY.md").write_bytes(b"newer\n")
    before = tree(home)
    with pytest.raises(ConfigError):
        restore(data, home)
    restored = restore(data, home, replace=True)
    assert restored.old_home == home.with_name(KEPT)
    assert tree(restored.old_home) == before
    assert (home / "memory/MEMORY.md").read_bytes() == FILES["memory/MEMORY.md"]
    assert restore(data, home, replace=True).old_home == home.with_name(f"{KEPT}-2")


def test_an_empty_home_and_a_link_to_one_are_filled(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("empty")
    restore(backup_of(home), tmp_path / "link")
    assert tree(tmp_path / "empty") == tree(home)
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


def test_a_home_in_which_a_host_started_meanwhile_stays(home: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"

    def chunks() -> Iterator[bytes]:
        yield from decrypted(io.BytesIO(backup_of(home)), KEY)
        new.mkdir()
        (new / "microclaw.db").write_bytes(b"another host's")

    with pytest.raises(StoreError):
        restore_home(chunks(), new, replace=True)
    assert [path.name for path in new.iterdir()] == ["microclaw.db"]


def test_what_cannot_be_restored_to_is_refused_and_stays(home: Path, tmp_path: Path) -> None:
    data, before = backup_of(home), tree(home)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    for place in (tmp_path / "photos", tmp_path / "file", Path("/proc")):
        with pytest.raises(ConfigError):
            restore(data, place, replace=True)
    with pytest.raises(StoreError):
        restore(data, tmp_path / "file" / "x")
    lock = take_lock(home / "microclaw.db")
    with pytest.raises(StoreOwned):
        restore(data, home, replace=True)
    os.close(lock)
    assert tree(home) == before
    assert beside(home) == ["home"]


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


def test_a_kill_while_it_unpacks_leaves_the_old_home_and_the_next_try_works(home: Path) -> None:
    with home_archive(home, now_ms=NOW_MS) as (_, chunks):
        plain = b"".join(chunks)
    before = tree(home)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        for count in range(300):
            child.stdin.write(plain[count * 4096 : (count + 1) * 4096])
            child.stdin.flush()
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        assert child.wait(PATIENCE_S) == -signal.SIGKILL
    assert tree(home) == before
    restore(backup_of(home), home, replace=True)
    assert tree(home) == before
    assert beside(home) == ["home", KEPT]


async def test_a_whole_home_that_an_earlier_restore_left_aside_is_kept(home: Path) -> None:
    """As after a power cut between the exchange and the last rename: it is the home of before."""
    left = home.with_name(".home.restoring") / "ready"
    left.parent.mkdir(mode=0o700)
    await make_home(left)
    restore(backup_of(home), home, replace=True)
    assert beside(home) == ["home", KEPT, f"{KEPT}-2"]
    assert tree(home.with_name(KEPT)).keys() == tree(home).keys()


def test_a_backup_has_the_security_log_and_its_head_as_of_one_moment(home: Path, tmp_path: Path) -> None:
    """While lines are added it waits: it comes in between, where lines are written and their head is not yet."""
    long = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "a b c " * 30, about="ci"), 0)
    append_lines(home / AUDIT, "acts", [long] * 3)
    made: list[bytes] = []
    maker = threading.Thread(target=lambda: made.append(backup_of(home)))
    inode = (home / AUDIT).stat().st_ino
    with locked(home / AUDIT):
        maker.start()
        while not (waits := _is_waited_for(inode)) and maker.is_alive():
            threading.Event().wait(0.01)
    maker.join(PATIENCE_S)
    assert waits
    restore(made[0], tmp_path / "new")
    assert all(report.whole for report in verify_chains(tmp_path / "new"))


def _is_waited_for(inode: int) -> bool:
    """Whether somebody waits for the lock of this file, as the kernel tells it."""
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any("->" in row and any(word.endswith(f":{inode}") for word in row) for row in rows)
