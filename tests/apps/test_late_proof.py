"""A slow program is proved when its rhythm is due, and the note confirms or reverts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from tests.apps.conftest import make_trial

from microclaw.apps.late_proof import SLACK_S, TRIES, TRY_EVERY_S, LateProofs, Place
from microclaw.apps.verify import LATEST_MS, late_due_ms
from microclaw.errors import DeviceUnreachable
from microclaw.events import Edge

PLACE = Place("ann", "tg", "7")
MINUTE = tuple(Edge(100.0 + 60_000.0 * n, 2, (n + 1) % 2) for n in range(6))


class _Proofs(LateProofs):
    """Of the lab's board, whose time the sleep moves; what was told."""

    def __init__(self, lab: Any) -> None:
        super().__init__(devices=lab.registry, change_log=lab.change_log, tell=self._note, sleep=self.sleep)
        self.told: list[tuple[str, bool]] = []
        self.slept: list[float] = []
        self.news = asyncio.Event()
        self.lab = lab
        lab.deployer.look_later = self.watch

    async def _note(self, place: Place | None, device: str, note: str, alarm: str | None) -> None:
        assert (place, device) == (PLACE, "paper")
        assert alarm in (None, "proof_taken_back")
        self.told.append((note, alarm is None))
        self.news.set()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.lab.transport.wait(seconds)


async def _deploy(lab: Any, *seen: Edge) -> Any:
    lab.trials["slow"] = make_trial(edges=MINUTE, board_ms=400_000.0)
    lab.transport.edges = list(seen)
    return await lab.deploy("slow", pin=None, place=PLACE)


def test_two_periods_of_each_slow_pin_are_waited_for() -> None:
    trial = make_trial(edges=MINUTE)
    assert late_due_ms(trial, frozenset()) == 180_100.0
    assert late_due_ms(trial, frozenset({2})) is None
    quick = tuple(Edge(100.0 * n, 2, n % 2) for n in range(9))
    assert late_due_ms(structs.replace(trial, edges=quick), frozenset()) is None
    far = (Edge(100.0, 2, 1), Edge(LATEST_MS + 1, 2, 0))
    assert late_due_ms(structs.replace(trial, edges=far), frozenset()) is None


@pytest.mark.parametrize("agrees", [True, False])
async def test_what_the_board_shows_in_the_end_is_told_or_takes_it_back(lab: Any, agrees: bool) -> None:
    async with _Proofs(lab) as proofs:
        done = await _deploy(lab, *MINUTE if agrees else MINUTE[:1])
        assert done.evidence.kind == "accepted"
        async with asyncio.timeout(5):
            await proofs.news.wait()
    assert proofs.slept[0] == 180.1 + SLACK_S
    [(note, told)] = proofs.told
    assert told == agrees
    assert (f"microclaw app undo {done.change_id}" in note) != agrees


async def test_a_program_that_was_taken_back_meanwhile_is_not_looked_at(lab: Any) -> None:
    release = asyncio.Event()

    class Held(_Proofs):
        async def sleep(self, seconds: float) -> None:
            await release.wait()

    async with Held(lab) as proofs:
        await _deploy(lab, *MINUTE)
        await lab.take_back()
        reads = lab.transport.calls.count("edges.read")
        release.set()
        for _ in range(20):
            await asyncio.sleep(0)
    assert proofs.told == []
    assert lab.transport.calls.count("edges.read") == reads


async def test_a_board_that_is_away_is_asked_again(lab: Any) -> None:
    class Away(_Proofs):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            lab.transport.away = DeviceUnreachable("gone") if len(self.slept) < TRIES else None

    async with Away(lab) as proofs:
        await _deploy(lab, *MINUTE)
        async with asyncio.timeout(5):
            await proofs.news.wait()
    assert [agrees for _, agrees in proofs.told] == [True]
    assert proofs.slept[1:] == [TRY_EVERY_S] * (TRIES - 1)
