"""Where the device plane is: its path, and the socket and TLS it listens with (declarations only)."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

from microclaw.addresses import is_loopback

PATH: Final = "/link"


@dataclass(frozen=True, slots=True)
class Doorway:
    """`tls` None is plain ws, for tests on loopback alone."""

    listener: socket.socket
    tls: ssl.SSLContext | None

    @property
    def loopback_host(self) -> str | None:
        """The address it listens on when only this machine can reach it."""
        host = str(self.listener.getsockname()[0])
        return host if is_loopback(host) else None
