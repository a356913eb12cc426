"""`microclaw backup` without a host, and what `doctor` finds about backups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyrage import passphrase
from pyrage.x25519 import Identity
from tests.host.backup.conftest import NOW_MS, make_home
from tests.interfaces.cli.conftest import Run, run_here

from microclaw.host.audit.event import AuditEvent, AuditKind, line_of
from microclaw.host.audit.log_files import FOLDER, append_lines, read_events
from microclaw.host.backup.age import identity_text
from microclaw.host.backup.archive import open_home_archive
from microclaw.host.config.settings import BackupSettings, Settings
from microclaw.host.store.sqlite_file import take_lock
from microclaw.interfaces.cli.doctor import LATE_DAYS, key_findings, late_findings

PASSWORD = "correct horse battery"
DAY_MS = 86_400_000
KEY_TEXT = identity_text(Identity.generate())


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    await make_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def command(home: Path) -> Run:
    """Run `microclaw WORDS` with that home."""
    return lambda *words, **given: run_here(home, *words, **given)


@pytest.fixture
def recipient(command: Run, tmp_path: Path) -> str:
    """Of the key in tmp_path."""
    made = command("-q", "backup", "make", "--new-key", tmp_path / "key")
    assert (made.code, (tmp_path / "key").stat().st_mode & 0o777) == (0, 0o600)
    return made.out.strip()


def test_nothing_is_overwritten_without_a_word(command: Run, recipient: str, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.age"
    file.write_bytes(b"before")
    refused = command("backup", "make", file, "--recipient", recipient)
    assert (refused.code, "--force" in refused.err, file.read_bytes()) == (1, True, b"before")
    assert command("backup", "make", "--new-key", tmp_path / "key").code == 1
    assert command("backup", "make", "--new-key", home / "key").code == 1  # in the home that it protects
    assert not (home / "key").exists()
    assert command("backup", "make", file, "--recipient", recipient, "--force").code == 0
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [found.event.kind for found in read_events(home)] == [AuditKind.BACKUP_MADE]


def test_wrong_words_are_told_and_a_store_that_another_process_holds(
    command: Run, recipient: str, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.age"
    for words in (
        ("make",),
        ("make", file, "--new-key", file),
        ("make", file),  # without a key
        ("make", file, "--host", "https://host.example"),
        ("make", file, "--recipient", recipient[:-1]),
        ("make", tmp_path, "--recipient", recipient),
        ("make", tmp_path / "no" / "b.age", "--recipient", recipient),
        ("restore", file, "--list"),
        ("restore", tmp_path, "--list", "--identity", tmp_path / "key"),
        ("restore", file, "--identity", tmp_path / "key", "--old"),
    ):
        told = command("backup", *words)
        assert told.code in (1, 2), words
        assert "next: " in told.err, words
    lock = take_lock(home / "microclaw.db")  # as while another `microclaw backup` reads it
    try:
        assert command("backup", "make", file, "--recipient", recipient).code == 3
    finally:
        lock.close()
    assert not file.exists()


def test_a_restore_names_what_is_wrong_with_its_words_before_the_home(
    command: Run, recipient: str, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.age"
    assert command("backup", "make", file, "--recipient", recipient).code == 0
    no_key = command("backup", "restore", file, "--identity", tmp_path / "none")
    assert f"{tmp_path / 'none'}" in no_key.err
    assert "is not empty" not in no_key.err
    folder = command("backup", "restore", tmp_path, "--identity", tmp_path / "key")
    assert (folder.code, "name a backup's file" in folder.err) == (1, True)
    assert "mv" not in folder.err.split()
    right = command("backup", "restore", file, "--identity", tmp_path / "key")
    assert f"{home} is not empty" in right.err


def test_the_key_of_automatic_backups_is_the_one_of_a_backup_by_hand(
    command: Run, recipient: str, tmp_path: Path
) -> None:
    environ = {"MICROCLAW_BACKUP__FOLDER": str(tmp_path), "MICROCLAW_BACKUP__RECIPIENT": recipient}
    file = tmp_path / "b.age"
    assert command("backup", "make", file, environ=environ).code == 0
    assert command("backup", "restore", file, "--list", "--identity", tmp_path / "key").code == 0


def test_an_old_backup_with_a_password_is_restored(command: Run, home: Path, tmp_path: Path) -> None:
    """As microclaw made it when it had passwords."""
    file = tmp_path / "old.age"
    with open_home_archive(home, now_ms=NOW_MS) as (_, chunks):
        file.write_bytes(passphrase.encrypt(b"".join(chunks), PASSWORD))
    wrong = command("backup", "restore", file, "--old", "--replace", stdin="another\n")
    assert (wrong.code, "next: " in wrong.err) == (1, True)
    assert command("backup", "restore", file, "--old", "--replace", stdin=f"{PASSWORD}\n").code == 0
    assert list(tmp_path.glob("home.before-*"))


def settings_of(home: Path) -> Settings:
    backup = BackupSettings(folder=str(home.parent))
    return Settings(home, home / "cache", home / "control.sock", backup=backup)


@pytest.mark.parametrize("place", ["backup.key", "notes/deep/in it"])
def test_keys_in_the_home_are_named_wherever_they_are(tmp_path: Path, place: str) -> None:
    home = tmp_path / "home"
    path = tmp_path / "home" / place
    path.parent.mkdir(parents=True)
    (tmp_path / "key").write_text(KEY_TEXT)
    (home / "words.md").write_text("a key looks like AGE-SECRET-KEY-1...")
    (home / "link").symlink_to(tmp_path / "key")
    assert not list(key_findings(settings_of(home)))
    path.write_text(KEY_TEXT)
    (key,) = key_findings(settings_of(home))
    assert (key.ok, str(path) in key.text) == (False, True)
    assert KEY_TEXT.splitlines()[1] not in key.text


def test_backups_that_were_never_made_or_long_ago_are_told_when_the_home_is_old_enough(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "identity").mkdir(parents=True, mode=0o700)

    def told(day: int) -> list[bool]:
        return [one.ok for one in late_findings(settings_of(home), NOW_MS + day * DAY_MS)]

    assert told(LATE_DAYS + 2) == []  # nothing says how old it is
    authority = home / "identity" / "authority.pem"
    authority.touch(mode=0o600)
    os.utime(authority, (NOW_MS / 1000, NOW_MS / 1000))
    assert (told(LATE_DAYS - 1), told(LATE_DAYS + 2)) == ([], [True])
    line = line_of(AuditEvent(AuditKind.BACKUP_MADE, "by the command line"), NOW_MS + 80 * DAY_MS)
    append_lines(home / FOLDER, "acts", [line])
    assert (told(81), told(80 + LATE_DAYS + 2)) == ([], [True])
