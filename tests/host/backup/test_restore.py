"""From a home to an archive and back: whole or not at all, and a hostile archive writes nothing outside of it."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.host.backup.conftest import FILES, NOW_MS, backup_of, decrypted, encrypted, restore, tree

from microclaw.errors import BackupDamaged, BackupError, BackupNewer, ConfigError, NotABackup, StoreError, StoreOwned
from microclaw.host.audit.event import AuditEvent, AuditKind, line_of
from microclaw.host.audit.log_files import FOLDER as AUDIT
from microclaw.host.audit.log_files import append_lines, locked, read_events, verify_chains
from microclaw.host.backup.archive import NAME, WORK, Contents, HomeFile, open_home_archive, stream_archive
from microclaw.host.backup.restore import MAX_HEADERS_BYTES, read_archive, restore_home
from microclaw.host.store.database import Database
from microclaw.host.store.schema import BASE, VERSION
from microclaw.host.store.sqlite_file import take_lock

PATIENCE_S = 60
KEPT_FILES = {*FILES, "microclaw.db", "identity/authority.pem", "identity/server.pem"}
COUNTS = {"devices": 0, "programs": 0, "schedules": 0, "people": 0, "conversations": 0, "files": 2, "bytes": 1001}
SOUND = msgspec.convert({"made_ms": NOW_MS, "host": None, "store_version": VERSION, **COUNTS}, Contents)


def beside(home: Path) -> list[str]:
    return sorted(path.name for path in home.parent.iterdir())


async def test_everything_is_back_and_nothing_is_done_twice_while_the_host_changes_its_files(
    home: Path, tmp_path: Path
) -> None:
    new = tmp_path / "b" / "home"
    before = tree(home)
    async with Database.open(home / "microclaw.db") as database:
        with open_home_archive(home, now_ms=NOW_MS) as (contents, chunks):
            await database.write(lambda connection: connection.execute("UPDATE devices SET name = 'later'").rowcount)
            (home / "memory/MEMORY.md").unlink()
            (home / "config.toml.new").write_bytes(b"[agent]\nturn_s = 6000\n")
            (home / "config.toml.new").replace(home / "config.toml")
            with (home / "sessions/terminal_t.jsonl").open("ab") as session:
                session.write(b"{}\n")
            plain = b"".join(chunks)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:  # as any program of tar reads it
        assert set(tar.getnames()) == {NAME, *(f"home/{name}" for name in KEPT_FILES)}
    restored = restore_home(iter([plain]), new, replace=False)
    assert tree(new) == before
    assert (restored.old_home, restored.unanswered, restored.contents) == (None, 1, contents)
    assert {path.stat().st_mode & 0o777 for path in [new, *new.rglob("*")] if path.is_dir()} == {0o700}
    assert (new / "workspace/bin").stat().st_mtime == 1_700_000_000
    assert [event.event.kind.value for event in read_events(new)] == ["backup.restored"]
    assert (beside(new), (home / WORK).exists()) == (["home"], False)
    with closing(sqlite3.connect(new / "microclaw.db")) as connection:
        assert connection.execute("SELECT * FROM sign_ins").fetchall() == []  # one that was ended must not live again
        assert connection.execute("SELECT tx_epoch FROM links").fetchall() != [(b"e" * 8,)]
        assert connection.execute("SELECT state FROM inbox").fetchall() == [("kept",)]
        assert connection.execute("SELECT name FROM devices").fetchall() == [("lamp",)]
    async with Database.open(new / "microclaw.db"):
        pass  # whole, of this version, and nobody holds its lock


def test_what_is_of_a_running_host_or_can_be_fetched_again_stays_out(home: Path) -> None:
    for name in ("microclaw.log", "microclaw.log.1", "mcp.lock", "voice/whisper/base.en/model.bin", "backups/old.age"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"x")
    (home / ".config.toml.0123abcd.new").write_bytes(b"half")
    (home / WORK / "half").mkdir(parents=True)  # left by a power cut
    os.mkfifo(home / "control.pipe")
    (home / "link").symlink_to("/etc/passwd")
    (home / "line\nend").write_bytes(b"x")
    with (home / "huge").open("wb") as huge:
        huge.truncate(8 << 30)
    with open_home_archive(home, now_ms=NOW_MS, without=home / "backups") as (_, chunks):
        contents, found = read_archive(chunks)
    assert {name for name, _ in found} == KEPT_FILES
    assert contents.left_out == ("huge", "line\\nend", "link")


def test_a_home_without_a_store_or_with_a_damaged_one_makes_no_backup(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        backup_of(tmp_path / "none")
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 8192)
    with pytest.raises(StoreError) as error:
        backup_of(home)
    assert error.value.next_step
    assert not (home / WORK).exists()


def tar_of(*infos: tuple[tarfile.TarInfo, bytes], contents: Contents = SOUND, store: bool = True) -> bytes:
    made = io.BytesIO()
    text = msgspec.json.encode(contents)
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in [(entry(NAME, text), text), *infos, *([(entry("home/microclaw.db", b"x"), b"x")] * store)]:
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def entry(name: str, data: bytes = b"", **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in {"size": len(data), "mode": 0o600, **changes}.items():
        setattr(info, key, value)
    return info


HOSTILE = [
    *map(entry, ("home/../x", "/etc/cron.d/x", "home//etc/x", "x", "home/.", "home/a\\b", "home/a\nb")),
    *map(entry, ("home/microclaw.db-wal", "home/microclaw.db.lock", "home/microclaw.db", "home/microclaw.db/x")),
    *map(entry, ("home/y/x", "home/y/x/x", f"home/{'x' * 256}", "home/" + "/".join(["x" * 200] * 6))),
    *(entry("home/x", type=kind, linkname="/etc/passwd") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)),
    *(entry("home/x", type=kind) for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
    entry("home/x", type=tarfile.GNUTYPE_SPARSE),
    entry("home/x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "home/x"}),
    entry("home/" + "x" * (2 * MAX_HEADERS_BYTES)),
    entry("home/x", pax_headers={"size": "-1"}),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_leaves_the_folder(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    data = tar_of((entry("home/y/x"), b""), (hostile, b""), contents=replace(SOUND, bytes=1, files=3))  # right counts
    with pytest.raises(BackupDamaged):
        read_archive([data], folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} <= {"microclaw.db", "y/x"}


def test_an_archive_that_holds_more_or_less_than_it_says_or_is_none_of_ours_is_told_as_such(tmp_path: Path) -> None:
    file = (entry("home/a", b"a" * 1000), b"a" * 1000)
    whole = tar_of(file)
    assert read_archive([whole])[1] == [("a", 1000), ("microclaw.db", 1)]
    says = [replace(SOUND, files=files, bytes=size) for files, size in ((1, 1001), (2, 1002), (3, 1001))]
    early = (whole[:1536], whole[:1700], tar_of(file, store=False))
    for data in (*(tar_of(file, contents=one) for one in (*says, replace(SOUND, files=-1))), *early):
        with pytest.raises(BackupDamaged):
            read_archive([data])
    for contents in (replace(SOUND, format=2), replace(SOUND, store_version=VERSION + 1)):
        with pytest.raises(BackupNewer):
            read_archive([tar_of(contents=contents)])
    with pytest.raises(BackupError, match="too old"):
        read_archive([tar_of(contents=replace(SOUND, store_version=BASE - 1))])
    for other in (b"", b"x" * 5000, tarfile.TarInfo("photo.jpg").tobuf() + bytes(1024)):
        with pytest.raises(NotABackup):
            read_archive([other])
    with pytest.raises(OSError, match="MB"):  # no room for it
        read_archive([tar_of(file, contents=replace(SOUND, bytes=1 << 44))], tmp_path)


@pytest.mark.parametrize("wrong", ["files", "store", "identity"])
def test_an_archive_that_is_not_what_it_says_puts_nothing_in_place(home: Path, tmp_path: Path, wrong: str) -> None:
    before = tree(home)
    with open_home_archive(home, now_ms=NOW_MS) as (contents, _):
        store = tmp_path / "store"
        store.write_bytes((home / WORK / "microclaw.db").read_bytes() if wrong != "store" else b"x" * 8192)
    paths = {"microclaw.db": store, "config.toml": home / "config.toml"}
    if wrong != "identity":
        paths["identity/authority.pem"] = home / "identity/authority.pem"
    files = [HomeFile(name, path, path.stat().st_size) for name, path in paths.items()]
    count = len(files) + (wrong == "files")
    says = replace(contents, files=count, bytes=sum(file.size_bytes for file in files))
    data = encrypted(stream_archive(says, files))
    for place, replacing in ((tmp_path / "new", False), (home, True)):
        with pytest.raises(BackupDamaged):
            restore(data, place, replace=replacing)
    assert tree(home) == before
    assert (beside(home), beside(store)) == (["home"], ["a", "store"])


def test_a_home_that_is_not_empty_is_replaced_only_when_told_and_kept(home: Path, tmp_path: Path) -> None:
    data = backup_of(home)
    (home / "memory/MEMORY.md").write_bytes(b"newer\n")
    before = tree(home)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    for place, replacing in ((home, False), (tmp_path / "photos", True), (tmp_path / "file", True)):
        with pytest.raises(ConfigError):
            restore(data, place, replace=replacing)
    lock = take_lock(home / "microclaw.db")
    with pytest.raises(StoreOwned):
        restore(data, home, replace=True)
    lock.close()
    assert (tree(home), beside(home)) == (before, ["home"])
    restored = restore(data, home, replace=True)
    assert restored.old_home is not None
    assert tree(restored.old_home) == before
    assert (home / "memory/MEMORY.md").read_bytes() == FILES["memory/MEMORY.md"]
    (tmp_path / "empty").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("empty")
    restore(data, tmp_path / "link")
    assert tree(tmp_path / "empty") == tree(home)


def test_a_home_in_which_a_host_started_meanwhile_stays(home: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"

    def chunks() -> Iterator[bytes]:
        yield decrypted(backup_of(home))
        new.mkdir()
        (new / "microclaw.db").write_bytes(b"another host's")

    with pytest.raises(StoreError):
        restore_home(chunks(), new, replace=True)
    assert [path.name for path in new.iterdir()] == ["microclaw.db"]


CHILD = """
import sys
from pathlib import Path
from microclaw.host.backup.restore import restore_home
def chunks():
    while data := sys.stdin.buffer.read(4096):
        yield data
        print(len(data), flush=True)
