"""What a setting's text must be. Each check says what is wrong with it; None is nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_UNIT_S: Final = {"m": 60, "h": 3600, "d": 86_400}


def is_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return None if good else "is not an http:// or https:// address"


def is_proxy(value: str) -> str | None:
    good = is_url(value) is None and urlsplit(value).scheme == "http"
    return None if good else "is not an http://HOST:PORT address (the proxy itself is asked in plain HTTP, by CONNECT)"


def is_link(value: str) -> str | None:
    host, _, port = value.rpartition(":")
    good = value == "off" or (bool(host) and port.isdecimal() and int(port) <= 65_535)
    return None if good else 'is neither HOST:PORT nor "off"'


def is_listen(value: str) -> str | None:
    host, _, port = value.rpartition(":")
    good = bool(host) and port.isascii() and port.isdecimal() and int(port) <= 65_535
    return None if good else "is not HOST:PORT, as in 0.0.0.0:8003"


def is_place(value: str) -> str | None:
    host, _, port = value.rpartition(":")
    good = bool(host) and port.isascii() and port.isdecimal() and 0 < int(port) <= 65_535
    return None if good else "is not HOST:PORT, as in 192.168.1.20:10300"


def is_broker(value: str) -> str | None:
    """Credentials have no place in it: an address is shown in the status and in logs."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "is not mqtt://HOST:PORT or mqtts://HOST:PORT"
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        return "is not mqtt://HOST:PORT or mqtts://HOST:PORT"
    return None if parts.username is None else "has a name or password in it: use mqtt.user and mqtt.password_file"


def is_database(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1 and parts.port != 0
    except ValueError:
        return "is not postgresql://USER@HOST/NAME"
    if not good:
        return "is not postgresql://USER@HOST/NAME"
    return None if parts.password is None else "has a password in it: use PGPASSFILE, ~/.pgpass or PGPASSWORD"


def is_cluster_name(value: str) -> str | None:
    good = re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value)
    return None if good else "is not 1 to 32 of a-z, 0-9 and '-', a letter or digit first"


def is_mqtt_topic(value: str) -> str | None:
    good = all(value.split("/")) and not set("+#") & set(value) and not value.startswith("$") and len(value) <= 200
    return None if good else "is not a topic to begin with, as in microclaw or home/boards (no +, # or empty part)"


def is_folder(value: str) -> str | None:
    return None if Path(value).expanduser().is_absolute() else "is not a whole path, as in /srv/xiaozhi or ~/xiaozhi"


def is_bind(value: str) -> str | None:
    import ipaddress

    try:
        ipaddress.ip_address(value)
    except ValueError:
        return None if value == "localhost" else "is no address of this machine, as in 127.0.0.1 or 0.0.0.0"
    return None


def is_called(value: str) -> str | None:
    """A name or address for the host's own certificate, which has no wildcards."""
    import ipaddress

    try:
        ipaddress.ip_address(value)
    except ValueError:
        if "*" in value:
            return "is a pattern: write out each name that people call the host by, as in claw.lan"
        name = value.rstrip(".").lower()
        good = len(name) <= 253 and _NAME.fullmatch(name) is not None
        return None if good else "is no name or address, as in claw.lan or 192.168.1.20 (no https://, no port)"
    return None


def is_timezone(value: str) -> str | None:
    from microclaw.clock import find_zone

    return None if find_zone(value) else "is no time zone of this machine; an IANA name such as Europe/Berlin"


def is_cron(value: str) -> str | None:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        CronSim(value, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        return f"is no cron expression ({exc}); five fields such as 0 4 * * *"
    return None


def is_chat(value: str) -> str | None:
    channel, _, chat_id = value.partition(":")
    return None if channel and chat_id else "is not CHANNEL:CHAT, as in tg:12345"


def seconds_in(text: str) -> int | None:
    """Of 30m, 12h or 1d; None for another text."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found[1]) * _UNIT_S[found[2]]


def is_duration(value: str) -> str | None:
    seconds = seconds_in(value)
    return None if seconds is not None and 600 <= seconds <= 366 * 86_400 else "is not 10m to 366d, as 30m, 12h or 1d"


def is_backup_key(value: str) -> str | None:
    from microclaw.bech32 import decode_bech32

    try:
        size_bytes = len(decode_bech32("age", value))
    except ValueError as exc:
        return f"is no public key of age: {exc}"
    return None if size_bytes == 32 else "is no public key of age (X25519)"
