"""The findings of `doctor` about backups: a key that is lost with what it protects, and backups that are not made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from microclaw.audit.event import AuditKind
from microclaw.audit.log_files import read_events
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.auth.certificates import BACKDATED, KeyPair, to_ms
from microclaw.backup.age import MAX_KEY_FILE_BYTES, PrivateKey
from microclaw.config.forms import seconds_in
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.findings import Finding, problem, warning
from microclaw.text import count_text

DAY_MS: Final = 86_400_000
LATE_DAYS: Final = 14
MAX_LOOKED: Final = 5_000  # files and folders of the home that are looked at


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Keys and the password file of backups that lie in the home."""
    for path in islice(settings.home.rglob("*"), MAX_LOOKED):
        with suppress(OSError, ConfigError):  # unreadable, or no such key
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_KEY_FILE_BYTES:
                PrivateKey.parse(path.read_text(errors="replace"))
                text = f"{path} is a key that opens backups, and lies in the home: it is lost with it"
                yield problem("backup", text, f"copy it to two places away from this machine, then: rm {path}")
    given = None if settings.backup is None else settings.backup.password_file
    if given is not None and Path(given).expanduser().resolve().is_relative_to(settings.home.resolve()):
        text = f"backup.password_file {given} lies in the home that the backups protect: the password is lost with it"
        yield warning("backup", text, "microclaw config set backup.password_file FILE, outside of the home")


def late_findings(settings: Settings, now_ms: int) -> Iterator[Finding]:
    """That none was made, or long ago, where the home is old enough to have what would be missed."""
    try:
        pair = KeyPair.from_pem((settings.identity / AUTHORITY_FILE).read_bytes())
    except (OSError, ValueError):  # none yet, or one that the certificates' own check names
        return
    begun_ms = to_ms(pair.certificate.not_valid_before_utc + BACKDATED)
    made = [found.at_ms for found in read_events(settings.home) if found.event.kind is AuditKind.BACKUP_MADE]
    every_s = 0.0 if settings.backup is None else seconds_in(settings.backup.every) or 0.0
    since_ms = now_ms - max([begun_ms, *made])
    if since_ms > max(LATE_DAYS * DAY_MS, 2000 * every_s if made else 0):
        days = count_text(since_ms // DAY_MS, "day")
        text = f"the last backup was made {days} ago" if made else f"no backup was ever made of this home, {days} old"
        step = "microclaw backup make FILE" if settings.backup is None else "microclaw status"
        yield warning("backup", text, step)
