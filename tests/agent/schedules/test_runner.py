"""A due schedule is run once: through restarts, crashes, missed times and slow runs, no model is asked too often."""

from __future__ import annotations

import asyncio
import errno
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

import pytest
from tests.agent.schedules.conftest import LIMIT, START, ZONE, Clock, Hands, MakeWorld

from microclaw.agent.schedules.due import to_ms
from microclaw.agent.schedules.operations import remove
from microclaw.agent.schedules.runner import FAILURES
from microclaw.agent.schedules.scheduling import Scheduling
from microclaw.errors import (
    Overloaded,
    PermissionRefused,
    ScheduleRefused,
    StoreError,
    StoreUnwritable,
    ToolFailed,
    UnknownName,
)
from microclaw.host.operations.operation import OperationCall
from microclaw.host.store.people import Person
from microclaw.host.store.schedules import SchedulePrompt, ScheduleTable, ToolAction

ASK = SchedulePrompt("look at the plants")
UNDO = ToolAction("undo", "{}")


class FullDisk(ScheduleTable):
    """A table that takes nothing while `is_full`."""

    is_full = True

    async def claim(self, *args: Any, **values: Any) -> bool:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await super().claim(*args, **values)


async def test_a_schedule_runs_at_its_times_and_tells_what_it_did(world_of: MakeWorld) -> None:
    async with world_of() as world:
        once = await world.add("in 20 minutes", "off")
        daily = await world.add("every weekday at 7", "on")
        looks = world.clock.looks
        await world.to("2026-11-20T11:19")
        assert (world.hands.done, world.clock.looks) == ([], looks)
        await world.to("2026-11-20T11:20")
        await world.heard()
        assert world.hands.done == ["off"]
        over = await world.book.get(once.schedule_id)
        assert (over.state, over.why) == ("over", "it has run")
        with pytest.raises(ScheduleRefused):
            await world.book.pause(once.schedule_id, "owner")
        for day in ("21", "22"):  # a Saturday and a Sunday
            await world.to(f"2026-11-{day}T07:00")
        for count, day in enumerate(("23", "24"), start=1):
            await world.to(f"2026-11-{day}T07:00")
            await world.ended(daily, count)
        assert world.hands.done == ["off", "on", "on"]


@pytest.mark.parametrize(
    ("when", "tool", "missed", "late", "done", "told", "state"),
    [
        ("at 22:00", "gpio-set", None, timedelta(hours=11, minutes=9), ["set"], "it was done; this was due at", "over"),
        ("at 22:00", "gpio-set", None, timedelta(hours=11, minutes=11), [], "next: microclaw schedule run 1", "over"),
        ("at 22:00", "say", None, timedelta(days=2), ["set"], "it was done; this was due at", "over"),
        ("at 22:00", "say", "skip", timedelta(days=1), [], "was missed and is over", "over"),
        ("every day at 7:00", "gpio-set", None, timedelta(days=3), [], None, "active"),
        ("every day at 7:00", "gpio-set", "run", timedelta(days=3), ["set"], "this was due at", "active"),
    ],
)
async def test_what_was_missed_runs_once_or_is_skipped_and_an_act_only_within_ten_minutes(
    world_of: MakeWorld,
    when: str,
    tool: str,
    missed: Any,
    late: timedelta,
    done: list[str],
    told: str | None,
    state: str,
) -> None:
    clock = Clock()
    hands = Hands()
    async with world_of(clock, hands) as world:
        made = await world.add(when, deed=ToolAction(tool, "{}"), missed=missed)
    clock.at_ms += round(late.total_seconds() * 1000)
    async with world_of(clock, hands) as world:
        await world.ended(made)
        if told is not None:
            assert told in await world.heard()
        kept = await world.book.get(made.schedule_id)
        assert kept.state == state
        if state == "active":
            assert kept.next_ms == to_ms(datetime(2026, 11, 24, 7, tzinfo=ZONE))
    async with world_of(clock, hands):
        assert hands.done == done


@pytest.mark.parametrize(
    ("deed", "started", "state", "told"),
    [
        (UNDO, False, "done", "it was done"),
        (UNDO, True, "unknown", "it is unknown whether it was done"),
        (ToolAction("gpio-set", "{}"), True, "done", "it was done"),  # harmless twice
    ],
)
async def test_a_run_that_a_killed_host_left_is_not_made_twice_and_not_lost(
    world_of: MakeWorld, deed: ToolAction, started: bool, state: str, told: str
) -> None:
    """Rows as a kill leaves them; tests/stories/test_killed_hosts.py kills a host."""
    async with world_of() as world:
        made = await world.add("in 20 minutes", deed=deed)
        assert made.next_ms is not None
        await world.table.claim(made.schedule_id, made.next_ms, next_ms=None, woke=False, now_ms=made.next_ms)
        if started:
            await world.table.mark_started(made.schedule_id, made.next_ms)
    async with world_of(hands=Hands()) as world:
        (run,) = await world.ended(made)
        assert (run.state, world.hands.done) == (state, ["set"] * (state == "done"))
        assert told in await world.heard()


