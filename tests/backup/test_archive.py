"""What goes into a backup, and what a hostile archive may not bring."""

from __future__ import annotations

import io
import os
import resource
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.backup.conftest import FILES, KEYS, NOW_MS

from microclaw.backup.age_file import CHUNK_BYTES, encrypted
from microclaw.backup.archive import WORK, HomeFile, archive_of, home_archive, list_files, work_folder
from microclaw.backup.contents import NAME, Contents, contents_of
from microclaw.backup.errors import BackupDamaged, BackupError, BackupNewer, NotABackup
from microclaw.backup.unpack import MAX_PAX_BYTES, members, unpack
from microclaw.durable import write_chunks
from microclaw.errors import ConfigError, Overloaded, StoreError
from microclaw.store.database import Database
from microclaw.store.schema import VERSION

SOUND = Contents(
    made_ms=NOW_MS,
    host=None,
    store_version=VERSION,
    devices=0,
    programs=0,
    schedules=0,
    people=0,
    conversations=0,
    files=2,
    bytes=1001,
)


def test_the_archive_is_plain_tar_with_the_home_and_what_it_says_of_itself(home: Path) -> None:
    with home_archive(home, now_ms=NOW_MS) as (contents, chunks):
        data = b"".join(chunks)
    assert len(data) % CHUNK_BYTES == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert contents_of(tar.extractfile(NAME).read()) == contents  # type: ignore[union-attr]
        assert tar.extractfile("home/workspace/späte/ñ.txt").read() == b"not ASCII\n"  # type: ignore[union-attr]
    wanted = {*FILES, "microclaw.db", "identity/authority.pem", "identity/server.pem"}
    assert set(names) == {NAME, *(f"home/{name}" for name in wanted)}
    assert (contents.devices, contents.conversations, contents.files) == (1, 2, len(wanted))
    assert contents.host is not None
    assert not (home / WORK).exists()


def test_what_is_of_a_running_host_or_can_be_fetched_again_stays_out(home: Path) -> None:
    for name in ("microclaw.log", "microclaw.log.1", "mcp.lock", "voice/whisper/base.en/model.bin"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"x")
    (home / ".config.toml.0123abcd.new").write_bytes(b"half")
    os.mkfifo(home / "control.pipe")
    (home / "backups").mkdir()
    (home / "backups" / "old.age").write_bytes(b"x")
    (home / "link").symlink_to("/etc/passwd")
    (home / "line\nend").write_bytes(b"x")
    with (home / "huge").open("wb") as huge:
        huge.truncate(8 << 30)
    files, left_out = list_files(home, home / "backups")
    assert {file.name for file in files} == {*FILES, "identity/authority.pem", "identity/server.pem"}
    assert left_out == ("huge", "line\\nend", "link")


def test_files_that_a_running_host_changes_meanwhile_leave_the_counts_right(home: Path) -> None:
    with home_archive(home, now_ms=NOW_MS) as (contents, chunks):
        first = next(chunks)
        (home / "memory/MEMORY.md").unlink()
        (home / "config.toml.new").write_bytes(b"[agent]\nturn_s = 6000\n")
        (home / "config.toml.new").replace(home / "config.toml")
        with (home / "sessions/terminal_t.jsonl").open("ab") as session:
            session.write(b"{}\n")
        data = first + b"".join(chunks)
    _, files = members([data])
    found = {member.name: b"".join(member.data) for member in files}
    assert {name: found[name] for name in FILES} == FILES
    assert (len(found), sum(map(len, found.values()))) == (contents.files, contents.bytes)


