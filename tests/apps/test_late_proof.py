"""A slow program is proved when its rhythm is due, and the note confirms or takes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from tests.apps.conftest import make_trial

from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.late_proof import SLACK_S, TRIES, TRY_EVERY_S, LateProofs, Place
from microclaw.apps.verify import LATEST_MS, late_due_ms
from microclaw.errors import DeviceUnreachable
from microclaw.events import Edge

PLACE = Place("ann", "tg", "7")
MINUTE = tuple(Edge(100.0 + 60_000.0 * n, 2, (n + 1) % 2) for n in range(6))


class _Notes:
    """What was told, and a clock that moves the board's time."""

    def __init__(self, lab: Any) -> None:
        self.told: list[tuple[str, bool]] = []
        self.slept: list[float] = []
        self.news = asyncio.Event()
        self._lab = lab

    async def tell(self, place: Place | None, device: str, note: str, alarm: str | None) -> None:
        assert (place, device) == (PLACE, "paper")
        assert alarm in (None, "proof_taken_back")
        self.told.append((note, alarm is None))
        self.news.set()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._lab.transport.wait(seconds)


async def _deploy(lab: Any) -> Any:
    lab.trials["slow"] = make_trial(edges=MINUTE, board_ms=400_000.0)
    request = ChangeRequest("paper", "slow", source="v1", place=PLACE)
    return await lab.deployer.deploy(request, lab.steps.append)


def test_two_periods_of_each_slow_pin_are_waited_for() -> None:
    trial = make_trial(edges=MINUTE)
    assert late_due_ms(trial, frozenset()) == 180_100.0
    assert late_due_ms(trial, frozenset({2})) is None
    quick = tuple(Edge(100.0 * n, 2, n % 2) for n in range(9))
    assert late_due_ms(replace(trial, edges=quick), frozenset()) is None
    far = (Edge(100.0, 2, 1), Edge(LATEST_MS + 1, 2, 0))
    assert late_due_ms(replace(trial, edges=far), frozenset()) is None


async def test_what_the_board_shows_in_the_end_is_told(lab: Any) -> None:
    notes = _Notes(lab)
    async with LateProofs(
        devices=lab.registry, change_log=lab.change_log, tell=notes.tell, sleep=notes.sleep
    ) as proofs:
        lab.deployer.look_later = proofs.watch
        lab.transport.edges = list(MINUTE)
        done = await _deploy(lab)
        assert done.evidence.kind == "accepted"
        async with asyncio.timeout(5):
            await notes.news.wait()
    assert notes.slept[0] == 180.1 + SLACK_S
    [(_note, agrees)] = notes.told
    assert agrees


async def test_a_board_that_does_something_else_has_it_taken_back(lab: Any) -> None:
    notes = _Notes(lab)
    async with LateProofs(
        devices=lab.registry, change_log=lab.change_log, tell=notes.tell, sleep=notes.sleep
    ) as proofs:
        lab.deployer.look_later = proofs.watch
        lab.transport.edges = list(MINUTE[:1])
        done = await _deploy(lab)
        async with asyncio.timeout(5):
            await notes.news.wait()
    [(note, agrees)] = notes.told
    assert not agrees
    assert f"microclaw app undo {done.change_id}" in note


async def test_a_program_that_was_taken_back_meanwhile_is_not_looked_at(lab: Any) -> None:
    notes = _Notes(lab)
    release = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await release.wait()

    async with LateProofs(devices=lab.registry, change_log=lab.change_log, tell=notes.tell, sleep=sleep) as proofs:
        lab.deployer.look_later = proofs.watch
        lab.transport.edges = list(MINUTE)
        await _deploy(lab)
        await lab.take_back()
        reads = lab.transport.calls.count("edges.read")
        release.set()
        for _ in range(20):
            await asyncio.sleep(0)
    assert notes.told == []
    assert lab.transport.calls.count("edges.read") == reads


async def test_a_board_that_is_away_is_asked_again(lab: Any) -> None:
    notes = _Notes(lab)

    async def sleep(seconds: float) -> None:
        await notes.sleep(seconds)
        lab.transport.away = DeviceUnreachable("gone") if len(notes.slept) < TRIES else None

    async with LateProofs(devices=lab.registry, change_log=lab.change_log, tell=notes.tell, sleep=sleep) as proofs:
        lab.deployer.look_later = proofs.watch
        lab.transport.edges = list(MINUTE)
        await _deploy(lab)
        async with asyncio.timeout(5):
            await notes.news.wait()
    assert [agrees for _, agrees in notes.told] == [True]
    assert notes.slept[1:] == [TRY_EVERY_S] * (TRIES - 1)