async def test_a_slow_run_is_not_begun_again_and_delays_no_other(world_of: MakeWorld) -> None:
    hands = Hands(hold=(hold := asyncio.Event()))
    async with world_of(hands=hands) as world:
        slow = await world.add("every 2 hours", "slow")
        await world.add("at 13:01", "other")
        await world.to("2026-11-20T13:00")
        await hands.begun.wait()
        await world.to("2026-11-20T13:01")
        async with asyncio.timeout(60):
            while hands.done != ["slow", "other"]:
                await world.table.open_runs()
        await world.to("2026-11-20T15:00")
        assert (await world.table.runs(slow.schedule_id))[0].state == "skipped"
        with pytest.raises(Overloaded):
            await world.runner.run_now(slow.schedule_id, "owner")
        scheduling = cast("Scheduling", world)
        assert (await remove.run(scheduling, OperationCall("owner", lambda _: None), slow.schedule_id)).under_way
        hold.set()
        await world.heard()
    assert hands.done == ["slow", "other"]


async def test_one_that_fails_each_time_is_paused_and_its_owner_told_once(world_of: MakeWorld) -> None:
    hands = Hands(fault=RuntimeError("a fault of ours"))  # it ends the run and not the runner
    async with world_of(hands=hands) as world:
        made = await world.add("* * * * *")
        for minute in range(1, FAILURES + 1):
            await world.to(f"2026-11-20T11:{minute:02d}")
            assert ("plug it in" in await world.heard()) is (minute > 1)
            hands.fault = ToolFailed("the board is gone", next_step="plug it in")
        assert f"microclaw schedule resume {made.schedule_id}" in await world.heard()
        assert {run.state for run in await world.table.runs(made.schedule_id)} == {"failed"}
        assert ((await world.book.get(made.schedule_id)).state, len(world.hands.done)) == ("paused", FAILURES)
        await world.book.resume(made.schedule_id, "owner")
        await world.to("2026-11-20T11:12")
        await world.heard()
        assert (await world.book.get(made.schedule_id)).state == "active"


async def test_a_schedule_that_asks_a_model_too_often_is_paused_and_one_that_asks_seldom_waits(
    world_of: MakeWorld,
) -> None:
    async with world_of() as world:
        greedy = await world.add("* * * * *", "look", ASK)
        call = await world.add("* * * * *", "call")
        seldom = await world.add("at 11:04", "seldom", ASK)
        for minute in range(1, LIMIT + 2):
            await world.to(f"2026-11-20T11:{minute:02d}")
            await world.ended(call, minute)  # which needs no model
            if minute <= LIMIT:
                await world.ended(greedy, minute)
        async with asyncio.timeout(60):
            while f"{LIMIT} are allowed (schedules.wakes_an_hour)" not in await world.heard():
                pass
        paused = await world.book.get(greedy.schedule_id)
        assert (paused.state, paused.next_ms) == ("paused", None)
        assert (await world.book.get(seldom.schedule_id)).state == "active"
        assert (world.hands.done.count("look"), "seldom" in world.hands.done) == (LIMIT, False)
        await world.book.remove(call.schedule_id, "owner")
        await world.to("2026-11-20T12:02")
        await world.ended(seldom)
        await world.book.resume(greedy.schedule_id, "owner")
        await world.clock.looked()
        await world.to("2026-11-20T13:01")
        await world.ended(greedy, LIMIT + 1)


async def test_a_member_sees_and_changes_only_their_own(world_of: MakeWorld) -> None:
    async with world_of() as world:
        made = await world.add("at 22:00")
        theirs = await world.add("at 23:00", "x", ASK, "p-ada")
        assert [one.schedule_id for one in await world.book.visible("p-ada")] == [theirs.schedule_id]
        assert len(await world.book.visible("owner")) == 2
        for change in (world.book.remove, world.book.pause, world.book.resume, world.runner.run_now):
            with pytest.raises(PermissionRefused):
                await change(made.schedule_id, "p-ada")
        await world.book.remove(theirs.schedule_id, "owner")
        with pytest.raises(UnknownName):
            await world.book.get(theirs.schedule_id)


