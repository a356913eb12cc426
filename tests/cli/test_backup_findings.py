"""The findings of `doctor` about backups: a key in the home that it protects, and backups never made, or long ago."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from microclaw.audit.event import AuditEvent, AuditKind, line_of
from microclaw.audit.log_files import FOLDER, append_lines
from microclaw.auth.certificates import new_authority
from microclaw.backup.age import PrivateKey
from microclaw.cli.backup_findings import LATE_DAYS, key_findings, late_findings
from microclaw.config.settings import BackupSettings, Settings

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
KEY = PrivateKey()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "identity").mkdir(parents=True, mode=0o700)
    return home


def settings_of(home: Path, *, password_file: Path | None = None) -> Settings:
    backup = BackupSettings(folder=str(home.parent), password_file=str(password_file))
    return Settings(home, home / "cache", home / "control.sock", backup=backup)


@pytest.mark.parametrize("place", ["backup.key", "notes/deep/in it"])
def test_keys_and_the_password_file_in_the_home_are_named_wherever_they_are(home: Path, place: str) -> None:
    (home.parent / "key").write_text(KEY.to_text())
    (home / "words.md").write_text("a key looks like AGE-SECRET-KEY-1...")
    (home / "link").symlink_to(home.parent / "key")
    assert not list(key_findings(settings_of(home, password_file=home.parent / "password")))
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(KEY.to_text())
    (key, password) = key_findings(settings_of(home, password_file=home / "password"))
    assert (key.ok, password.ok) == (False, True)
    assert str(path) in key.text
    assert KEY.to_text().splitlines()[1] not in key.text


def test_backups_that_were_never_made_or_long_ago_are_told_when_the_home_is_old_enough(home: Path) -> None:
    settings = settings_of(home)
    assert not list(late_findings(settings, NOW_MS))  # nothing says how old it is
    pair = new_authority(datetime.fromtimestamp(NOW_MS / 1000, UTC))
    (home / "identity" / "authority.pem").write_bytes(pair.to_pem())
    (home / "identity" / "authority.pem").chmod(0o600)

    def told(day: int) -> list[bool]:
        return [one.ok for one in late_findings(settings, NOW_MS + day * DAY_MS)]

    assert (told(LATE_DAYS - 1), told(LATE_DAYS + 2)) == ([], [True])
    line = line_of(AuditEvent(AuditKind.BACKUP_MADE, "by the command line"), NOW_MS + 80 * DAY_MS)
    append_lines(home / FOLDER, "acts", [line])
    assert (told(81), told(80 + LATE_DAYS + 2)) == ([], [True])


def test_the_commands_name_the_key_and_none_is_made_there(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("config", "set", "limits.keepalive_s", "10").code == 0
    assert run("backup", "make", "--new-key", str(home / "key")).code == 1
    assert not (home / "key").exists()
    (home / "key").write_text(KEY.to_text())
    findings = json.loads(run("doctor", "--json").out)["findings"]
    assert [one["part"] for one in findings if str(home / "key") in one["text"]] == ["backup"]
