"""Runs schedules when they are due, each due time once: a run is claimed before its work and closed after it.

`Executor` does the work. The runner waits until the next due time, but at most a minute, because the clock may be set.
A one-off act that was missed by more than OLD_S is not made up for: its creator gets a message. A repeated act is made
up for if its creator chose so (`missed`). After a crash, a run that had begun is not repeated if a second run may do
harm; its creator gets a message instead. In a cluster every host has a runner: the first one to claim a due time runs
it, and the runs of a dead host are taken over by another.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.agent.schedules.book import ScheduleBook
from microclaw.agent.schedules.due import HOUR_MS, next_due
from microclaw.backoff import Backoff
from microclaw.clock import now_ms
from microclaw.errors import MicroclawError, OutcomeUnknown, Overloaded, StoreUnreachable, StoreUnwritable
from microclaw.events import OLD_S
from microclaw.host.cluster.live_hosts import ALONE, Fleet, dead_among
from microclaw.host.store.schedules import KEPT_RUNS, Once, RunRow, Schedule, SchedulePrompt, Timing, ToolAction

LATE_MS: Final = 90_000  # a run that begins later than this was missed
MAX_RUNNING: Final = 16
JITTER_MS: Final = 30_000  # a claim may be this late and still count in its hour: one every 5 minutes is 12 an hour
# Failed runs in a row after which a schedule is paused, and again after as many more.
FAILURES: Final = 10
_RETRY_MS: Final = 1000
_MAX_WAIT_MS: Final = 60_000
_MAX_RESULT_CHARS: Final = 500

_log = logging.getLogger(__name__)

T = TypeVar("T")
Started: TypeAlias = Callable[[], Awaitable[None]]
RunEnd: TypeAlias = Literal["done", "failed", "unknown"]


class WallClock:
    """A clock that returns Unix time, the machine's by default."""

    def __init__(self, now_ms: Callable[[], int] = now_ms) -> None:
        self.now_ms = now_ms

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        """Wait until `until_ms` or until `news` is set, but at most a minute, because the clock may be set."""
        wait_ms = _MAX_WAIT_MS
        if until_ms is not None:
            wait_ms = min(wait_ms, until_ms - self.now_ms())
        try:
            async with asyncio.timeout(max(0.001, wait_ms / 1000)):
                await news.wait()
        except TimeoutError:
            return


class RunOutcome(Struct, frozen=True):
    """The end of a run. `used_model`: a paid one. `is_reported`: the user has received the result already.

    "unknown": it may be done, or is done later.
    """

    state: RunEnd
    text: str
    used_model: bool = False
    is_reported: bool = False


class Executor(Protocol):
    """Does the work of a schedule (agent.turn.background.unattended)."""

    async def run(self, schedule: Schedule, due_ms: int, started: Started, note: str) -> RunOutcome:
        """Run the schedule's action. Awaits `started` right before it changes something. Raises MicroclawError."""

    def may_repeat(self, act: ToolAction) -> bool:
        """Return True if a second run does no harm."""

    def changes(self, act: ToolAction) -> bool:
        """Return True if the act changes something; reading and telling do not."""

    async def tell(self, schedule: Schedule, text: str) -> None:
        """Send a text to the chat that the schedule was created in."""


