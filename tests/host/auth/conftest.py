"""A clock to turn by hand and a store in a folder of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import PendingApproval
from microclaw.host.auth.people import People
from microclaw.host.store.database import Database


@dataclass
class Clock:
    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def ms(self) -> int:
        return round(self.now_s * 1000)

    def forward(self, *, ms: float = 0, s: float = 0, hours: float = 0, days: float = 0) -> None:
        self.now_s += ms / 1000 + s + hours * 3_600 + days * 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def people(database: Database, clock: Clock) -> People:
    return await People.open(database, now_ms=clock.ms, clock_s=clock)


async def asked(approvals: Approvals, count: int = 1) -> tuple[PendingApproval, ...]:
    """The questions, as soon as there are so many."""
    enough = asyncio.Event()
    stop = approvals.listen(lambda _: enough.set() if len(approvals.pending()) >= count else None)
    try:
        async with asyncio.timeout(60):
            if len(approvals.pending()) < count:
                await enough.wait()
    finally:
        stop()
    return approvals.pending()
