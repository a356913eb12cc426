"""The client of a host's API for programs: its calls by what they are about. It starts no host."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Self

from microclaw.client.address import CA_VARIABLE, checked_token, named_host, token_for, trusted_authorities
from microclaw.client.calls import HostCalls
from microclaw.client.chat import Chat
from microclaw.client.endpoint import RemoteEndpoint, SocketEndpoint
from microclaw.client.live import Live
from microclaw.client.request import REQUEST_TIMEOUT_S, segment
from microclaw.client.work import Tools
from microclaw.config.places import control_socket, home_folder
from microclaw.errors import ConfigError
from microclaw.events import ApprovalAsked
from microclaw.wire.host_api import JsonObject

_SAID_BY: Final = "Client()"


class Client(HostCalls):
    """The calls of one host, by what they are about; each raises MicroclawError when it fails.

    Without `host` it is the host that MICROCLAW_HOST names, else this machine's own on its control socket, where the
    caller is the owner. `host` is an address ("https://host:8443") or the path of a control socket. `token`: else
    MICROCLAW_TOKEN, else that host's line of hosts.toml in the home. `ca_file`: certificates (PEM) that are trusted
    besides the system's; there is no way round the check.

    `timeout_s` is the longest silence of the host. `ask` is given this client and each question that a call waits
    with; without it they wait until somebody decides elsewhere.
    """

    def __init__(
        self,
        host: str | Path | SocketEndpoint | RemoteEndpoint | None = None,
        *,
        token: str | None = None,
        ca_file: Path | None = None,
        home: Path | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        ask: Callable[[Self, ApprovalAsked], object] | None = None,
    ) -> None:
        found = _endpoint(host, token, ca_file, home) if host is None or isinstance(host, str) else host
        super().__init__(found, timeout_s=timeout_s, ask=None if ask is None else partial(ask, self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the streams of live events that are open; each other call ends by itself."""
        self.live.close()

    @cached_property
    def chat(self) -> Chat:
        return Chat(self)

    @cached_property
    def live(self) -> Live:
        return Live(self)

    @cached_property
    def tools(self) -> Tools:
        return Tools(self)

    def request(self, number: str) -> JsonObject:
        """What became of a request that was told to wait (202)."""
        return self.get(f"/v1/requests/{segment(number)}")

    def me(self) -> JsonObject:
        """Who this client is at the host: `name`, `role`, and what that may."""
        return self.get("/v1/me")

    def health(self) -> JsonObject:
        """Whether the host is ready, and its version; anybody may ask."""
        return self.get("/healthz")


def _endpoint(
    host: str | None, token: str | None, ca_file: Path | None, home: Path | None
) -> SocketEndpoint | RemoteEndpoint:
    address = named_host(host, os.environ, _SAID_BY)
    if address is None:
        if token is not None:
            raise ConfigError(
                "this machine's host takes no token on its control socket: its account is the owner",
                next_step='name its address for another person: Client("http://127.0.0.1:8080", token=...)',
            )
        folder = (home or home_folder(os.environ)).expanduser().absolute()
        return SocketEndpoint(control_socket(folder, os.environ))
    environ = {**os.environ, **({} if ca_file is None else {CA_VARIABLE: str(ca_file)})}
    authorities = trusted_authorities(home, environ) if address.scheme == "https" else ""
    held = token_for(address, home, environ) if token is None else checked_token(token, "token=")
    return RemoteEndpoint(address, held, authorities)
