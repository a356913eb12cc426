"""Rollouts to devices over real connections: which boards are in one, what each gets, a stop, and its undo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from tests.link_server.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.link_server.scripted import PATIENCE_S
from tests.ota.lamp import Lamp, hello_of, lamp
from tests.store.two_hosts import until

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, UnknownName
from microclaw.ota.rollout import Rollout, RolloutPlan
from microclaw.ota.rollouts import Rollouts
from microclaw.store.rollouts import RolloutTable
from microclaw.wire.link.messages import OtaCancel, OtaOffer, OtaStatus
from microclaw.wire.link.values import OtaState

__all__ = ["device", "lamp", "limits", "paired", "plane", "scripted"]
AT_ONCE = RolloutPlan((), soak_s=0)


@dataclass
class Fleet:
    """Three connected boards, each answers an offer with `ends[name]` (healthy where nothing is said)."""

    rollouts: Rollouts
    lamp: Lamp
    boards: dict[str, ScriptedDevice]
    ends: dict[str, tuple[OtaState, str]] = field(default_factory=dict)
    took: list[tuple[str, bytes]] = field(default_factory=list)
    offered: asyncio.Event = field(default_factory=asyncio.Event)
    connections: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def connect(self, name: str, version: str = "1.3.0", **facts: Any) -> None:
        """Again, where it was connected."""
        await self.leave(name)
        stack, board = AsyncExitStack(), self.boards[name]
        self.connections[name] = stack
        await stack.enter_async_context(board.connected(hello_of(board, self.lamp.key, version, **facts)))
        await board.until_ready()

    async def leave(self, name: str) -> None:
        if (stack := self.connections.pop(name, None)) is not None:
            await stack.aclose()

    async def begin(self, version: str = "1.4.0", **more: Any) -> tuple[int, set[str]]:
        """Its number, and the names that are left out."""
        devices = self.lamp.plane.registry.list()
        one, left_out = await self.rollouts.begin(
            version, devices, "owner", **{"stages": "1,100%", "plan": AT_ONCE, **more}
        )
        return one.row.rollout_id, set(left_out)

    async def over(self, number: int) -> Rollout:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                one = await self.rollouts.get(number)
                if one.is_over:
                    return one
                await asyncio.sleep(0.01)

    async def serve(self, name: str) -> None:
        board = self.boards[name]
        while True:
            match await board.next(object):
                case OtaOffer(manifest=manifest):
                    self.took.append((name, manifest))
                    self.offered.set()
                    state, error = self.ends.get(name, ("healthy", ""))
                    version = "1.4.0" if b'"1.4.0"' in manifest else "1.3.0"
                    await board.send(OtaStatus(version, "downloading", 0.5))
                    if state == "healthy":
                        await self.connect(name, version)
                    await board.send(OtaStatus(version, state, 1, error or None))
                case OtaCancel(version=version):
                    await board.send(OtaStatus(version, "idle", 0.5, "cancelled"))


async def no_crashes(_offered: Mapping[str, int]) -> int:
    return 0


@pytest.fixture
async def fleet(plane: Plane, lamp: Lamp, scripted: Any) -> AsyncIterator[Fleet]:
    rollouts = Rollouts(RolloutTable(plane.database), lamp.offers, now_ms=now_ms, crashes=no_crashes)
    lamp.offers.heard = rollouts.heard
    made = Fleet(rollouts, lamp, {"lamp": lamp.board, "fan": scripted(plane), "door": scripted(plane)})
    try:
        for name, board in made.boards.items():
            if name != "lamp":
                await board.pair(partial(plane.plane.pair, name=name))
            await made.connect(name)
        async with _running(rollouts.run, *(partial(made.serve, name) for name in made.boards)):
            yield made
    finally:
        for name in made.boards:
            await made.leave(name)


@asynccontextmanager
async def _running(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [end for end in ended if not isinstance(end, asyncio.CancelledError)] == []


async def test_a_second_one_begins_where_the_first_ended_and_is_taken_back_by_releases_that_may_go_back(
    fleet: Fleet,
) -> None:
    fleet.ends.update(dict.fromkeys(fleet.boards, ("failed", "download_failed")))
    assert (await fleet.over((await fleet.begin())[0])).progress.state == "halted"
    fleet.ends.clear()
    number, left_out = await fleet.begin()
    assert left_out == set()
    assert (await fleet.over(number)).progress.reason == "3 healthy"
    with pytest.raises(ConfigError):
        await fleet.rollouts.undo(number, "owner")
    await fleet.lamp.publish(version="1.3.0", allow_downgrade=True)
    (back,) = await fleet.rollouts.undo(number, "owner")
    assert (await fleet.over(back.row.rollout_id)).progress.reason == "3 healthy"
    assert [b'"1.3.0"' in manifest for _, manifest in fleet.took] == [False] * 4 + [True] * 3
    assert (await fleet.rollouts.get(number)).progress.state == "undone"


async def test_boards_that_were_given_it_before_or_meanwhile_count(fleet: Fleet) -> None:
    fleet.ends.update(dict.fromkeys(fleet.boards, ("downloading", "")))
    await fleet.lamp.offer()
    await fleet.leave("door")
    number, _ = await fleet.begin(stages="100%")
    await until(lambda: len(fleet.rollouts.going_on[0].under_way) == 2 and len(fleet.took) == 2)
    for name, board in fleet.boards.items():
        await fleet.connect(name, "1.4.0")
        if name != "door":
            await board.send(OtaStatus("1.4.0", "healthy", 1))
    assert (await fleet.over(number)).progress.reason == "3 healthy"
    assert len(fleet.took) == 2


async def test_what_is_stopped_with_a_board_under_way_is_taken_back_from_all(fleet: Fleet) -> None:
    await fleet.lamp.publish(version="1.3.0", allow_downgrade=True)
    fleet.ends.update(dict.fromkeys(fleet.boards, ("downloading", "")))
    number, _ = await fleet.begin()
    async with asyncio.timeout(PATIENCE_S):
        await fleet.offered.wait()
    (back,) = await fleet.rollouts.undo(number, "owner")
    one = await fleet.over(back.row.rollout_id)
    assert (one.progress.reason, len(fleet.took)) == ("1 healthy", 1)  # it never left 1.3.0
    assert (await fleet.over(number)).progress.state == "undone"


async def test_boards_are_of_one_channel_and_those_that_cannot_take_it_are_left_out(fleet: Fleet) -> None:
    await fleet.connect("door", channel="beta")
    await fleet.lamp.publish(channel="gamma")
    await fleet.connect("fan", channel="gamma")
    with pytest.raises(ConfigError):
        await fleet.begin()
    with pytest.raises(UnknownName):
        await fleet.begin("9.9.9")
    await fleet.connect("fan")
    number, left_out = await fleet.begin()
    assert ((await fleet.rollouts.get(number)).row.channel, left_out) == ("stable", {"door"})


async def test_each_board_gets_the_release_of_its_revision(fleet: Fleet) -> None:
    """One version, a release for each revision; a board that tells none, and one of a third, are left out."""
    for revision in ("b1", "b2"):
        await fleet.lamp.publish(version="1.5.0", revisions=(revision,))
    for again in (("b2", "b4"), None):  # a version is published once for a revision
        with pytest.raises(ConfigError):
            await fleet.lamp.publish(b"another", version="1.5.0", revisions=again)
    await fleet.connect("fan", revision="b1")
    await fleet.connect("door", revision="b3")
    assert (await fleet.begin("1.5.0", stages="100%"))[1] == {"lamp", "door"}
    async with asyncio.timeout(PATIENCE_S):
        await fleet.offered.wait()
    assert [(name, b'"revisions":["b1"]' in manifest) for name, manifest in fleet.took] == [("fan", True)]


async def test_a_rollout_of_a_withdrawn_version_stops(fleet: Fleet) -> None:
    for name in fleet.boards:
        await fleet.leave(name)
    number, _ = await fleet.begin()
    await fleet.rollouts.withdrawn("1.4.0")  # there is another release of it
    assert (await fleet.rollouts.get(number)).progress.state == "running"
    await fleet.lamp.table.withdraw(fleet.lamp.release.release_id, 5)
    await fleet.rollouts.withdrawn("1.4.0")
    progress = (await fleet.rollouts.get(number)).progress
    assert (progress.state, progress.reason) == ("halted", "1.4.0 was withdrawn")
