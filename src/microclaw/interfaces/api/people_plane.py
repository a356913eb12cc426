"""Opens the address that people and programs call: its socket, its certificate and the names it answers to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final

from microclaw.addresses import bracketed, is_loopback
from microclaw.clock import now_ms
from microclaw.errors import ConfigError
from microclaw.host.auth.authority import RENEWAL_CHECK_S, Authority
from microclaw.host.auth.certificates import CONSTANT_NAME, HostNames
from microclaw.host.auth.people_tls import ReloadedCertificate, people_context
from microclaw.host.config.settings import HostSettings, Settings
from microclaw.interfaces.api.request_check import LOOPBACK_NAMES, AllowedHosts
from microclaw.interfaces.api.server import PeoplePlane, tcp_listener
from microclaw.supervision import SupervisedTasks

MAX_URLS: Final = 4
_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def people_socket(settings: Settings, stack: AsyncExitStack) -> socket.socket | None:
    """Return the listening socket, or None if the settings want none.

    Raises ConfigError if it would carry tokens in the clear, or if the port is taken.
    """
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
    """Return the socket for Home Assistant's ingress, or None if it may not call.

    Raises ConfigError if the port is taken.
    """
    if settings.host.ingress == "off":
        return None
    host, _, port = settings.host.ingress.rpartition(":")
    address = host.removeprefix("[").removesuffix("]")
    step = "microclaw config set host.ingress HOST:PORT with another port, or off"
    return stack.enter_context(tcp_listener(address, int(port), next_step=step))


async def open_people_plane(
    settings: HostSettings, listening: socket.socket, authority: Authority | None, tasks: SupervisedTasks
) -> PeoplePlane:
    """Return the address at a listening socket. `authority` is set if its certificate is wanted.

    Raises ConfigError for a certificate of the settings that cannot be used.
    """
    port = listening.getsockname()[1]
    host = settings.http_host
    if settings.http_tls == "off":
        url = f"http://{bracketed(host)}:{port}"
        return PeoplePlane(listening, (url,), url, LOOPBACK_NAMES)
    holder: Authority | ReloadedCertificate
    context: ssl.SSLContext
    fingerprint = None
    if settings.http_tls == "own" and authority is not None:
        context = people_context()
        holder = authority
        fingerprint = authority.fingerprint
        authority.serve(context)
    else:
        holder = await _open_certificate(settings, tasks)
        context = holder.context
    urls = tuple(f"https://{bracketed(name)}:{port}" for name in _call_names(host, holder.names))
    allowed = AllowedHosts(host, lambda: holder.names.names)
    local_url = urls[0]
    # The own certificate has 127.0.0.1; NAME.local is not known to every machine itself.
    if fingerprint is not None and host in _UNSPECIFIED:
        local_url = f"https://127.0.0.1:{port}"
    return PeoplePlane(listening, urls, local_url, allowed, not is_loopback(host), context, fingerprint)


async def _open_certificate(settings: HostSettings, tasks: SupervisedTasks) -> ReloadedCertificate:
    """Read the certificate of the settings, and again when its files change."""
    # config.load refuses settings without these files.
    files = (Path(settings.http_cert or ""), Path(settings.http_key or ""))
    certificate = await asyncio.to_thread(ReloadedCertificate, *files, now_ms)
    tasks.start("renew the pages' certificate", certificate.refresh, every_s=RENEWAL_CHECK_S)
    return certificate


def _call_names(host: str, names: HostNames) -> list[str]:
    """Return the names by which people call the listener: a bound address, else the machine's names and addresses.

    A certificate of the settings that lacks the bound address is called by its own names.
    """
    own_names = [name for name in names.names if _is_callable_name(name)]
    if host not in _UNSPECIFIED:
        is_named = host == "localhost" or ip_address(host) in names.addresses
        if is_named or not own_names:
            return [host]
        return own_names[:MAX_URLS]
    addresses = [str(address) for address in names.addresses if isinstance(address, IPv4Address)]
    near = [address for address in addresses if not is_loopback(address)]
    return [*own_names[:1], *near, *own_names[1:]][:MAX_URLS] or ["127.0.0.1"]


def _is_callable_name(name: str) -> bool:
    return name not in ("localhost", CONSTANT_NAME) and not name.startswith("*")
