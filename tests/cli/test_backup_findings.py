"""What `doctor` says of backups: a key in the home that it protects, and backups that were never made or long ago."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from microclaw.audit import AuditEvent, AuditKind
from microclaw.audit.event import line_of
from microclaw.audit.files import FOLDER, append_lines
from microclaw.auth.certificates import new_authority
from microclaw.backup.age import PrivateKey
from microclaw.cli.backup_findings import LATE_DAYS, key_findings, late_findings
from microclaw.config.settings import BackupSettings, Settings
from microclaw.findings import Finding

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
KEYS = PrivateKey()
OTHER = PrivateKey()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "identity").mkdir(parents=True, mode=0o700)
    (tmp_path / "backups").mkdir()
    return home


def settings_of(home: Path, *, password_file: Path | None = None) -> Settings:
    recipient = str(KEYS.public) if password_file is None else None
    given = None if password_file is None else str(password_file)
    backup = BackupSettings(folder=str(home.parent / "backups"), recipient=recipient, password_file=given)
    return Settings(home, home / "cache", home / "control.sock", backup=backup)


def made_days_ago(home: Path, days: int) -> None:
    pair = new_authority(datetime.fromtimestamp((NOW_MS - days * DAY_MS) / 1000, UTC), 1)
    (home / "identity" / "authority.pem").write_bytes(pair.to_pem())
    (home / "identity" / "authority.pem").chmod(0o600)


def backed_up(home: Path, at_ms: int) -> None:
    event = AuditEvent(AuditKind.BACKUP_MADE, "by the command line")
    append_lines(home / FOLDER, "acts", [line_of(event, at_ms)])


def told(findings: Iterator[Finding]) -> list[tuple[bool, str]]:
    found = list(findings)
    assert all(one.next_step for one in found)
    return [(one.ok, one.text) for one in found]


@pytest.mark.parametrize(("keys", "is_warning"), [(KEYS, False), (OTHER, True)])
@pytest.mark.parametrize("place", ["backup.key", "notes/deep/in it"])
def test_a_key_in_the_home_is_named_wherever_it_is(home: Path, keys: PrivateKey, is_warning: bool, place: str) -> None:
    settings = settings_of(home)
    (home.parent / "key").write_text(keys.to_text())
    (home / "words.md").write_text("a key looks like AGE-SECRET-KEY-1...")
    (home / "link").symlink_to(home.parent / "key")
    assert told(key_findings(settings)) == []
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(keys.to_text())
    ((ok, text),) = told(key_findings(settings))
    assert ok is is_warning
    assert str(path) in text
    assert keys.to_text().splitlines()[1] not in text


def test_a_password_file_in_the_home_is_a_warning(home: Path, tmp_path: Path) -> None:
    assert told(key_findings(settings_of(home, password_file=tmp_path / "password"))) == []
    assert [ok for ok, _ in told(key_findings(settings_of(home, password_file=home / "password")))] == [True]


def test_backups_that_were_never_made_are_told_when_the_home_is_old_enough(home: Path) -> None:
    settings = settings_of(home)
    for without in (settings, Settings(home, home / "cache", home / "control.sock")):
        assert told(late_findings(without, NOW_MS)) == []  # nothing says how old it is
        made_days_ago(home, LATE_DAYS - 1)
        assert told(late_findings(without, NOW_MS)) == []
        made_days_ago(home, LATE_DAYS + 2)
        assert [ok for ok, _ in told(late_findings(without, NOW_MS))] == [True]
        (home / "identity" / "authority.pem").unlink()


def test_a_backup_by_hand_or_by_the_host_counts_until_it_is_old(home: Path) -> None:
    made_days_ago(home, 90)
    backed_up(home, NOW_MS - 40 * DAY_MS)
    without = Settings(home, home / "cache", home / "control.sock")
    assert len(told(late_findings(without, NOW_MS))) == 1
    (home.parent / "backups" / "microclaw-12345678-20270114T000000Z.age").touch()  # another host's
    assert len(told(late_findings(settings_of(home), NOW_MS))) == 1
    backed_up(home, NOW_MS - DAY_MS)
    assert told(late_findings(without, NOW_MS)) == []


def test_the_commands_name_the_key_and_none_is_made_there(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("config", "set", "limits.keepalive_s", "10").code == 0
    refused = run("backup", "make", "--new-key", str(home / "key"))
    assert refused.code == 1
    assert not (home / "key").exists()
    (home / "key").write_text(KEYS.to_text())
    findings = json.loads(run("doctor", "--json").out)["findings"]
    assert [one["part"] for one in findings if str(home / "key") in one["text"]] == ["backup"]
