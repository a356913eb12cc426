"""Addresses as people type them (host:port, [ipv6]:port); no name is looked up here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from microclaw.errors import ConfigError

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class HostPort:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """HOST:PORT, or HOST alone where there is a default; ConfigError says what the form is."""
    match = _HOST_PORT.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else default_port
    if match is None or port is None or not 0 < port <= 65535:
        example = f"192.168.1.20:{default_port or 8080}"
        raise ConfigError(f"{text!r} is not HOST:PORT", next_step=f"write it like {example}")
    return HostPort(match["v6"] or match["host"], port)
