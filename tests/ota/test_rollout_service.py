"""Rollouts to devices over real connections: a good one and its undo, a bad one that stops at the canary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pytest
from tests.link_server.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.link_server.scripted import PATIENCE_S
from tests.ota.test_serving import Updates, hello_of, new_release, updates

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, UnknownName
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import Release
from microclaw.ota.publisher import Publisher
from microclaw.ota.rollout_plan import RolloutPlan
from microclaw.ota.rollout_service import RolloutService
from microclaw.ota.rollouts import OpenRollout
from microclaw.store.rollouts import RolloutTable
from microclaw.wire.link.messages import Hello, OtaCancel, OtaOffer, OtaStatus, Software
from microclaw.wire.link.values import OtaState

__all__ = ["device", "limits", "paired", "plane", "scripted", "updates"]
NAMES = ("lamp", "fan", "door")
AT_ONCE = RolloutPlan((), soak_s=0)


@dataclass
class Fleet:
    """Three connected boards, each answers an offer with `ends[name]` (healthy where nothing is said)."""

    service: RolloutService
    boards: dict[str, ScriptedDevice]
    ends: dict[str, tuple[OtaState, str]]
    took: list[tuple[str, bytes]]
    hello: Callable[[ScriptedDevice, str], Hello]
    offered: asyncio.Event = field(default_factory=asyncio.Event)
    connections: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def connect(self, name: str, hello: Hello) -> None:
        """Anew, where it was connected."""
        await self.leave(name)
        stack = self.connections[name] = AsyncExitStack()
        await stack.enter_async_context(self.boards[name].connected(hello))
        await self.boards[name].until_ready()

    async def leave(self, name: str) -> None:
        if (stack := self.connections.pop(name, None)) is not None:
            await stack.aclose()

    async def over(self, number: int) -> OpenRollout:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                one = await self.service.rollouts.get(number)
                if not one.rollout.is_open and not one.rollout.under_way:
                    return one
                await asyncio.sleep(0.01)


async def _serve(fleet: Fleet, name: str) -> None:
    board = fleet.boards[name]
    while True:
        match await board.next(object):
            case OtaOffer(manifest=manifest):
                fleet.took.append((name, manifest))
                fleet.offered.set()
                state, error = fleet.ends.get(name, ("healthy", ""))
                version = "1.4.0" if b'"1.4.0"' in manifest else "1.3.0"
                await board.send(OtaStatus(version, "downloading", 0.5))
                if state == "healthy":
                    await fleet.connect(name, fleet.hello(board, version))
                await board.send(OtaStatus(version, state, 1, error or None))
            case OtaCancel(version=version):
                await board.send(OtaStatus(version, "idle", 0.5, "cancelled"))


@pytest.fixture
async def fleet(plane: Plane, updates: Updates, scripted: Any, key: SigningKey) -> AsyncIterator[Fleet]:
    publisher = Publisher(updates.table, updates.payloads, now_ms=now_ms, record=plane.audited.append)
    service = RolloutService(
        RolloutTable(plane.database), publisher, updates.offers, plane.registry, now_ms=now_ms, crashes=no_crashes
    )
    made = Fleet(
        service, {name: scripted(plane) for name in NAMES}, {}, [], lambda board, version: hello_of(board, key, version)
    )
    try:
        for name, board in made.boards.items():
            await board.pair(partial(plane.plane.pair, name=name))
            await made.connect(name, hello_of(board, key))
        async with _running(service.run, *(_server(made, name) for name in NAMES)):
            yield made
    finally:
        for name in NAMES:
            await made.leave(name)


async def no_crashes(_offered: Mapping[str, int]) -> int:
    return 0


def _server(fleet: Fleet, name: str) -> Callable[[], Awaitable[None]]:
    return lambda: _serve(fleet, name)


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


async def begin(fleet: Fleet, plane: Plane, **more: Any) -> int:
    begun = fleet.service.begin("1.4.0", plane.registry.list(), "owner", stages="1,100%", plan=AT_ONCE, **more)
    one, left_out = await begun
    assert left_out == {}
    return one.rollout_id


async def test_it_is_taken_back_by_releases_that_may_go_back_alone(
    fleet: Fleet, plane: Plane, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    number = await begin(fleet, plane)
    await fleet.over(number)
    with pytest.raises(ConfigError):
        await fleet.service.undo(number, "owner")
    former = replace_release(release_of(), version="1.3.0", allow_downgrade=True)
    await updates.table.publish(new_release(former, key))
    (back,) = await fleet.service.undo(number, "owner")
    assert (await fleet.over(back.rollout_id)).rollout.progress.reason == "3 healthy"
    assert [b'"1.3.0"' in manifest for _, manifest in fleet.took] == [False] * 3 + [True] * 3
    assert (await fleet.service.rollouts.get(number)).rollout.progress.state == "undone"


async def test_a_second_one_begins_where_the_first_ended(fleet: Fleet, plane: Plane) -> None:
    fleet.ends.update(dict.fromkeys(NAMES, ("failed", "download_failed")))
    assert (await fleet.over(await begin(fleet, plane))).rollout.progress.state == "halted"
    fleet.ends.clear()
    one = await fleet.over(await begin(fleet, plane))
    assert one.rollout.progress.reason == "3 healthy"
    assert len(fleet.took) == 4


async def test_a_board_that_was_given_it_meanwhile_is_healthy(fleet: Fleet, plane: Plane, key: SigningKey) -> None:
    for name in NAMES:
        await fleet.leave(name)
    number = await begin(fleet, plane)
    for name, board in fleet.boards.items():
        hello = hello_of(board, key)
        await fleet.connect(name, msgspec.structs.replace(hello, firmware=Software(hello.firmware.name, "1.4.0")))
    assert (await fleet.over(number)).rollout.progress.reason == "3 healthy"
    assert fleet.took == []


async def test_what_is_stopped_with_a_board_under_way_is_taken_back_from_all(
    fleet: Fleet, plane: Plane, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    former = replace_release(release_of(), version="1.3.0", allow_downgrade=True)
    await updates.table.publish(new_release(former, key))
    fleet.ends.update(dict.fromkeys(NAMES, ("downloading", "")))
    number = await begin(fleet, plane)
    async with asyncio.timeout(PATIENCE_S):
        await fleet.offered.wait()
    (back,) = await fleet.service.undo(number, "owner")
    one = await fleet.over(back.rollout_id)
    assert (one.rollout.progress.reason, len(fleet.took)) == ("1 healthy", 1)  # it never left 1.3.0
    assert (await fleet.over(number)).rollout.progress.state == "undone"


async def test_its_channel_is_that_of_the_release_that_its_boards_get(
    fleet: Fleet, plane: Plane, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    await updates.table.publish(new_release(replace_release(release_of(), channel="gamma"), key))
    await fleet.connect("fan", hello_of(fleet.boards["fan"], key, channel="gamma"))
    with pytest.raises(ConfigError):
        await fleet.service.begin("1.4.0", plane.registry.list(), "owner")
    for name, channel in (("fan", "gamma"), ("lamp", "stable")):
        one, _ = await fleet.service.begin("1.4.0", [plane.registry.get(name)], "owner")
        assert one.channel == channel


async def test_boards_that_cannot_take_it_are_left_out_with_the_reason(
    fleet: Fleet, plane: Plane, key: SigningKey
) -> None:
    await fleet.connect("fan", hello_of(fleet.boards["fan"], key, channel="beta"))
    _, left_out = await fleet.service.begin("1.4.0", plane.registry.list(), "owner")
    assert list(left_out) == ["fan"]
    with pytest.raises(UnknownName):
        await fleet.service.begin("9.9.9", plane.registry.list(), "owner")


def replace_release(release: Release, **changes: Any) -> Release:
    told = {name: getattr(release, name) for name in release.__struct_fields__}
    return Release(**{**told, **changes})


async def test_only_boards_of_the_revision_are_chosen(
    fleet: Fleet, plane: Plane, updates: Updates, key: SigningKey
) -> None:
    await fleet.connect("fan", hello_of(fleet.boards["fan"], key, revision="b1"))
    await fleet.connect("door", hello_of(fleet.boards["door"], key, revision="b2"))
    begun, left_out = await fleet.service.begin(
        "1.4.0", plane.registry.list(), "owner", stages="100%", plan=AT_ONCE, revisions=("b2", "b3")
    )
    assert left_out.keys() == {"lamp", "fan"}
    one = await fleet.over(begun.rollout_id)
    assert [plane.registry.get(each).name for each in one.rollout.devices] == ["door"]
    assert one.rollout.progress.state == "done"


async def test_each_board_gets_the_release_of_its_revision(
    fleet: Fleet, plane: Plane, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    """One version, a release for each revision; a board that tells none, and one of a third, are left out."""
    for revision in ("b1", "b2"):
        release = release_of(f"of {revision}".encode(), version="1.5.0", revisions=(revision,))
        await updates.table.publish(new_release(release, key))
    await fleet.connect("fan", hello_of(fleet.boards["fan"], key, revision="b1"))
    await fleet.connect("door", hello_of(fleet.boards["door"], key, revision="b3"))
    _, left_out = await fleet.service.begin("1.5.0", plane.registry.list(), "owner", stages="100%", plan=AT_ONCE)
    assert left_out.keys() == {"lamp", "door"}
    async with asyncio.timeout(PATIENCE_S):
        await fleet.offered.wait()
    assert [(name, b'"revisions":["b1"]' in manifest) for name, manifest in fleet.took] == [("fan", True)]


async def test_a_version_is_published_once_for_a_revision(
    updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    await updates.table.publish(new_release(release_of(b"1", version="1.6.0", revisions=("b1", "b2")), key))
    await updates.table.publish(new_release(release_of(b"2", version="1.6.0", revisions=("b3",)), key))
    for again in (("b2", "b4"), None):
        with pytest.raises(ConfigError):
            await updates.table.publish(new_release(release_of(b"3", version="1.6.0", revisions=again), key))


async def test_a_rollout_of_a_withdrawn_version_stops(fleet: Fleet, plane: Plane, updates: Updates) -> None:
    for name in NAMES:
        await fleet.leave(name)
    number = await begin(fleet, plane)
    await fleet.service.withdrawn("1.4.0")  # there is another release of it
    assert (await fleet.service.rollouts.get(number)).rollout.progress.state == "running"
    await updates.table.withdraw(updates.release.release_id, 5)
    await fleet.service.withdrawn("1.4.0")
    progress = (await fleet.service.rollouts.get(number)).rollout.progress
    assert (progress.state, progress.reason) == ("halted", "1.4.0 was withdrawn")
