"""The server's certificate renews itself on the running host: who is connected stays, who comes gets the new one."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from microclaw.link_server.limits import LinkLimits

DAY_MS = 24 * 3_600_000
CHECK_S = 0.05


async def served(plane: Any, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection gets, verified (DER)."""
    _, writer = await asyncio.open_connection("127.0.0.1", plane.plane.port, ssl=context, server_hostname="localhost")
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


async def test_a_certificate_in_its_last_third_is_replaced_and_no_connection_dropped(
    tmp_path: Path, start_plane: Any, scripted: Callable[[Any], Any]
) -> None:
    """TLS goes by the machine's clock, so that the host begins in its past."""
    ago_ms = 61 * DAY_MS

    def now_ms() -> int:
        return time.time_ns() // 1_000_000 - ago_ms

    async with start_plane(tmp_path, LinkLimits(), now_ms=now_ms, renewal_check_s=CHECK_S) as plane:
        device = scripted(plane)
        await device.pair(lambda code: plane.plane.pair(code, name="lamp"), token=False)
        async with device.connected():
            await device.until_ready()
            link = plane.links.link(plane.registry.get("lamp").device_id)
            connection = link.connection
            first = await served(plane, device.context())
            ago_ms = 0
            async with asyncio.timeout(60):
                while (second := await served(plane, device.context())) == first:
                    pass
            assert link.connection is connection
            assert (await link.call("device.info", {}, idempotent=True, timeout_s=5)).ok
            assert device.closed is None
        async with device.connected():
            await device.until_ready()
        assert await served(plane, device.context()) == second, "renewed once"
    assert plane.plane.identity.authority.server.public_bytes(Encoding.DER) == second