async def test_a_copy_of_a_store_that_is_being_written_is_whole(home: Path) -> None:
    async with Database.open(home / "microclaw.db") as database:
        await database.write(lambda connection: connection.execute("UPDATE devices SET name = 'shelf'").rowcount)
        with home_archive(home, now_ms=NOW_MS) as (_, chunks):
            first = next(chunks)
            await database.write(lambda connection: connection.execute("UPDATE devices SET name = 'later'").rowcount)
            data = first + b"".join(chunks)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        copy = tar.extractfile("home/microclaw.db").read()  # type: ignore[union-attr]
    (home / "copy.db").write_bytes(copy)
    with closing(sqlite3.connect(home / "copy.db")) as connection:
        assert connection.execute("SELECT name FROM devices").fetchone() == ("shelf",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_home_without_a_store_or_with_a_damaged_one_makes_no_backup(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError), home_archive(tmp_path / "none", now_ms=NOW_MS):
        pass
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 8192)
    with pytest.raises(StoreError) as error, home_archive(home, now_ms=NOW_MS):
        pass
    assert error.value.next_step
    assert not (home / WORK).exists()


def test_one_backup_at_a_time_and_what_a_power_cut_left_is_removed(home: Path) -> None:
    (home / WORK / "half").mkdir(parents=True)
    (home / WORK / "microclaw.db").write_bytes(b"left by a power cut")
    with home_archive(home, now_ms=NOW_MS) as (_, chunks):
        with pytest.raises(Overloaded), home_archive(home, now_ms=NOW_MS):
            pass
        assert b"".join(chunks)
    with work_folder(home / WORK, busy="busy") as folder:
        assert list(folder.iterdir()) == []


def test_a_home_or_a_folder_beside_it_that_cannot_be_used_is_told(home: Path, tmp_path: Path) -> None:
    (home / "workspace" / "bin").unlink()
    (home / "workspace" / "bin").symlink_to("/etc/passwd")
    file = HomeFile("workspace/bin", home / "workspace" / "bin", 1)  # a link since it was listed
    with pytest.raises(StoreError):
        list(archive_of(SOUND, [file]))
    with pytest.raises(StoreError):
        list(archive_of(SOUND, [HomeFile("gone", home / "gone", 1)]))
    (tmp_path / "file").write_bytes(b"x")
    for place in (tmp_path / "file" / "x", tmp_path / "file"):
        with pytest.raises(StoreError) as error, work_folder(place, busy=""):
            pass
        assert error.value.next_step


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file may become longer, by the kernel's own limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "b.age"
    target.write_bytes(b"before")
    chunks = [bytes(CHUNK_BYTES)] * 4
    with disk_of(2 * CHUNK_BYTES), pytest.raises(OSError, match=r"[Ff]ile too large"):
        write_chunks(target, encrypted(chunks, KEYS.public, os.urandom), replace=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("b.age", b"before")]
    with pytest.raises(FileExistsError):
        write_chunks(target, chunks, replace=False)
    assert write_chunks(target, chunks, replace=True) == 4 * CHUNK_BYTES
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_fills_while_the_store_is_copied_is_told_and_leaves_nothing(home: Path) -> None:
    with disk_of(100_000), pytest.raises(StoreError) as error, home_archive(home, now_ms=NOW_MS):
        pass
    assert "space" in str(error.value.next_step)
    assert not (home / WORK).exists()


