"""Runs schedules when they are due, each run once: claimed before, closed after. The executor does the work.

It waits until the next due time, at most a minute, as somebody may set the clock. A one-off act that was missed by
more than OLD_S is not made up for: its maker gets a message. A repeated one is, if its maker chose so (`missed`). After
a crash, a run that had begun is not repeated when it must not happen twice; its maker gets a message. In a cluster
every host has a runner: the first that claims a time runs it, and a dead host's runs are another one's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.clock import now_ms
from microclaw.errors import MicroclawError, OutcomeUnknown, Overloaded, StoreUnreachable, StoreUnwritable
from microclaw.events import OLD_S
from microclaw.live_hosts import ALONE, Fleet, dead_among
from microclaw.schedules.book import ScheduleBook
from microclaw.schedules.due import HOUR_MS, next_due
from microclaw.store.schedules import KEPT_RUNS, Once, Prompt, RunRow, Schedule, Timing, ToolAct

LATE_MS: Final = 90_000  # a run that begins later than this was missed
MAX_RUNNING: Final = 16
JITTER_MS: Final = 30_000  # so much later than its time a run was claimed: one every 5 minutes is 12 an hour
FAILURES: Final = 10  # in a row: then it is paused; after a resume, so many more
_LONGEST_WAIT_MS: Final = 60_000
_MAX_RESULT_CHARS: Final = 500

_log = logging.getLogger(__name__)

T = TypeVar("T")
Started: TypeAlias = Callable[[], Awaitable[None]]
RunEnd: TypeAlias = Literal["done", "failed", "unknown"]


class Clock:
    """The machine's clock, or another that tells Unix time."""

    def __init__(self, now_ms: Callable[[], int] = now_ms) -> None:
        self.now_ms = now_ms

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        """Return at `until_ms`, when `news` is set, or after a minute, as somebody may set the clock."""
        if until_ms is None:
            wait_ms = _LONGEST_WAIT_MS
        else:
            wait_ms = min(_LONGEST_WAIT_MS, until_ms - self.now_ms())
        try:
            async with asyncio.timeout(max(0.001, wait_ms / 1000)):
                await news.wait()
        except TimeoutError:
            return


class Outcome(Struct, frozen=True):
    """The end of a run. `woke`: it asked a model that costs something. `told`: its person has the result already.

    "unknown": it may be done, or is done later.
    """

    state: RunEnd
    text: str
    woke: bool = False
    told: bool = False


class Executor(Protocol):
    """Does the work of a schedule (agent.background.unattended)."""

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> Outcome:
        """Raises MicroclawError for a failure. Awaits `started` right before something changes."""

    def may_repeat(self, act: ToolAct) -> bool:
        """True if a second run does no harm."""

    def changes(self, act: ToolAct) -> bool:
        """Return whether it changes something; reading and telling do not."""

    async def tell(self, schedule: Schedule, text: str) -> None:
        """Send a text into the chat that the schedule was made in."""


