"""Chooses the proxy for a destination: of the settings, of the environment, or none. It opens no connection.

Only this file reads the proxies of the environment; the libraries are set not to read them.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from microclaw.addresses import bracketed, is_local
from microclaw.errors import ConfigError

_SCHEMES: Final = ("http", "https")


def proxy_for(scheme: str, host: str, port: int, setting: str | None) -> str | None:
    """Return the proxy for a destination, or None if it is asked directly. `setting` is `proxy.url`.

    This machine and private networks are always asked directly. Raises ConfigError if a variable names a proxy that is
    not an HTTP proxy.
    """
    place = f"{bracketed(host)}:{port}"
    if is_local(f"{scheme}://{place}") or proxy_bypass(host) or proxy_bypass(place):
        return None
    name = _variable(scheme)
    if setting or name is None:
        return setting
    return _checked(name, os.environ[name].strip())


def is_behind_proxy(setting: str | None) -> bool:
    """Return True if this host reaches the Internet by a proxy, which a task's own connections would bypass."""
    return bool(setting or _variable("https") or _variable("http"))


def _variable(scheme: str) -> str | None:
    """Return the variable of the environment that names the proxy for a scheme."""
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if os.environ.get(name, "").strip():
            return name
    return None


def _checked(name: str, value: str) -> str:
    """Return the address of an HTTP proxy from a variable's value; HOST:PORT is valid, too. Raises ConfigError."""
    address = value
    if "://" not in value:
        address = f"http://{value}"
    scheme = urlsplit(address).scheme
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"{name} names a {scheme}:// proxy; only http:// proxies are supported",
            next_step=f"unset {name}, or set an HTTP one: microclaw config set proxy.url http://HOST:PORT",
        )
    return address
