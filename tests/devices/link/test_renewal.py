"""Certificates are renewed: a device's with its old one, so that none is locked out; the server's while it runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.devices.link.conftest import DAY_MS, Clock

from microclaw.devices.link.limits import LinkLimits
from microclaw.wire.link.messages import ErrorMessage, PairDone, PairRequest


@pytest.fixture
async def plane(tmp_path: Path, start_plane: Any, clock: Clock) -> AsyncIterator[Any]:
    """The host looks at its own certificate once, before the clock is moved."""
    looked = asyncio.Event()

    async def rest(_: float) -> None:
        looked.set()
        await asyncio.Event().wait()

    async with start_plane(tmp_path, LinkLimits(), now_ms=clock.ms, sleep=rest) as running:
        await looked.wait()
        yield running


async def paired_ago(years: int, plane: Any, device: Any, clock: Clock, name: str = "spot") -> Any:
    clock.ahead_ms = 0
    await device.pair(lambda code: plane.plane.pair(code, name=name), token=False)
    async with device.online():
        pass
    clock.ahead_ms = years * 365 * DAY_MS
    return device


async def renewed(device: Any) -> Any:
    """The device with the certificate that it was given for its old one."""
    async with device.connected(PairRequest("virtual", csr=device.csr())):
        return replace(device, certificate=(await device.next(PairDone)).certificate)


async def end_of(device: Any) -> int | None:
    async with device.connected():
        end: int | None = await device.until_closed()
        return end


async def test_an_old_certificate_buys_new_ones_that_wait_and_ends_with_the_first_use_of_the_last(
    plane: Any, scripted: Callable[[Any], Any], clock: Clock
) -> None:
    spot = await paired_ago(8, plane, scripted(plane), clock)
    lost, _, fresh = [await renewed(spot) for _ in range(3)]  # two answers were lost
    rows = await plane.plane.identity.table.certificates_of(plane.registry.get("spot").device_id)
    assert (len(rows), fresh.certificate != spot.certificate) == (2, True)
    assert await end_of(lost) == 4401
    for working in (spot, fresh):
        async with working.online():
            pass
    assert await end_of(spot) == 4403
    async with fresh.online():
        pass


async def test_a_certificate_is_not_renewed_early_nor_with_or_for_a_token_and_ends_with_its_device(
    plane: Any, scripted: Callable[[Any], Any], clock: Clock
) -> None:
    young = await paired_ago(6, plane, scripted(plane), clock, "young")
    lamp = scripted(plane)
    await lamp.pair(lambda code: plane.plane.pair(code, name="lamp"))
    for early in (young, lamp):
        async with early.connected(PairRequest("virtual", csr=early.csr())):
            assert (await early.next(ErrorMessage)).code == "too_early"
            assert await early.until_closed() == 4400
    spot = await paired_ago(8, plane, scripted(plane), clock)
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        assert (await spot.next(ErrorMessage)).code == "malformed_request"
    fresh = await renewed(spot)
    assert await plane.plane.revoke("spot") == 2
    assert await end_of(fresh) == 4403


CHECK_S = 0.05


async def served(plane: Any, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection gets, verified (DER)."""
    _, writer = await asyncio.open_connection("127.0.0.1", plane.plane.port, ssl=context, server_hostname="localhost")
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


async def test_a_certificate_in_its_last_third_is_replaced_and_no_connection_dropped(
    tmp_path: Path, start_plane: Any, scripted: Callable[[Any], Any], clock: Clock
) -> None:
    clock.ahead_ms = -61 * DAY_MS
    async with start_plane(tmp_path, LinkLimits(), now_ms=clock.ms, renewal_check_s=CHECK_S) as plane:
        device = scripted(plane)
        await device.pair(lambda code: plane.plane.pair(code, name="lamp"), token=False)
        async with device.online():
            link = plane.links.link(plane.registry.get("lamp").device_id)
            connection = link.connection
            first = await served(plane, device.context())
            clock.ahead_ms = 0
            async with asyncio.timeout(60):
                while (second := await served(plane, device.context())) == first:
                    pass
            assert link.connection is connection
            assert (await link.calls.call("device.info", {}, idempotent=True, timeout_s=60)).ok
            assert device.closed is None
        async with device.online():
            pass
        assert await served(plane, device.context()) == second, "renewed once"
    assert plane.plane.identity.authority.server.public_bytes(Encoding.DER) == second