@dataclass(eq=False, kw_only=True)
class Runner:
    """Runs the schedules of a host. `await runner.run()` ends when it is cancelled.

    Tool calls in progress then have `drain_s` to end. `running` has the numbers of the schedules that run now. `report`
    is called after each check of the schedules, with its failure or None.
    """

    book: ScheduleBook
    perform: Executor
    clock: WallClock
    wakes_an_hour: int
    drain_s: float = 1.0
    report: Callable[[Exception | None], None] = lambda _: None
    fleet: Fleet = ALONE
    running: set[int] = field(default_factory=set, init=False)
    _last_check_ms: float = field(default=math.inf, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _tool_runs: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _group: asyncio.TaskGroup | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.book.table.listen(self._news.set)

    async def run(self) -> None:
        """Finish the runs that a crash interrupted, then run due schedules until cancelled."""
        self.book.changed = self._news.set
        async with asyncio.TaskGroup() as self._group:
            try:
                await _log_failure(self.recover_runs(at_start=True))
                while True:
                    self._news.clear()
                    next_ms = await self._check_and_report()
                    await self.clock.wait(self._news, next_ms)
            finally:
                self._group = None
                if self._tool_runs:  # turns of the agent are continued by the inbox
                    await asyncio.wait(self._tool_runs, timeout=self.drain_s)

    async def run_now(self, schedule_id: int, person_id: str) -> Schedule:
        """Run a schedule now, without changing its next time. Raises Overloaded if it is running."""
        schedule = await self.book.get_editable(schedule_id, person_id)
        if self._group is None:
            raise Overloaded("the host is starting or stopping", next_step="try again in a moment")
        if await self.is_running(schedule_id):
            raise Overloaded(f"schedule {schedule_id} runs at this moment", next_step="wait for its end")
        await self._claim_and_start(schedule, self.clock.now_ms(), schedule.next_ms, paused_too=True)
        return schedule

    async def recover_runs(self, *, at_start: bool = False) -> None:
        """Continue or close runs that were interrupted: by the last stop of this host (`at_start`) or of a dead one."""
        if self._group is None:
            return
        open_runs = await self.book.table.open_runs()
        hosts = {run.host for run in open_runs}
        dead_hosts = dead_among(self.fleet, hosts, at_start=at_start)
        for run in open_runs:
            if run.host in dead_hosts:
                await _log_failure(self._continue_or_close(run), f"schedule {run.schedule_id}")

    async def is_running(self, schedule_id: int) -> bool:
        """Return True if this host or another one runs the schedule now."""
        if schedule_id in self.running:
            return True
        return await self.book.table.runs_elsewhere(schedule_id)

    async def _check_and_report(self) -> int | None:
        """Check the schedules once. Returns the next due time, or None if there is none or the check failed."""
        try:
            next_ms = await self._check()
        except Exception as exc:  # it is tried again within a minute
            self.report(exc)
            return None
        self.report(None)
        return next_ms

    async def _check(self) -> int | None:
        """Start the schedules that are due. Returns the next due time.

        Raises the last failure after all schedules were tried: a failed one is still due, and returning its time would
        check again at once, without end.
        """
        now_ms = self.clock.now_ms()
        was_set_back = now_ms < self._last_check_ms
        self._last_check_ms = now_ms
        failure: Exception | None = None
        for schedule, due_ms in await self._active_schedules():
            try:
                if was_set_back:
                    await self._move_next_time_back(schedule, due_ms, now_ms)
                if due_ms <= now_ms:
                    await self._handle_due(schedule, due_ms, now_ms)
            except Exception as exc:
                _log.warning("schedule %d could not be begun: %s", schedule.schedule_id, exc)
                failure = exc
        if failure is not None:
            raise failure
        due_times = [due_ms for _, due_ms in await self._active_schedules()]
        return min(due_times, default=None)

    async def _active_schedules(self) -> list[tuple[Schedule, int]]:
        """Return the active schedules, each with its next due time."""
        schedules = await self.book.all()
        return [
            (schedule, schedule.next_ms)
            for schedule in schedules
            if schedule.state == "active" and schedule.next_ms is not None
        ]

    async def _move_next_time_back(self, schedule: Schedule, due_ms: int, now_ms: int) -> None:
        """Recompute the next time after the clock was set back, if it is more than an hour too late.

        A smaller difference may be a wait for the hourly limit of model requests.
        """
        if isinstance(schedule.timing, Once):
            return
        next_ms = next_due(schedule.timing, now_ms)
        if next_ms is not None and due_ms > next_ms + HOUR_MS:
            await self.book.table.set_next(schedule.schedule_id, next_ms, instead_of=due_ms)

    async def _handle_due(self, schedule: Schedule, due_ms: int, now_ms: int) -> None:
        """Run, skip, pause or delay a schedule that is due."""
        refusal = self.book.refusal(schedule)
        if refusal is not None:  # no message: it would go to the person who lost the permission
            _log.warning("%s is paused: %s", _name(schedule), refusal)
            await self.book.pause_by_host(schedule.schedule_id, refusal)
            return
        next_ms = next_due(schedule.timing, now_ms)
        is_late = now_ms - due_ms > LATE_MS
        if await self.is_running(schedule.schedule_id):
            await self._skip(schedule, due_ms, next_ms, "the run before it had not ended")
            return
        if is_late and schedule.missed == "skip":
            await self._skip(schedule, due_ms, next_ms, "it was not run at its time: the host was off")
            return
        note = self._late_note(schedule, due_ms) if is_late else ""
        if isinstance(schedule.timing, Once) and self._is_too_old(schedule, due_ms):
            await self._skip(schedule, due_ms, next_ms, f"{note} (next: {_run_command(schedule)})")
            return
        if isinstance(schedule.deed, SchedulePrompt) and not await self._may_ask_model(schedule, due_ms, now_ms):
            return
        if len(self.running) >= MAX_RUNNING:
            await self.book.table.set_next(schedule.schedule_id, now_ms + _RETRY_MS, instead_of=due_ms)
            return
        await self._claim_and_start(schedule, due_ms, next_ms, note)

    async def _skip(self, schedule: Schedule, due_ms: int, next_ms: int | None, why: str) -> None:
        now_ms = self.clock.now_ms()
        await self.book.table.add_skipped(schedule.schedule_id, due_ms, next_ms=next_ms, why=why, now_ms=now_ms)
        if isinstance(schedule.timing, Once):
            await self._notify(schedule, f"{_name(schedule)} was missed and is over: {why}")

    def _late_note(self, schedule: Schedule, due_ms: int) -> str:
        due = self.book.moment(due_ms, schedule.zone)
        return f"this was due at {due:%A %H:%M} (the host was not there)"

    def _is_too_old(self, schedule: Schedule, due_ms: int) -> bool:
        """Return True for an act that was due so long ago that its creator may not want it any more."""
        action = schedule.deed
        is_late = self.clock.now_ms() - due_ms > OLD_S * 1000
        return is_late and isinstance(action, ToolAction) and self.perform.changes(action)

    async def _may_ask_model(self, schedule: Schedule, due_ms: int, now_ms: int) -> bool:
        """Return True if the hourly limit of model requests allows another run.

        Otherwise the schedule with the most requests is paused, and any other one is delayed until the limit allows it.
        """
        recent = await self.book.table.wakes(now_ms - HOUR_MS + JITTER_MS, now_ms)
        if len(recent) < self.wakes_an_hour:
            return True
        most_frequent_id = _most_frequent(recent, schedule.schedule_id)
        most_frequent = await self.book.get(most_frequent_id)
        if most_frequent.state == "active" and not isinstance(most_frequent.timing, Once):
            reason = (
                f"schedules asked a model {len(recent)} times within an hour, "
                f"{self.wakes_an_hour} are allowed (schedules.wakes_an_hour)"
            )
            await self._pause(most_frequent, reason)
        is_paused = most_frequent_id == schedule.schedule_id and not isinstance(schedule.timing, Once)
        if not is_paused:
            oldest_ms = recent[0].claimed_ms if recent else now_ms
            retry_ms = max(oldest_ms + HOUR_MS, now_ms + _RETRY_MS)
            await self.book.table.set_next(schedule.schedule_id, retry_ms, instead_of=due_ms)
        return False

    async def _claim_and_start(
        self, schedule: Schedule, due_ms: int, next_ms: int | None, note: str = "", *, paused_too: bool = False
    ) -> None:
        """Start a run, unless another host has claimed it. Also runs a paused schedule if `paused_too`."""
        is_claimed = await self.book.table.claim(
            schedule.schedule_id,
            due_ms,
            next_ms=next_ms,
            woke=isinstance(schedule.deed, SchedulePrompt),
            now_ms=self.clock.now_ms(),
            paused_too=paused_too,
        )
        if is_claimed:
            self._start(schedule, due_ms, note)

    def _start(self, schedule: Schedule, due_ms: int, note: str = "") -> None:
        if self._group is None:
            return
        self.running.add(schedule.schedule_id)
        task = self._group.create_task(self._run(schedule, due_ms, note), name=f"schedule {schedule.schedule_id}")
        if isinstance(schedule.deed, ToolAction):
            self._tool_runs.add(task)
            task.add_done_callback(self._tool_runs.discard)

    async def _run(self, schedule: Schedule, due_ms: int, note: str) -> None:
        outcome = await self._execute(schedule, due_ms, note)
        is_failed = outcome.state == "failed"
        await _log_failure(self._keep_end(schedule, due_ms, outcome), f"the end of {_name(schedule)}")
        if not outcome.is_reported:
            text = f"failed: {outcome.text}" if is_failed else outcome.text
            if note:
                text = f"{text}; {note}"
            await self._notify(schedule, f"{_name(schedule)}: {text}")
        if is_failed:
            await _log_failure(self._pause_if_failing(schedule), _name(schedule))

    async def _execute(self, schedule: Schedule, due_ms: int, note: str) -> RunOutcome:
        """Do the schedule's work. Returns a failed outcome for every exception."""
        started = partial(self.book.table.mark_started, schedule.schedule_id, due_ms)
        try:
            return await self.perform.run(schedule, due_ms, started, note)
        except MicroclawError as exc:
            text = exc.message
            if exc.next_step:
                text = f"{text} (next: {exc.next_step})"
            state: RunEnd = "unknown" if exc.code == OutcomeUnknown.code else "failed"
            return RunOutcome(state, text)
        except Exception:
            _log.exception("schedule %d failed inside the host", schedule.schedule_id)
            return RunOutcome("failed", "something went wrong inside the host; see its log")
        finally:  # before the result is stored and sent: whoever reads it may run the schedule again
            self.running.discard(schedule.schedule_id)

    async def _keep_end(self, schedule: Schedule, due_ms: int, outcome: RunOutcome) -> None:
        """Write the end of a run. Retries until the store can be written: without an end the run counts as running."""
        backoff = Backoff()
        text = outcome.text[:_MAX_RESULT_CHARS]
        end = partial(
            self.book.table.end_run, schedule.schedule_id, due_ms, outcome.state, text, woke=outcome.used_model
        )
        while True:
            now_ms = self.clock.now_ms()
            try:
                await end(now_ms=now_ms)
                return
            except (StoreUnreachable, StoreUnwritable) as exc:
                _log.warning("the end of %s cannot be written yet: %s", _name(schedule), exc.message)
            await self.clock.wait(asyncio.Event(), now_ms + round(backoff.next_wait_s() * 1000))

    async def _pause_if_failing(self, schedule: Schedule) -> None:
        """Pause a repeated schedule after every FAILURES failed runs in a row."""
        if isinstance(schedule.timing, Once):
            return
        failures = 0
        for run in await self.book.table.runs(schedule.schedule_id, KEPT_RUNS):
            if run.state in ("done", "unknown"):
                break
            if run.state == "failed":
                failures += 1
        if failures > 0 and failures % FAILURES == 0:
            await self._pause(schedule, f"it failed {failures} times in a row")

    async def _pause(self, schedule: Schedule, reason: str) -> None:
        await self.book.pause_by_host(schedule.schedule_id, reason)
        resume = f"microclaw schedule resume {schedule.schedule_id}"
        await self._notify(schedule, f"{_name(schedule)} is paused: {reason}. Again: {resume}")

    async def _continue_or_close(self, run: RunRow) -> None:
        """Continue an interrupted run if it had not begun or may be repeated, else close it with a message."""
        schedule = await self.book.get(run.schedule_id)
        is_taken = await self.book.table.take(run)
        if not is_taken:
            return
        action = schedule.deed
        may_repeat = run.state == "claimed" or isinstance(action, SchedulePrompt) or self.perform.may_repeat(action)
        is_too_old = self._is_too_old(schedule, run.due_ms)
        if may_repeat and not is_too_old and schedule.state != "paused":
            self._start(schedule, run.due_ms)
            return
        if run.state == "claimed":
            why = "the host stopped before it began"
        elif may_repeat and not is_too_old:
            why = "the host stopped while it ran, and it is paused"
        else:
            why = "the host stopped while it ran: it is unknown whether it was done"
        now_ms = self.clock.now_ms()
        await self.book.table.end_run(run.schedule_id, run.due_ms, "unknown", why, woke=run.woke, now_ms=now_ms)
        advice = f"look first; again: {_run_command(schedule)}"
        await self._notify(schedule, f"{_name(schedule)}: {why}. It is not run again by itself ({advice})")

    async def _notify(self, schedule: Schedule, text: str) -> None:
        await _log_failure(self.perform.tell(schedule, text), f"the message of {_name(schedule)}")


def _most_frequent(runs: Sequence[RunRow], schedule_id: int) -> int:
    """Return the schedule with the most runs; among equals `schedule_id`, then the first."""
    counts = Counter(run.schedule_id for run in runs)
    most = max(counts.values(), default=0)
    if counts[schedule_id] == most:
        return schedule_id
    return next(number for number, count in counts.items() if count == most)


async def _log_failure(work: Awaitable[T], name: str = "the schedules") -> T | None:
    """Await the work. Logs its exception, so that the other schedules continue; it is retried at its next time."""
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
    timing: Timing, work: Callable[[], Awaitable[object]], clock: WallClock, *, at_start: bool = False
) -> None:
    """Do `work` at each due time, and once at the start if `at_start`, until it fails or is cancelled."""
    never = asyncio.Event()
    due_ms = 0 if at_start else None
    while True:
        if due_ms is not None and clock.now_ms() >= due_ms:
            await work()
        # Computed again after each wait: it is earlier than before if the clock was set back.
        due_ms = next_due(timing, clock.now_ms())
        await clock.wait(never, due_ms)
