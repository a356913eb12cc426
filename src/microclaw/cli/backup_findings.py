"""What `doctor` says of backups: a key that is lost with what it protects, and backups that are not made.

It opens no backup and changes nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from microclaw.audit import AuditKind, read_events
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.auth.certificates import BACKDATED, KeyPair, to_ms
from microclaw.backup.age import MAX_KEY_FILE_BYTES, PrivateKey
from microclaw.backup.scheduled import own_backups
from microclaw.config.forms import seconds_in
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.findings import Finding, problem, warning
from microclaw.text import count_text

DAY_MS: Final = 86_400_000
LATE_DAYS: Final = 14
MAX_LOOKED: Final = 5_000  # files and folders of the home that are looked at
_KEY: Final = b"AGE-SECRET-KEY-1"


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Keys and the password file of backups that lie in the home."""
    recipient = None if settings.backup is None else settings.backup.recipient
    for path, public in _private_keys(settings.home):
        away = f"copy it to two places away from this machine, then: rm {path}"
        if public == recipient:
            text = f"{path} opens the backups and lies in the home that they protect: lost with it, nobody opens them"
            yield problem("backup", text, away)
        else:
            text = f"{path} is a private key that opens backups, and lies in the home: it is lost with it"
            yield warning("backup", text, away)
    given = None if settings.backup is None else settings.backup.password_file
    if given is not None and Path(given).expanduser().resolve().is_relative_to(settings.home.resolve()):
        text = f"backup.password_file {given} lies in the home that the backups protect: the password is lost with it"
        step = "write the password down elsewhere, and: microclaw config set backup.password_file FILE, outside of it"
        yield warning("backup", text, step)


def late_findings(settings: Settings, now_ms: int) -> Iterator[Finding]:
    """That none was made, or long ago, where the home is old enough to have what would be missed. StoreError."""
    begun_ms, last_ms = _history(settings)
    if begun_ms is None or now_ms - begun_ms <= LATE_DAYS * DAY_MS:
        return
    every_ms, step = 0.0, "microclaw backup make FILE, on another disk; or let the host make them (docs/backup.md)"
    if settings.backup is not None:
        every_ms = 1000 * (seconds_in(settings.backup.every) or 0)
        step = "microclaw up makes it when it is due; microclaw status says what failed"
    if last_ms is None:
        days = count_text((now_ms - begun_ms) // DAY_MS, "day")
        yield warning("backup", f"no backup was ever made of this home, which is {days} old", step)
    elif now_ms - last_ms > max(LATE_DAYS * DAY_MS, 2 * every_ms):
        days = count_text((now_ms - last_ms) // DAY_MS, "day")
        yield warning("backup", f"the last backup was made {days} ago: what came since would be lost", step)


def _history(settings: Settings) -> tuple[int | None, int | None]:
    """Since when this home is, and when its last backup was made; None where nothing says it."""
    begun: list[int] = []
    made: list[int] = []
    for found in read_events(settings.home):
        if not begun:
            begun.append(found.at_ms)
        if found.event.kind is AuditKind.BACKUP_MADE:
            made.append(found.at_ms)
    try:
        pair = KeyPair.from_pem((settings.identity / AUTHORITY_FILE).read_bytes())
        begun.append(to_ms(pair.certificate.not_valid_before_utc + BACKDATED))  # old events are removed, it is not
    except (OSError, ValueError):
        pass  # none yet, or one that the certificates' own check names
    if settings.backup is not None:
        made += own_backups(settings.backup, settings.home)
    return min(begun, default=None), max(made, default=None)


def _private_keys(home: Path) -> Iterator[tuple[Path, str]]:
    """Each file with private keys of age, and its public one."""
    for path in islice(home.rglob("*"), MAX_LOOKED):
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_KEY_FILE_BYTES:
                continue
            content = path.read_bytes()
            if _KEY in content:
                yield path, str(PrivateKey.parse(content.decode(errors="replace")).public)
        except (OSError, ConfigError):
            continue  # unreadable, or a text that only speaks of such keys
