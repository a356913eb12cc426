"""Whether an address is this machine's own. It looks up no name.

It stands at the root: the configuration, the host, its client and the virtual board all ask.
"""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens there: "localhost", 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