def tar_of(*infos: tuple[tarfile.TarInfo, bytes], contents: Contents = SOUND, store: bool = True) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        text = msgspec.json.encode(asdict(contents))
        members_ = [(entry(NAME, size=len(text)), text), *infos]
        for info, data in [*members_, *([(entry("home/microclaw.db", size=1), b"x")] if store else [])]:
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def entry(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = size, kind, target, 0o600
    return info


def changed(change: Callable[[tarfile.TarInfo], object]) -> tarfile.TarInfo:
    info = entry("home/x", size=1)
    change(info)
    return info


HOSTILE = {
    "a way up": (entry("home/../x"), b""),
    "an absolute name": (entry("/etc/cron.d/x"), b""),
    "an absolute name inside": (entry("home//etc/x"), b""),
    "outside of the home": (entry("x"), b""),
    "the folder itself": (entry("home/."), b""),
    "a backslash": (entry("home/a\\b"), b""),
    "a line end": (entry("home/a\nb"), b""),
    "a symbolic link": (entry("home/x", kind=tarfile.SYMTYPE, target="/etc/passwd"), b""),
    "a hard link": (entry("home/x", kind=tarfile.LNKTYPE, target="home/microclaw.db"), b""),
    "a device": (entry("home/x", kind=tarfile.CHRTYPE), b""),
    "a pipe": (entry("home/x", kind=tarfile.FIFOTYPE), b""),
    "a folder": (entry("home/x", kind=tarfile.DIRTYPE), b""),
    "a sparse file": (entry("home/x", kind=tarfile.GNUTYPE_SPARSE), b""),
    "a log of writes of the store": (entry("home/microclaw.db-wal"), b""),
    "a lock": (entry("home/microclaw.db.lock"), b""),
    "another owner": (changed(lambda info: setattr(info, "uid", 1000)), b"x"),
    "another owner's name": (changed(lambda info: setattr(info, "uname", "root")), b"x"),
    "set-uid": (changed(lambda info: setattr(info, "mode", 0o4755)), b"x"),
    "readable by others": (changed(lambda info: setattr(info, "mode", 0o644)), b"x"),
    "twice the same": (entry("home/microclaw.db", size=1), b"y"),
    "a file where a folder is": (entry("home/microclaw.db/x"), b""),
    "a name too long": (entry(f"home/{'x' * 256}"), b""),
    "a path too long": (entry("home/" + "/".join(["x" * 200] * 6)), b""),
    "too deep": (entry("home/" + "x/" * 40 + "x"), b""),
    "a long name that is a bomb": (entry("home/" + "x" * (MAX_PAX_BYTES * 2)), b""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_leaves_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(BackupDamaged):  # noqa: PT012 - both read the archive
        _, files = members([tar_of(HOSTILE[name])])
        unpack(files, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert {path.name for path in folder.rglob("*") if not path.is_dir()} <= {"microclaw.db"}


@pytest.mark.parametrize(
    ("files", "size"),
    [(1, 1), (2, 1002)],
)
def test_an_archive_that_holds_more_or_less_than_it_says_is_refused(files: int, size: int) -> None:
    """Two files of 1001 bytes are in it."""
    contents = replace(SOUND, files=files, bytes=size)
    with pytest.raises(BackupDamaged):  # noqa: PT012 - the archive is read to its end
        _, found = members([tar_of((entry("home/a", size=1000), b"a" * 1000), contents=contents)])
        for member in found:
            b"".join(member.data)


def test_an_archive_that_ends_early_or_goes_on_is_refused() -> None:
    whole = tar_of((entry("home/a", size=1000), b"a" * 1000))
    assert [member.name for member in members([whole])[1]] == ["a", "microclaw.db"]
    for data in (whole.rstrip(b"\0"), whole + b"x", whole[:1536], whole[:1700], tar_of(store=False)):
        with pytest.raises(BackupDamaged):  # noqa: PT012 - the archive is read to its end
            _, files = members([data])
            for member in files:
                b"".join(member.data)


def test_a_newer_backup_and_another_archive_are_told_as_such() -> None:
    for contents in (replace(SOUND, format=2), replace(SOUND, store_version=VERSION + 1)):
        with pytest.raises(BackupNewer):
            members([tar_of(contents=contents)])
    for other in (b"", b"x" * 5000, tarfile.TarInfo("photo.jpg").tobuf() + bytes(1024)):
        with pytest.raises(NotABackup):
            members([other])
    with pytest.raises(BackupDamaged):
        contents_of(b'{"format":1}')


@given(st.integers(0, 4000), st.integers(1, 255))
def test_a_changed_byte_of_an_archive_never_gives_another_error_than_ours(place: int, change: int) -> None:
    """Whoever has a public key can make such a file."""
    data = bytearray(tar_of((entry(f"home/{'n' * 120}", size=1000), b"a" * 1000)))
    data[place] ^= change
    try:
        _, files = members([bytes(data)])
        for member in files:
            assert len(b"".join(member.data)) == member.size_bytes
    except BackupError:
        event("refused")