async def test_what_a_paused_one_missed_is_not_made_up_for(world_of: MakeWorld) -> None:
    async with world_of() as world:
        made = await world.add("every day at 12:00", missed="run")
        once = await world.add("at 22:00")
        paused = await world.book.pause(made.schedule_id, "owner")
        assert (paused.state, paused.next_ms, paused.why[:3]) == ("paused", None, "by ")
        await world.book.pause_by_host(once.schedule_id, "a test")
        await world.clock.looked()
        await world.to("2026-11-22T12:01")
    async with world_of(world.clock, world.hands) as world:  # another start of the host
        await world.to("2026-11-23T12:01")
        assert (await world.book.get(made.schedule_id)).state == "paused"
        assert world.hands.done == []
        resumed = await world.book.resume(made.schedule_id, "owner")
        assert (resumed.state, resumed.next_ms) == ("active", to_ms(datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)))
        with pytest.raises(ScheduleRefused):  # its only time went by
            await world.book.resume(once.schedule_id, "owner")
        await world.clock.looked()
        await world.to("2026-11-24T12:00")
        await world.heard()
        assert world.hands.done == ["set"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_clock_that_was_ahead_and_is_set_right_puts_nothing_off(world_of: MakeWorld, restart: bool) -> None:
    clock = Clock()
    hands = Hands()
    async with world_of(clock, hands) as world:
        daily = await world.add("every day at 7:00")
        span = await world.add("every 2 hours")
        await world.to("2031-03-03T03:03")
        assert ((await world.book.get(daily.schedule_id)).next_ms or 0) > (daily.next_ms or 0)
        if not restart:
            await world.to("2026-11-20T11:05")
            for made in (daily, span):
                assert (await world.book.get(made.schedule_id)).next_ms == made.next_ms
    clock.at_ms = to_ms(START)
    async with world_of(clock, hands) as world:
        assert (await world.book.get(daily.schedule_id)).next_ms == daily.next_ms
        await world.clock.to(world.book.moment(span.next_ms or 0))
        await world.heard()
        assert hands.done == ["set"]


@pytest.mark.parametrize("now", [None, Person("p-ada", "ada", "guest")])
async def test_a_schedule_of_somebody_who_may_not_act_any_more_is_paused_without_a_word(
    world_of: MakeWorld, now: Person | None
) -> None:
    async with world_of() as world:
        made = await world.add("every day at 7:00", person="p-ada")
        del world.people.known["p-ada"]
        if now is not None:
            world.people.known["p-ada"] = now
        await world.to("2026-11-21T07:00")
        paused = await world.book.get(made.schedule_id)
        assert (paused.state, world.hands.done, world.hands.told.empty()) == ("paused", [], True)
        assert ("this host does not know its creator" if now is None else "ada is a guest now") in paused.why


class NoEnd(ScheduleTable):
    """A table that fails to take the end of a run, each time with the next of `failures`."""

    failures: ClassVar[list[StoreError]] = []
    failed: ClassVar[asyncio.Event]

    async def end_run(self, *args: Any, **values: Any) -> None:
        if self.failures:
            self.failed.set()
            raise self.failures.pop()
        await super().end_run(*args, **values)


@pytest.mark.parametrize(
    ("failure", "is_written"), [(StoreUnwritable("the disk is full"), True), (StoreError("it is broken"), False)]
)
async def test_the_end_of_a_run_is_written_when_the_store_can_be_and_not_tried_again_for_what_waiting_cannot_mend(
    world_of: MakeWorld, monkeypatch: pytest.MonkeyPatch, failure: StoreError, is_written: bool
) -> None:
    monkeypatch.setattr(NoEnd, "failures", [failure])
    monkeypatch.setattr(NoEnd, "failed", asyncio.Event(), raising=False)
    async with world_of(table_of=NoEnd) as world:
        made = await world.add("in 20 minutes", "off")
        await world.to("2026-11-20T11:20")
        async with asyncio.timeout(60):
            await NoEnd.failed.wait()
        if is_written:
            await world.to("2026-11-20T11:21")
        assert "it was done" in await world.heard()
        (run,) = await world.table.runs(made.schedule_id, 50)
        assert (run.state == "done") is is_written


async def test_a_full_disk_is_reported_and_tried_again_later_and_not_at_once(world_of: MakeWorld) -> None:
    reports: list[Exception | None] = []
    async with world_of(table_of=FullDisk, report=reports.append) as world:
        await world.add("in 20 minutes", "turn off pin 4")
        looks = world.clock.looks
        await world.to("2026-11-20T11:20")
        assert world.clock.looks == looks + 1, "it waits for the clock, as it would for a minute"
        assert isinstance(reports[-1], OSError)
        assert isinstance(world.table, FullDisk)
        world.table.is_full = False
        await world.add("in 2 hours", "another one")
        await world.heard()
        assert world.hands.done == ["turn off pin 4"]
        assert reports[-1] is None
