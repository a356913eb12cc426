"""A device renews its certificate with the old one: no code, no other device, no way to lock itself out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.messages import ErrorMessage, PairDone, PairRequest

YEAR_MS = 365 * 24 * 3_600_000


class Clock:
    years = 0

    def ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.years * YEAR_MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
    """TLS goes by the machine's clock, so that the past is where the host's clock may be moved to."""
    clock.years = -years
    await device.pair(lambda code: plane.plane.pair(code, name=name), token=False)
    clock.years = 0
    async with device.connected():
        await device.until_ready()
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
        async with working.connected():
            await working.until_ready()
    assert await end_of(spot) == 4403
    async with fresh.connected():
        await fresh.until_ready()


async def test_a_certificate_is_not_renewed_before_its_last_third_nor_with_or_for_a_token_and_ends_with_its_device(
    plane: Any, scripted: Callable[[Any], Any], clock: Clock
) -> None:
    young, lamp = await paired_ago(6, plane, scripted(plane), clock, "young"), scripted(plane)
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
