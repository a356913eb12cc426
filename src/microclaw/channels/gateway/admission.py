"""Who may open a WebSocket: the gateway's own pages, this machine's programs, and holders of a token. No IO of its own.

Any web page can reach loopback: a foreign Origin is refused, and a foreign Host with it, as a page may bring its own
name for 127.0.0.1 (DNS rebinding). A Host that is an address is nobody's name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from microclaw.addresses import is_loopback
from microclaw.auth.people import OWNER
from microclaw.channels.gateway.scope import Scope
from microclaw.channels.ports import Tokens

SUBPROTOCOL: Final = "microclaw.chat"
_TOKEN_PREFIX: Final = "bearer."  # noqa: S105  a name, not a secret; browsers can set no Authorization header


@dataclass(frozen=True, slots=True)
class Refused:
    status: int
    reason: str


class Admission:
    """`origins`: pages beside the gateway's own that may connect, as `http://host:port`."""

    def __init__(self, host: str, tokens: Tokens, *, origins: frozenset[str] = frozenset()) -> None:
        self._needs_token = not is_loopback(host)
        self._names = frozenset({"localhost", host.lower(), socket.gethostname().lower()})
        self._tokens = tokens
        self._origins = origins

    async def admit(self, headers: Mapping[str, str]) -> Scope | Refused:
        host = headers.get("Host", "")
        if not self._is_ours(_hostname(host)):
            return Refused(403, "this host has another name")
        origin = headers.get("Origin")
        if origin is not None and origin not in self._origins and not _same(origin, host):
            return Refused(403, "pages of other sites may not connect")
        secret = _secret(headers)
        if secret is None:
            if self._needs_token:
                return Refused(401, "a token is required (next: microclaw token create NAME)")
            return Scope(OWNER.person_id)
        token = await self._tokens.who(secret)
        if token is None:
            return Refused(401, "this token opens nothing (next: microclaw token list)")
        return Scope(token.person.person_id, token.token_id)

    def _is_ours(self, name: str) -> bool:
        bare = name.removesuffix(".local")
        return bool(name) and (name in self._names or bare in self._names or _is_address(name))


def _secret(headers: Mapping[str, str]) -> str | None:
    kind, _, secret = headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return secret.strip()
    offered = (name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(","))
    return next((name.removeprefix(_TOKEN_PREFIX) for name in offered if name.startswith(_TOKEN_PREFIX)), None)


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