restore_home(chunks(), Path(sys.argv[1]), replace=True)
"""


def test_a_kill_while_it_unpacks_or_exchanges_leaves_the_old_home_and_the_next_try_works(home: Path) -> None:
    with open_home_archive(home, now_ms=NOW_MS) as (_, chunks):
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
    left = home.with_name(".home.restoring") / "ready"  # as between the exchange and the last rename: the old home
    shutil.copytree(home, left)
    restore(backup_of(home), home, replace=True)
    assert tree(home) == before
    assert [tree(home.with_name(name)) for name in beside(home)] == [before] * 3
    assert all(name.startswith("home") for name in beside(home))


def test_a_backup_has_the_security_log_and_its_head_as_of_one_moment(home: Path, tmp_path: Path) -> None:
    """While lines are added it waits: it comes in between, where lines are written and their head is not yet."""
    long = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "a b c " * 30, about="ci"), 0)
    append_lines(home / AUDIT, "acts", [long] * 3)
    made: list[bytes] = []
    maker = threading.Thread(target=lambda: made.append(backup_of(home)))
    with locked(home / AUDIT):
        maker.start()
        maker.join(1.0)
        assert maker.is_alive()
    maker.join(PATIENCE_S)
    restore(made[0], tmp_path / "new")
    assert all(report.is_whole for report in verify_chains(tmp_path / "new"))
