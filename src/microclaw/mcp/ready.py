"""Where the host's API is, once there is a host. It serves nothing."""

from __future__ import annotations

from pathlib import Path

from microclaw.errors import ConfigError
from microclaw.mcp.attach import HostAttachment
from microclaw.mcp.bridge import HostBridge


async def host_address(attachment: HostAttachment, control_socket: Path) -> str:
    """The people plane's address; ConfigError when this host has none."""
    await attachment.ready()
    async with HostBridge.on_socket(control_socket) as bridge:
        address = (await bridge.get("/v1/status"))["http"]
    if address is None:
        raise ConfigError(
            "this host has no port for its API, and tokens are checked there", next_step="microclaw up --port 8080"
        )
    return str(address)