@dataclass(eq=False, kw_only=True)
class Runner:
    """`await runner.run()` until it is cancelled. Calls that run then have `drain_s` to end.

    `running` are the schedules that run at this moment. `report` is told how each look at the schedules went: what
    failed, or None.
    """

    book: ScheduleBook
    perform: Executor
    clock: Clock
    wakes_an_hour: int
    drain_s: float = 1.0
    report: Callable[[Exception | None], None] = lambda _: None
    fleet: Fleet = ALONE
    running: set[int] = field(default_factory=set, init=False)
    _looked_ms: float = field(default=math.inf, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _acting: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _group: asyncio.TaskGroup | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.book.table.listen(self._news.set)

    async def run(self) -> None:
        """Finish the runs that a crash cut off, then run what is due."""
        self.book.changed = self._news.set
        async with asyncio.TaskGroup() as self._group:
            try:
                await _log_failure(self.take_up(at_start=True))
                while True:
                    self._news.clear()
                    next_ms = None
                    failure = None
                    try:
                        next_ms = await self._look()
                    except Exception as exc:  # tried again within a minute
                        failure = exc
                    self.report(failure)
                    await self.clock.wait(self._news, next_ms)
            finally:
                self._group = None
                if self._acting:  # calls that have begun may end; turns belong to the inbox
                    await asyncio.wait(self._acting, timeout=self.drain_s)

    async def run_now(self, schedule_id: int, person_id: str) -> Schedule:
        """Run it now; its own times stay. Overloaded while it runs."""
        schedule = await self.book.of(schedule_id, person_id)
        if self._group is None:
            raise Overloaded("the host is starting or stopping", next_step="try again in a moment")
        if await self.is_running(schedule_id):
            raise Overloaded(f"schedule {schedule_id} runs at this moment", next_step="wait for its end")
        await self._begin(schedule, self.clock.now_ms(), schedule.next_ms, paused_too=True)
        return schedule

    async def take_up(self, *, at_start: bool = False) -> None:
        """Close or continue the runs that were cut off when a host ended: this one before its start, or a dead one."""
        if self._group is None:
            return
        open_runs = await self.book.table.open_runs()
        dead = dead_among(self.fleet, {run.host for run in open_runs}, at_start=at_start)
        for run in open_runs:
            if run.host in dead:
                await _log_failure(self._continue_or_close(run), f"schedule {run.schedule_id}")

    async def _look(self) -> int | None:
        """Begin what is due. Returns when to look again; what failed for one schedule is raised after the others."""
        now_ms = self.clock.now_ms()
        is_set_back = now_ms < self._looked_ms
        self._looked_ms = now_ms
        failure: Exception | None = None
        for schedule, due_ms in await self._waiting():
            try:
                if is_set_back:
                    await self._take_nearer(schedule, due_ms, now_ms)
                if due_ms <= now_ms:
                    await self._due(schedule, due_ms, now_ms)
            except Exception as exc:
                _log.warning("schedule %d could not be begun: %s", schedule.schedule_id, exc)
                failure = exc
        if failure is not None:  # it is still due: at its time would be at once, again and again
            raise failure
        return min((due_ms for _, due_ms in await self._waiting()), default=None)

    async def _waiting(self) -> list[tuple[Schedule, int]]:
        """The active schedules, each with its next time."""
        return [(s, s.next_ms) for s in await self.book.all() if s.state == "active" and s.next_ms is not None]

    async def _take_nearer(self, schedule: Schedule, due_ms: int, now_ms: int) -> None:
        """After the clock was set back, give a schedule that is far ahead its next time again."""
        if isinstance(schedule.timing, Once):
            nearer_ms = None
        else:
            nearer_ms = next_due(schedule.timing, now_ms)
        if nearer_ms is not None and due_ms > nearer_ms + HOUR_MS:  # less may be a wait for a model
            await self.book.table.set_next(schedule.schedule_id, nearer_ms, instead_of=due_ms)

    async def _due(self, schedule: Schedule, due_ms: int, now_ms: int) -> None:
        """Run, skip, pause or put off a schedule whose time has come."""
        if (refusal := self.book.refusal(schedule)) is not None:  # without a message: it would go to that person
            _log.warning("%s is paused: %s", _name(schedule), refusal)
            await self.book.hold(schedule.schedule_id, refusal)
            return
        next_ms = next_due(schedule.timing, now_ms)
        note = ""
        if now_ms - due_ms > LATE_MS:
            note = f"this was due at {self.book.moment(due_ms, schedule.zone):%A %H:%M} (the host was not there)"
        if await self.is_running(schedule.schedule_id):
            await self._skip(schedule, due_ms, next_ms, "the run before it had not ended")
        elif note and schedule.missed == "skip":
            await self._skip(schedule, due_ms, next_ms, "nobody ran it at its time: the host was not there")
        elif isinstance(schedule.timing, Once) and self._is_too_old(schedule, due_ms):
            await self._skip(schedule, due_ms, next_ms, f"{note} (next: {_run_command(schedule)})")
        elif isinstance(schedule.deed, Prompt) and not await self._may_wake(schedule, due_ms, now_ms):
            return
        elif len(self.running) >= MAX_RUNNING:
            await self.book.table.set_next(schedule.schedule_id, now_ms + 1000, instead_of=due_ms)
        else:
            await self._begin(schedule, due_ms, next_ms, note)

    async def _skip(self, schedule: Schedule, due_ms: int, next_ms: int | None, why: str) -> None:
        now_ms = self.clock.now_ms()
        await self.book.table.skipped(schedule.schedule_id, due_ms, next_ms=next_ms, why=why, now_ms=now_ms)
        if isinstance(schedule.timing, Once):
            await self._say(schedule, f"{_name(schedule)} was missed and is over: {why}")

    def _is_too_old(self, schedule: Schedule, due_ms: int) -> bool:
        """Return whether it is an act that was due so long ago that nobody may want it any more."""
        deed = schedule.deed
        is_late = self.clock.now_ms() - due_ms > OLD_S * 1000
        return is_late and isinstance(deed, ToolAct) and self.perform.changes(deed)

    async def is_running(self, schedule_id: int) -> bool:
        return schedule_id in self.running or await self.book.table.runs_elsewhere(schedule_id)

    async def _may_wake(self, schedule: Schedule, due_ms: int, now_ms: int) -> bool:
        """True if schedules may ask a model once more this hour.

        If not, the one that asks most often is paused, and another one waits until the hour has room.
        """
        wakes = await self.book.table.wakes(now_ms - HOUR_MS + JITTER_MS, now_ms)
        if len(wakes) < self.wakes_an_hour:
            return True
        counts = Counter(run.schedule_id for run in wakes)
        counts[schedule.schedule_id] += 0
        most = max(counts, key=lambda number: (counts[number], number == schedule.schedule_id))
        frequent = await self.book.get(most)
        if frequent.state == "active" and not isinstance(frequent.timing, Once):
            asked = f"schedules asked a model {len(wakes)} times within an hour"
            await self._pause(frequent, f"{asked}, {self.wakes_an_hour} are allowed (schedules.wakes_an_hour)")
        if most != schedule.schedule_id or isinstance(schedule.timing, Once):
            if wakes:
                room_ms = wakes[0].claimed_ms + HOUR_MS
            else:
                room_ms = now_ms + HOUR_MS
            await self.book.table.set_next(schedule.schedule_id, max(room_ms, now_ms + 1000), instead_of=due_ms)
        return False

    async def _begin(
        self, schedule: Schedule, due_ms: int, next_ms: int | None, note: str = "", *, paused_too: bool = False
    ) -> None:
        number = schedule.schedule_id
        woke = isinstance(schedule.deed, Prompt)
        now_ms = self.clock.now_ms()
        claim = self.book.table.claim(number, due_ms, next_ms=next_ms, woke=woke, now_ms=now_ms, paused_too=paused_too)
        if await claim:
            self._start(schedule, due_ms, note)

    def _start(self, schedule: Schedule, due_ms: int, note: str = "") -> None:
        if self._group is None:
            return
        self.running.add(schedule.schedule_id)
        task = self._group.create_task(self._one(schedule, due_ms, note), name=f"schedule {schedule.schedule_id}")
        if isinstance(schedule.deed, ToolAct):
            self._acting.add(task)
            task.add_done_callback(self._acting.discard)

    async def _one(self, schedule: Schedule, due_ms: int, note: str) -> None:
        number = schedule.schedule_id
        try:
            started = partial(self.book.table.started, number, due_ms)
            outcome = await self.perform.run(schedule, due_ms, started, note)
        except MicroclawError as exc:
            if exc.next_step:
                then = f" (next: {exc.next_step})"
            else:
                then = ""
            state: RunEnd = "unknown" if exc.code == OutcomeUnknown.code else "failed"
            outcome = Outcome(state, f"{exc.message}{then}")
        except Exception:
            _log.exception("schedule %d failed inside the host", number)
            outcome = Outcome("failed", "something went wrong inside the host; see its log")
        finally:  # its end is still to be kept and told: who reads of it there may run it again
            self.running.discard(number)
        await _log_failure(self._keep_end(schedule, due_ms, outcome), f"the end of {_name(schedule)}")
        if not outcome.told:
            failed = "failed: " if outcome.state == "failed" else ""
            if note:
                late = f"; {note}"
            else:
                late = ""
            await self._say(schedule, f"{_name(schedule)}: {failed}{outcome.text}{late}")
        if outcome.state == "failed":
            await _log_failure(self._pause_failing(schedule), _name(schedule))

    async def _keep_end(self, schedule: Schedule, due_ms: int, outcome: Outcome) -> None:
        """Write how a run ended, as soon as the store can be written: without an end it counts as running."""
        backoff = Backoff()
        text = outcome.text[:_MAX_RESULT_CHARS]
        end = partial(self.book.table.ended, schedule.schedule_id, due_ms, outcome.state, text, woke=outcome.woke)
        while True:
            now_ms = self.clock.now_ms()
            try:
                await end(now_ms=now_ms)
                return
            except (StoreUnreachable, StoreUnwritable) as exc:
                _log.warning("the end of %s cannot be written yet: %s", _name(schedule), exc.message)
            await self.clock.wait(asyncio.Event(), now_ms + round(backoff.next_wait_s() * 1000))

    async def _pause_failing(self, schedule: Schedule) -> None:
        runs = await self.book.table.runs(schedule.schedule_id, KEPT_RUNS)
        failed = [run.state == "failed" for run in runs if run.state in ("done", "failed", "unknown")]
        in_a_row = [*failed, False].index(False)
        if in_a_row and in_a_row % FAILURES == 0 and not isinstance(schedule.timing, Once):
            await self._pause(schedule, f"it failed {in_a_row} times in a row")

    async def _pause(self, schedule: Schedule, reason: str) -> None:
        await self.book.hold(schedule.schedule_id, reason)
        again = f"microclaw schedule resume {schedule.schedule_id}"
        await self._say(schedule, f"{_name(schedule)} is paused: {reason}. Again: {again}")

    async def _continue_or_close(self, run: RunRow) -> None:
        schedule = await self.book.get(run.schedule_id)
        if not await self.book.table.take(run):
            return
        deed = schedule.deed
        may_repeat = run.state == "claimed" or isinstance(deed, Prompt) or self.perform.may_repeat(deed)
        is_too_old = self._is_too_old(schedule, run.due_ms)
        if may_repeat and not is_too_old and schedule.state != "paused":
            self._start(schedule, run.due_ms)
            return
        why = "the host stopped while it ran: nobody knows whether it was done"
        if run.state == "claimed":
            why = "the host stopped before it began"
        elif may_repeat and not is_too_old:
            why = "the host stopped while it ran, and it is paused"
        now_ms = self.clock.now_ms()
        await self.book.table.ended(run.schedule_id, run.due_ms, "unknown", why, woke=run.woke, now_ms=now_ms)
        again = f"look first; again: {_run_command(schedule)}"
        await self._say(schedule, f"{_name(schedule)}: {why}. It is not run again by itself ({again})")

    async def _say(self, schedule: Schedule, text: str) -> None:
        await _log_failure(self.perform.tell(schedule, text), f"the message of {_name(schedule)}")


async def _log_failure(work: Awaitable[T], name: str = "the schedules") -> T | None:
    """Log a failure of one part, so that the others go on; the work is tried again at its next time."""
    try:
        return await work
    except MicroclawError as exc:
        _log.warning("%s: %s", name, exc.message)
    except Exception:
        _log.exception("%s failed; it is tried again at its next time", name)
    return None


def _name(schedule: Schedule) -> str:
    return f"schedule {schedule.schedule_id} ({schedule.said}: {schedule.what[:80]})"


def _run_command(schedule: Schedule) -> str:
    return f"microclaw schedule run {schedule.schedule_id}"


async def run_at(
    timing: Timing, work: Callable[[], Awaitable[object]], clock: Clock, *, at_start: bool = False
) -> None:
    """Do `work` at each of these times, and at the start if it is told to, until it fails or is cancelled."""
    never = asyncio.Event()
    due_ms = 0 if at_start else None
    while True:
        if due_ms is not None and clock.now_ms() >= due_ms:
            await work()
        due_ms = next_due(timing, clock.now_ms())  # nearer than before, where the clock was set back
        await clock.wait(never, due_ms)
