"""Whether an address is this machine's own, or of its network. It looks up no name.

It stands at the root: the configuration, the host, its client and the virtual board all ask.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens there: "localhost", 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(url: str | None) -> bool:
    """Whether an address is on this machine or network (a model server at home), where a proxy outside has no way."""
    host = (urlsplit(url).hostname or "") if url else ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".localhost", ".local")))
