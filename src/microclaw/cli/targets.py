"""A target: the name of a device, or an address of a board without a host."""

from __future__ import annotations

import re

_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$")
_PREFIXES = ("wasmachine://", "serial:", "virtual:")


def is_address(target: str) -> bool:
    """True if a target names an address instead of a device: HOST:PORT or a transport's full form."""
    return target.startswith(_PREFIXES) or _HOST_PORT.match(target) is not None


def endpoint_of(target: str) -> str:
    """The transport's full address of such a target."""
    return target if target.startswith(_PREFIXES) else f"wasmachine://{target}"
