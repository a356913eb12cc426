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


@pytest.fixture
async def spot(plane: Any, scripted: Callable[[Any], Any], clock: Clock) -> Any:
    """Paired by a certificate eight of its ten years ago, and it has used it."""
    return await paired_ago(8, plane, scripted(plane), clock)


async def paired_ago(years: int, plane: Any, device: Any, clock: Clock) -> Any:
    """TLS goes by the machine's clock, so that the past is where the host's clock may be moved to."""
    clock.years = -years
    await device.pair(lambda code: plane.plane.pair(code, name="spot"), token=False)
    clock.years = 0
    async with device.connected():
        await device.until_ready()
    return device


async def renewed(device: Any) -> Any:
    """The device with the certificate that it was given for its old one."""
    async with device.connected(PairRequest("virtual", csr=device.csr())):
        return replace(device, certificate=(await device.next(PairDone)).certificate)


async def test_an_old_certificate_buys_a_new_one_and_ends_with_its_first_use(plane: Any, spot: Any) -> None:
    fresh = await renewed(spot)
    assert fresh.certificate != spot.certificate
    async with spot.connected():
        await spot.until_ready()  # the answer might have been lost
    async with fresh.connected():
        await fresh.until_ready()
        assert plane.plane.state(plane.registry.get("spot")).online
    async with spot.connected():
        assert await spot.until_closed() == 4403
    async with fresh.connected():
        await fresh.until_ready()


async def test_an_answer_that_was_lost_is_asked_for_again_and_one_certificate_waits(plane: Any, spot: Any) -> None:
    lost = [await renewed(spot) for _ in range(3)]
    rows = await plane.plane.identity.table.certificates_of(plane.registry.get("spot").device_id)
    assert len(rows) == 2
    async with lost[0].connected():
        assert await lost[0].until_closed() == 4401
    async with lost[2].connected():
        await lost[2].until_ready()


async def test_a_certificate_is_not_renewed_before_its_last_third(
    plane: Any, scripted: Callable[[Any], Any], clock: Clock
) -> None:
    spot = await paired_ago(6, plane, scripted(plane), clock)
    async with spot.connected(PairRequest("virtual", csr=spot.csr())):
        assert (await spot.next(ErrorMessage)).code == "too_early"
        assert await spot.until_closed() == 4400
    async with spot.connected():
        await spot.until_ready()


async def test_a_token_is_not_to_be_had_for_a_certificate(spot: Any) -> None:
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        assert (await spot.next(ErrorMessage)).code == "malformed_request"


async def test_a_device_with_a_token_renews_nothing(paired: Any) -> None:
    async with paired.connected(PairRequest("virtual", csr=paired.csr())):
        assert (await paired.next(ErrorMessage)).code == "too_early"
        assert await paired.until_closed() == 4400


async def test_revocation_ends_the_new_certificate_too(plane: Any, spot: Any) -> None:
    fresh = await renewed(spot)
    assert await plane.plane.revoke("spot") == 2
    async with fresh.connected():
        assert await fresh.until_closed() == 4403
