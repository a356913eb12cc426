"""Opens the address that people and programs call: its socket, its certificate and the names it answers to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from microclaw.addresses import bracketed, is_loopback
from microclaw.app.devices import Base
from microclaw.clock import now_ms
from microclaw.errors import ConfigError
from microclaw.host.auth.authority import RENEWAL_CHECK_S, Authority
from microclaw.host.auth.certificates import CONSTANT_NAME, HostNames
from microclaw.host.auth.people_tls import ReloadedCertificate, people_context
from microclaw.host.config.settings import Settings
from microclaw.interfaces.api.request_check import LOOPBACK_NAMES, AllowedHosts
from microclaw.interfaces.api.server import PeoplePlane, tcp_listener
from microclaw.supervision import SupervisedTasks

MAX_URLS = 4
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def people_socket(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """The listening socket, where one is wanted. ConfigError where it would carry tokens in the clear, or is taken."""
    if settings.http_port is None:
        return None
    if not is_loopback(settings.host.http_host) and settings.host.http_tls == "off":
        raise ConfigError(
            f"the API speaks HTTP without TLS: it is for loopback alone, not for {settings.host.http_host}",
            next_step="microclaw config set host.http_tls own; or leave host.http_host at 127.0.0.1, and put a TLS "
            "proxy or an SSH tunnel in front",
        )
    return stack.enter_context(tcp_listener(settings.host.http_host, settings.http_port))


def ingress_socket(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """The socket for Home Assistant's ingress, if it may call. ConfigError where the port is taken."""
    if settings.host.ingress == "off":
        return None
    host, _, port = settings.host.ingress.rpartition(":")
    address = host.removeprefix("[").removesuffix("]")
    step = "microclaw config set host.ingress HOST:PORT with another port, or off"
    return stack.enter_context(tcp_listener(address, int(port), next_step=step))


async def open_people_plane(
    base: Base, listening: socket.socket, authority: Authority | None, tasks: SupervisedTasks
) -> PeoplePlane:
    """`authority` is there where its certificate is wanted. ConfigError for a bad one that was given."""
    wanted = base.settings.host
    port = listening.getsockname()[1]
    host = wanted.http_host
    if wanted.http_tls == "off":
        url = f"http://{bracketed(host)}:{port}"
        return PeoplePlane(listening, (url,), url, LOOPBACK_NAMES)
    holder: Authority | ReloadedCertificate
    if wanted.http_tls == "own" and authority is not None:
        context = people_context()
        holder = authority
        fingerprint = authority.fingerprint
        authority.serve(context)
    else:
        files = Path(wanted.http_cert or ""), Path(wanted.http_key or "")  # config.load says so
        given = await asyncio.to_thread(ReloadedCertificate, *files, now_ms)
        context = given.context
        holder = given
        fingerprint = None
        tasks.start("renew the pages' certificate", given.refresh, every_s=RENEWAL_CHECK_S)
    urls = tuple(f"https://{bracketed(name)}:{port}" for name in _call_names(host, holder.names))
    allowed = AllowedHosts(host, lambda: holder.names.names)
    # The own certificate has 127.0.0.1; NAME.local is not known to every machine itself.
    is_everywhere = fingerprint is not None and host in _UNSPECIFIED
    if is_everywhere:
        local_url = f"https://127.0.0.1:{port}"
    else:
        local_url = urls[0]
    return PeoplePlane(listening, urls, local_url, allowed, not is_loopback(host), context, fingerprint)


def _call_names(host: str, names: HostNames) -> list[str]:
    """The names that people call the listener by: a bound address itself, else the machine's names and IPv4 addresses.

    A given certificate that lacks the bound address is called by its own names.
    """
    named = [name for name in names.names if name not in ("localhost", CONSTANT_NAME) and not name.startswith("*")]
    if host not in _UNSPECIFIED:
        is_named = host == "localhost" or ip_address(host) in names.addresses
        if is_named or not named:
            return [host]
        return named[:MAX_URLS]
    near = [str(one) for one in names.addresses if isinstance(one, IPv4Address) and not one.is_loopback]
    return [*named[:1], *near, *named[1:]][:MAX_URLS] or ["127.0.0.1"]
