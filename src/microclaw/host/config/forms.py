"""The declaration of a setting beside its type, and the forms of its text. It declares no setting."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, cast, get_args
from urllib.parse import urlsplit

T = TypeVar("T")
MAX_TEXT: Final = 16_384
WhisperName: TypeAlias = Literal["tiny.en", "base.en", "small.en"]
WHISPER_MODELS: Final = get_args(WhisperName)
_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


def setting(default: T, about: str, low: float | None = None, high: float | None = None, *, secret: bool = False) -> T:
    """Build a field of settings.py: its default, its meaning, its bounds. A secret has no repr."""
    metadata = {"about": about, "low": low, "high": high, "secret": secret}
    if isinstance(default, dict):
        return cast(T, field(default_factory=default.copy, repr=not secret, metadata=metadata))
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a line of text. `fits` is false, or raises ValueError, for other texts; `words` say what is allowed."""

    words: str
    fits: Callable[[str], object] = bool

    def has(self, text: str) -> bool:
        """Return True if the text is a line of this form."""
        try:
            return 0 < len(text) <= MAX_TEXT and text.isprintable() and bool(self.fits(text))
        except (ValueError, RuntimeError):
            # `~NAME` without a user of that name is a RuntimeError.
            return False


def form_of(kind: Any) -> Form:
    """Return the form of one of the types below."""
    return next(form for form in get_args(kind) if isinstance(form, Form))


def seconds_in(text: str) -> int | None:
    """Of 30m, 12h or 1d; None for another text."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    return int(found[1]) * {"m": 60, "h": 3600, "d": 86_400}[found[2]]


def _is_address(text: str, *schemes: str, bare: bool = False) -> bool:
    """Return True for an address with such a scheme; `bare`: it must have no name, password, path or query.

    A bare address is shown in the status and in logs.
    """
    parts = urlsplit(text)
    more = parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment
    return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not (bare and more)


def _is_database(text: str) -> bool:
    parts = urlsplit(text)
    named = len(parts.path) > 1 and parts.port != 0
    return parts.scheme in ("postgresql", "postgres") and named and parts.password is None


def _is_place(text: str, least: int = 0) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdecimal() and least <= int(port) <= 65_535


def _is_topic(text: str) -> bool:
    return all(text.split("/")) and not set("+#") & set(text) and not text.startswith("$") and len(text) <= 200


def _is_called(text: str) -> bool:
    """For the host's own certificate, which has no wildcards."""
    name = text.removesuffix(".").lower()
    return (len(name) <= 253 and _NAME.fullmatch(name) is not None) or bool(ipaddress.ip_address(text))


def _is_timezone(text: str) -> bool:
    from microclaw.clock import find_zone

    return find_zone(text) is not None


def coordinates(text: str | None) -> tuple[float, float] | None:
    """Parse "52.52,13.40": degrees north and east. Return None for any other text."""
    match = re.fullmatch(r"(-?\d{1,2}(?:\.\d{1,8})?), ?(-?\d{1,3}(?:\.\d{1,8})?)", text or "")
    if match is None or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:
        return None
    return float(match[1]), float(match[2])


def _is_cron(text: str) -> bool:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        return bool(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError:
        return False


def _is_backup_key(text: str) -> bool:
    from pyrage import RecipientError
    from pyrage.x25519 import Recipient

    try:
        return bool(Recipient.from_str(text))
    except RecipientError:
        return False


def _is_path(text: str) -> bool:
    return Path(text).expanduser().is_absolute()


Line: TypeAlias = Annotated[str, Form("a line of text")]
Url: TypeAlias = Annotated[str, Form("an http:// or https:// address", lambda t: _is_address(t, "http", "https"))]
Proxy: TypeAlias = Annotated[str, Form("http://HOST:PORT, in plain HTTP", lambda t: _is_address(t, "http"))]
Link: TypeAlias = Annotated[str, Form('HOST:PORT or "off"', lambda t: t == "off" or _is_place(t))]
Listen: TypeAlias = Annotated[str, Form("HOST:PORT, as in 0.0.0.0:8003", _is_place)]
Place: TypeAlias = Annotated[str, Form("HOST:PORT, as in 192.168.1.20:10300", lambda t: _is_place(t, 1))]
Broker: TypeAlias = Annotated[
    str,
    Form(
        "mqtt://HOST:PORT or mqtts://HOST:PORT, without user and password",
        lambda t: _is_address(t, "mqtt", "mqtts", bare=True),
    ),
]
Database: TypeAlias = Annotated[
    str, Form("postgresql://USER@HOST/NAME, without password (use PGPASSFILE, ~/.pgpass or PGPASSWORD)", _is_database)
]
ClusterName: TypeAlias = Annotated[
    str, Form("1 to 32 of a-z, 0-9 and -, a letter or digit first", re.compile(r"[a-z0-9][a-z0-9-]{0,31}").fullmatch)
]
Topic: TypeAlias = Annotated[str, Form("a topic without +, # or empty part, as in microclaw or home/boards", _is_topic)]
Bind: TypeAlias = Annotated[
    str, Form("an address, as in 127.0.0.1 or 0.0.0.0", lambda t: t == "localhost" or ipaddress.ip_address(t))
]
CalledName: TypeAlias = Annotated[
    str, Form("a name or address, as in claw.lan or 192.168.1.20 (no https://, no port, no *)", _is_called)
]
WholePath: TypeAlias = Annotated[str, Form("a whole path, as in /srv/xiaozhi or ~/xiaozhi", _is_path)]
WhisperModel: TypeAlias = Annotated[
    str,
    Form(f"one of {', '.join(WHISPER_MODELS)} or a folder's whole path", lambda t: t in WHISPER_MODELS or _is_path(t)),
]
TimeZone: TypeAlias = Annotated[str, Form("a time zone of this machine, as in Europe/Berlin", _is_timezone)]
MapPlace: TypeAlias = Annotated[
    str, Form("LATITUDE,LONGITUDE in degrees north and east, as in 52.52,13.40", lambda t: coordinates(t) is not None)
]
Cron: TypeAlias = Annotated[str, Form("a cron expression of five fields, as in 0 4 * * *", _is_cron)]
Chat: TypeAlias = Annotated[str, Form("CHANNEL:CHAT, as in tg:12345", re.compile(r"[^:]+:.+").fullmatch)]
Duration: TypeAlias = Annotated[
    str, Form("10m to 366d, as in 30m, 12h or 1d", lambda t: 600 <= (seconds_in(t) or 0) <= 366 * 86_400)
]
BackupKey: TypeAlias = Annotated[str, Form("a public key of age (age1...)", _is_backup_key)]
