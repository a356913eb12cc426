"""What goes into a backup, and what a hostile archive may not bring."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.backup.conftest import FILES, NOW_MS

from microclaw.backup.age import CHUNK_BYTES
from microclaw.backup.archive import NAME, WORK, Contents, home_archive
from microclaw.backup.restore import MAX_PAX_BYTES, contents_of, members, unpack
from microclaw.errors import BackupDamaged, BackupNewer, ConfigError, NotABackup, StoreError
from microclaw.store.database import Database
from microclaw.store.schema import VERSION

COUNTS = {"devices": 0, "programs": 0, "schedules": 0, "people": 0, "conversations": 0, "files": 2, "bytes": 1001}
SOUND = msgspec.convert({"made_ms": NOW_MS, "host": None, "store_version": VERSION, **COUNTS}, Contents)
IDENTITY = {"identity/authority.pem", "identity/server.pem"}


def archive(home: Path, without: Path | None = None) -> tuple[Contents, dict[str, bytes]]:
    with home_archive(home, now_ms=NOW_MS, without=without) as (_, chunks):
        contents, found = members(chunks)
        return contents, {info.name: b"".join(data) for info, data in found}


def read(data: bytes) -> list[str]:
    return [info.name for info, _ in members([data])[1]]


def test_the_archive_is_plain_tar_with_the_home_and_what_it_says_of_itself(home: Path) -> None:
    with home_archive(home, now_ms=NOW_MS) as (contents, chunks):
        data = b"".join(chunks)
    assert len(data) % CHUNK_BYTES == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert contents_of(tar.extractfile(NAME).read()) == contents  # type: ignore[union-attr]
        assert tar.extractfile("home/workspace/späte/ñ.txt").read() == b"not ASCII\n"  # type: ignore[union-attr]
    wanted = {*FILES, "microclaw.db", *IDENTITY}
    assert set(names) == {NAME, *(f"home/{name}" for name in wanted)}
    assert (contents.devices, contents.files) == (1, len(wanted))
    assert contents.host is not None
    assert not (home / WORK).exists()


def test_what_is_of_a_running_host_or_can_be_fetched_again_stays_out(home: Path) -> None:
    for name in ("mcp-host.log", "microclaw.log.1", "voice/whisper/base.en/model.bin", "backups/old.age"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"x")
    (home / ".config.toml.0123abcd.new").write_bytes(b"half")
    (home / WORK / "half").mkdir(parents=True)  # left by a power cut
    os.mkfifo(home / "control.pipe")
    (home / "link").symlink_to("/etc/passwd")
    (home / "line\nend").write_bytes(b"x")
    with (home / "huge").open("wb") as huge:
        huge.truncate(8 << 30)
    contents, found = archive(home, home / "backups")
    assert set(found) == {*FILES, "microclaw.db", *IDENTITY}
    assert contents.left_out == ("huge", "line\\nend", "link")


async def test_what_a_running_host_changes_meanwhile_leaves_files_store_and_counts_right(home: Path) -> None:
    async with Database.open(home / "microclaw.db") as database:
        await database.write(lambda connection: connection.execute("UPDATE devices SET name = 'shelf'").rowcount)
        with home_archive(home, now_ms=NOW_MS) as (contents, chunks):
            await database.write(lambda connection: connection.execute("UPDATE devices SET name = 'later'").rowcount)
            (home / "memory/MEMORY.md").unlink()
            (home / "config.toml.new").write_bytes(b"[agent]\nturn_s = 6000\n")
            (home / "config.toml.new").replace(home / "config.toml")
            with (home / "sessions/terminal_t.jsonl").open("ab") as session:
                session.write(b"{}\n")
            found = {info.name: b"".join(data) for info, data in members(chunks)[1]}
    assert {name: found[name] for name in FILES} == FILES
    assert (len(found), sum(map(len, found.values()))) == (contents.files, contents.bytes)
    (home / "copy.db").write_bytes(found["microclaw.db"])
    with closing(sqlite3.connect(home / "copy.db")) as connection:
        assert connection.execute("SELECT name FROM devices").fetchone() == ("shelf",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_home_without_a_store_or_with_a_damaged_one_makes_no_backup(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        archive(tmp_path / "none")
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 8192)
    with pytest.raises(StoreError) as error:
        archive(home)
    assert error.value.next_step
    assert not (home / WORK).exists()


def tar_of(*infos: tuple[tarfile.TarInfo, bytes], contents: Contents = SOUND, store: bool = True) -> bytes:
    made, text = io.BytesIO(), msgspec.json.encode(contents)
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
    entry("home/../x"),
    entry("/etc/cron.d/x"),
    entry("home//etc/x"),
    entry("x"),
    entry("home/."),
    entry("home/a\\b"),
    entry("home/a\nb"),
    *(entry("home/x", type=kind, linkname="/etc/passwd") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)),
    *(entry("home/x", type=kind) for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
    entry("home/x", type=tarfile.GNUTYPE_SPARSE),
    entry("home/microclaw.db-wal"),
    entry("home/microclaw.db.lock"),
    entry("home/x", uid=1000),
    entry("home/x", uname="root"),
    entry("home/x", mode=0o4755),
    entry("home/x", mode=0o644),
    entry("home/microclaw.db"),
    entry("home/microclaw.db/x"),
    entry("home/y/x/x"),
    entry(f"home/{'x' * 256}"),
    entry("home/" + "/".join(["x" * 200] * 6)),
    entry("home/" + "x/" * 40 + "x"),
    entry("home/" + "x" * (MAX_PAX_BYTES * 2)),
    entry("home/x", mtime=-1),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_leaves_the_folder(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    data = tar_of((entry("home/y/x"), b""), (hostile, b""), contents=replace(SOUND, bytes=1, files=3))  # right counts
    with pytest.raises(BackupDamaged):
        unpack(members([data])[1], folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} <= {"microclaw.db", "y/x"}


def test_an_archive_that_holds_more_or_less_than_it_says_is_refused() -> None:
    file = (entry("home/a", b"a" * 1000), b"a" * 1000)
    whole = tar_of(file)
    assert read(whole) == ["a", "microclaw.db"]
    says = [tar_of(file, contents=replace(SOUND, files=files, bytes=size)) for files, size in ((1, 1001), (2, 1002))]
    early = (whole.rstrip(b"\0"), whole[:1536], whole[:1700], tar_of(store=False))
    for data in (*says, tar_of(file, contents=replace(SOUND, files=3)), *early, whole + b"x"):
        with pytest.raises(BackupDamaged):
            read(data)


def test_a_newer_backup_and_another_archive_are_told_as_such() -> None:
    for contents in (replace(SOUND, format=2), replace(SOUND, store_version=VERSION + 1)):
        with pytest.raises(BackupNewer):
            read(tar_of(contents=contents))
    for other in (b"", b"x" * 5000, tarfile.TarInfo("photo.jpg").tobuf() + bytes(1024)):
        with pytest.raises(NotABackup):
            read(other)
    for text in (b'{"format":1}', msgspec.json.encode(replace(SOUND, files=-1)), b"[" * 5000):
        with pytest.raises(BackupDamaged):
            contents_of(text)
