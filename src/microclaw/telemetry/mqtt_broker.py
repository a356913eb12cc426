"""The address and user of the MQTT broker: the settings with their files. It connects to nothing."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from microclaw.addresses import bracketed
from microclaw.config.settings import MqttSettings
from microclaw.durable import read_given_text
from microclaw.errors import ConfigError
from microclaw.telemetry.mqtt_device import OFFLINE
from microclaw.telemetry.mqtt_topics import Topics

QOS: Final = 1
CONNECT_S: Final = 10.0
MAX_UNDER_WAY: Final = 1_000  # messages without the broker's answer
PLAIN_PORT: Final = 1883
TLS_PORT: Final = 8883
MAX_PASSWORD_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """The broker's address, and the user. `will` is published, retained, when the connection is lost."""

    host: str
    port: int
    client_id: str
    will_topic: str
    will: bytes
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{bracketed(self.host)}:{self.port}"


def read_options(settings: MqttSettings, topics: Topics) -> BrokerOptions:
    """Read the settings of the connection; the files are read again each time. Raises ConfigError."""
    parts = urlsplit(settings.url or "")
    is_tls = parts.scheme == "mqtts"
    return BrokerOptions(
        host=parts.hostname or "",
        port=parts.port or (TLS_PORT if is_tls else PLAIN_PORT),
        client_id=f"microclaw-{topics.host}",
        will_topic=topics.of_host("status"),
        will=OFFLINE,
        tls=_tls(settings.ca_file) if is_tls else None,
        user=settings.user,
        password=None if settings.password_file is None else _password(settings.password_file),
    )


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else Path(ca_file).expanduser())
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"mqtt.ca_file {ca_file} cannot be used: {exc}", next_step="it is the authority's certificate in PEM"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _password(file: str) -> str:
    password = read_given_text(Path(file), MAX_PASSWORD_BYTES).strip("\r\n")
    if not password.isprintable() or not password:
        text = f"mqtt.password_file {file} does not hold a password of one line"
        raise ConfigError(text, next_step="write the password alone into it")
    return password
