"""Code as tasks: a bounded queue, a limit of tasks at once, results stored for a time. sandbox.run has the sandbox.

A task has one row from the moment that it is accepted. If the host ends meanwhile, the task is `interrupted` at the
next start, and its folder is removed; its processes end with the host (the sandbox takes care of it).
"""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from microclaw.agent.tasks import folders
from microclaw.agent.tasks.order import (
    TaskOrder,
    changed,
    check_job_of,
    check_room,
    ended_event,
    order_lines,
    refused_event,
    started_event,
)
from microclaw.agent.tasks.results import TaskWithOutput, facts
from microclaw.agent.tasks.rights import may_still_run
from microclaw.clock import now_ms
from microclaw.errors import MicroclawError, Overloaded, TaskRefused, UnknownName
from microclaw.events import LiveEvent, ResultFile
from microclaw.host.audit.event import Record
from microclaw.host.auth.approved_act import ApprovalOutcome, current_approval
from microclaw.host.auth.people import Roles, may_see
from microclaw.host.cluster.live_hosts import ALONE, Fleet, dead_among
from microclaw.host.config.settings import SandboxSettings, TaskSettings
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.sandbox.job import SandboxJob
from microclaw.host.sandbox.run import AUTO, run_sandboxed, sandbox_backend
from microclaw.host.store.tasks import OPEN, TaskEnding, TaskRow, TaskTable

# Between two reports to a client that follows the task.
STEP_S: Final = 0.5
# Between two looks for results that are too old.
PRUNE_S: Final = 3_600.0
DAY_MS: Final = 86_400_000
# The output in one answer.
PAGE_BYTES: Final = 64 * 1024
# The output that is stored in the row; longer output is also a file.
TAIL_BYTES: Final = 64 * 1024
_AS_ORDERED: Final = ("person_id", "asked_by", "device_id", "channel", "chat_id", "language", "allow")
_AS_ENDED: Final = ("ending", "exit_code", "reason", "output_bytes", "cpu_s", "memory_peak_bytes")
CLEANED: Final = "the host stopped while it ran or waited; its files are lost"
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class LiveTask:
    """A task that waits or runs. `output` is all that it printed, at most `limits.output_bytes`."""

    row: TaskRow
    job: SandboxJob
    approval: str
    # The answer to the question for it.
    yes: ApprovalOutcome | None
    output: bytearray = field(default_factory=bytearray)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    # Its wait and its run.
    outcome: asyncio.Task[TaskRow] = field(init=False)
    # The same, until its end is stored.
    whole: asyncio.Task[None] = field(init=False)
    # The reason to end early: cancelled, interrupted.
    stop: TaskEnding = ""

    def printed(self, data: bytes) -> None:
        self.output += data
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


@dataclass(eq=False)
class TaskService:
    """Takes tasks only inside `serving`; each has a folder below `root`. Roles are looked at at each start."""

    table: TaskTable
    root: Path
    settings: TaskSettings
    roles: Roles
    _: KW_ONLY
    record: Record
    publish: Callable[[LiveEvent], None]
    sandbox: SandboxSettings = AUTO
    proxy: EgressProxy | None = None
    fleet: Fleet = ALONE
    _group: asyncio.TaskGroup | None = None
    _taking: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _places: asyncio.Semaphore = field(init=False)
    # Also the tasks that ended while the store accepted nothing.
    _live: dict[int, LiveTask] = field(init=False, default_factory=dict)
    _endings: Counter[str] = field(init=False, default_factory=Counter)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Close the open tasks of the host's last run, then serve; leaving it ends every task as interrupted."""
        await self.take_up(at_start=True)
        await self.prune()
        self._places = asyncio.Semaphore(self.settings.parallel)
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                async with self._taking:
                    self._group = None
                await self._stop(tuple(self._live.values()), "interrupted")

    async def take_up(self, *, at_start: bool = False) -> None:
        """Close the open tasks of dead hosts; `at_start`: also the open tasks of this host's last run."""
        open_tasks = await self.table.list(state=OPEN)
        dead = dead_among(self.fleet, {row.host for row in open_tasks}, at_start=at_start)
        for row in open_tasks:
            # Otherwise another host has closed it.
            if row.host in dead and await self.table.take(row):
                _log.warning("task %d was interrupted by a host's end", row.number)
                ended = structs.replace(_stopped(row, "interrupted", CLEANED), ended_ms=now_ms(), host=self.table.host)
                await self.table.put(ended)
                await asyncio.to_thread(folders.remove, self.root / str(row.number))
                self.record(ended_event(ended))

    # Taking one

    async def submit(self, order: TaskOrder) -> TaskRow:
        """Queue an order; return its stored row.

        Raises TaskRefused, Overloaded, ToolFailed, NoSandbox.
        """
        try:
            job = check_job_of(order, self.settings)
            await self.reach(order.allow)
            await asyncio.to_thread(sandbox_backend, self.sandbox)
            async with self._taking:
                if self._group is None:
                    raise Overloaded("this host is stopping", next_step="ask again when it is back")
                held = [
                    (live.row.person_id, sum(map(len, live.job.files.values())))
                    for live in self._live.values()
                    if live.row.state == "queued"
                ]
                check_room(held, self.settings.queue, self.settings.disk_mb, order.person_id)
                await asyncio.to_thread(folders.check_room, self.root, job.limits.disk_bytes)
                code = job.files[job.command[-1]]
                row = TaskRow(
                    **{name: getattr(order, name) for name in _AS_ORDERED},
                    code_bytes=len(code),
                    code_sha256=hashlib.sha256(code).hexdigest(),
                    inputs=tuple(order.files),
                    keep=tuple(job.keep),
                    limits=structs.asdict(job.limits),
                    created_ms=now_ms(),
                    host=self.table.host,
                )
                row = structs.replace(row, number=await self.table.add(row))
                live = self._live[row.number] = LiveTask(row, job, order.approval, current_approval())
                live.outcome = asyncio.create_task(self._outcome(live), name=f"run of task {row.number}")
                live.whole = self._group.create_task(self._run(live), name=f"task {row.number}")
        except MicroclawError as exc:
            self.record(refused_event(order, exc.message))
            raise
        self.publish(changed(live.row))
        return live.row

    async def question(self, order: TaskOrder) -> tuple[str, ...]:
        """Return the text for the approval. Raises TaskRefused if the order would be refused."""
        try:
            check_job_of(order, self.settings)
            return await asyncio.to_thread(order_lines, order, await self.reach(order.allow))
        except MicroclawError as exc:
            self.record(refused_event(order, exc.message))
            raise

    async def reach(self, allow: str | None) -> tuple[str, ...]:
        """Return the destinations of a task with this name in the allowlist. Raises TaskRefused, ConfigError."""
        if allow is None:
            return ()
        if self.proxy is None:
            raise TaskRefused("tasks have no network where proxy.url is set", next_step="leave out what it may reach")
        return await asyncio.to_thread(self.proxy.reach, allow)

    # Running

    async def _run(self, live: LiveTask) -> None:
        """Run one task from its start until its end is stored. It raises none of the task's failures.

        If the store fails, `prune` tries again.
        """
        try:
            ended = await live.outcome
        except asyncio.CancelledError:
            ended = _stopped(live.row, live.stop or "interrupted", CLEANED)
        except MicroclawError as exc:
            ended = _stopped(live.row, "not_run", exc.message)
        except Exception:
            _log.exception("task %d failed inside the host", live.row.number)
            ended = _stopped(live.row, "not_run", "a fault inside the host; see its log")
        if not ended.files:
            await asyncio.to_thread(folders.remove, self.root / str(ended.number))
        live.row = structs.replace(await self._with_output(live, ended), ended_ms=now_ms())
        try:
            await self._keep(live)
            await self.prune()
        except (MicroclawError, OSError) as exc:
            _log.warning("the end of task %d is not kept: %s", ended.number, exc)
        finally:
            self._endings[ended.ending] += 1
            live.wake()

    async def _outcome(self, live: LiveTask) -> TaskRow:
        """Run the task once it has a place; return its row after the run, with its kept files."""
        async with self._places:
            if not may_still_run(self.roles, live.row.person_id):
                return _stopped(live.row, "cancelled")
            await self._set(live, structs.replace(live.row, state="running", started_ms=now_ms()))
            self.record(started_event(live.row, live.yes, live.approval))
            row = live.row
            folder = self.root / str(live.row.number)
            network = None
            if self.proxy is not None and row.allow is not None:
                network = self.proxy.for_task(f"task {row.number}", row.allow, row.asked_by)
            end = await run_sandboxed(live.job, folder, live.printed, self.sandbox, network)
        files = await asyncio.to_thread(folders.file_rows, end.kept)
        is_done = end.ending == "ended" and end.exit_code == 0
        return structs.replace(
            live.row,
            state="done" if is_done else "failed",
            **{name: getattr(end, name) for name in _AS_ENDED},
            files=files,
            refused=tuple(end.refused.items()),
            kept_bytes=sum(file.size_bytes for file in files),
        )

    async def _keep(self, live: LiveTask) -> None:
        await self._set(live, live.row)
        if self._live.pop(live.row.number, None) is not None:
            self.record(ended_event(live.row, live.yes))

    async def _with_output(self, live: LiveTask, ended: TaskRow) -> TaskRow:
        """Put the end of the output into the row; a longer output goes whole into a file."""
        output = bytes(live.output)
        kept = ended.kept_bytes
        if len(output) >= TAIL_BYTES:
            try:
                await asyncio.to_thread(folders.keep_output, self.root / str(ended.number), output)
                kept += len(output)
            except OSError as exc:
                _log.warning("only the end of what task %d printed is kept: %s", ended.number, exc)
        printed = max(ended.output_bytes, len(output))
        return structs.replace(ended, output=output[-TAIL_BYTES:], output_bytes=printed, kept_bytes=kept)

    async def _set(self, live: LiveTask, row: TaskRow) -> None:
        live.row = row
        await self.table.put(row)
        self.publish(changed(row))
        live.wake()

    # Ending one early

    async def cancel(self, number: int) -> TaskRow:
        """End it: its tree is dead and its row kept when this returns.

        What has ended, or runs at another host, stays as it is.
        """
        live = self._live.get(number)
        if live is None:
            return await self.row(number)
        await self._stop([live], "cancelled")
        return live.row

    async def cancel_forbidden(self) -> None:
        """Cancel the running and waiting tasks of askers that may no longer run code."""
        forbidden = [live for live in self._live.values() if not may_still_run(self.roles, live.row.person_id)]
        await self._stop(forbidden, "cancelled")

    async def _stop(self, stopping: Sequence[LiveTask], why: TaskEnding) -> None:
        """End all of them at once, and wait for that."""
        for live in stopping:
            # A second cancel would not wait until its processes are dead.
            if not live.stop:
                live.stop = why
                live.outcome.cancel()
        if stopping:
            await asyncio.wait([live.whole for live in stopping])

    # Looking

    async def follow(self, row: TaskRow, tell: Callable[[Sequence[str]], None] = lambda _lines: None) -> TaskRow:
        """Its row once it has ended; meanwhile `tell` is given the lines that it prints, at most each STEP_S.

        It is ended when whoever follows it is cancelled.
        """
        live = self._live.get(row.number)
        if live is None:
            return await self.row(row.number)
        seen = 0
        try:
            while not live.whole.done():
                await asyncio.wait([live.whole], timeout=STEP_S)
                lines = live.output[seen:].decode(errors="replace").splitlines()
                if lines:
                    tell(lines)
                seen = len(live.output)
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel(row.number))
            raise
        return live.row

    async def view(self, number: int, *, after: int = 0, wait_s: float = 0.0) -> TaskWithOutput:
        """Return a page of the output from `after` on, once there is more or it has ended, at most after `wait_s`.

        Of a task of another host only the end, once it has ended.
        """
        live = self._live.get(number)
        if live is not None:
            state = live.row.state
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while len(live.output) <= after and live.row.state == state and live.row.is_open:
                        await live.news.wait()
            row = live.row
            first = 0
            size = len(live.output)
            kept: bytes | bytearray = live.output
        else:
            row = await self.row(number)
            kept = row.output
            first = 0
            size = len(row.output)
            # The row has only the end of a long output, its file the whole.
            if size >= TAIL_BYTES:
                page = await asyncio.to_thread(folders.kept_output, self.root / str(number), after, PAGE_BYTES)
                if page is None:
                    first = row.output_bytes - size
                    size = row.output_bytes
                else:
                    kept, size = page
                    first = after
        begins = max(after, first)
        output = bytes(kept[begins - first : begins - first + PAGE_BYTES])
        ends = begins + len(output)
        # The next page must not begin within a letter.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(output, final=not (row.is_open or ends < size))
        whole = ends - len(decoder.getstate()[0])
        return facts(TaskWithOutput, row, output=text, output_begins=begins, output_ends=whole, output_more=ends < size)

    async def file(self, number: int, name: str) -> Path:
        """Return the path of a file that it left on this host. Raises UnknownName."""
        # Any other file in the folder may be incomplete.
        names = [file.name for file in (await self.row(number)).files]
        path = folders.kept_file(self.root, number, name)
        if name not in names or not await asyncio.to_thread(path.is_file):
            text = f"task {number} left no file {name[:100]!r} on this host"
            raise UnknownName(text, next_step=f"see them: microclaw task list {number}")
        return path

    async def read_result(self, file: ResultFile) -> bytes:
        """Return the content of a file for a chat. Raises UnknownName if it is no longer stored."""
        return await asyncio.to_thread((await self.file(file.task, file.name)).read_bytes)

    async def row(self, number: int, person_id: str | None = None) -> TaskRow:
        """Return the current row of a task. Raises UnknownName, to this person also for a task of another person."""
        live = self._live.get(number)
        if live is None:
            row = await self.table.get(number)
        else:
            row = live.row
        if row is None or not (person_id is None or may_see(self.roles, row.person_id, person_id)):
            raise UnknownName(f"there is no task {number}", next_step="see them: microclaw task list")
        return row

    def counts(self) -> dict[str, Any]:
        """Count the running and the waiting tasks, and the endings of the others since the host started."""
        states = Counter(live.row.state for live in self._live.values())
        return {"running": states["running"], "waiting": states["queued"], "endings": dict(self._endings)}

    async def prune(self) -> None:
        """Remove the results that no longer fit the settings, and the folders of unknown tasks."""
        for live in tuple(self._live.values()):
            if live.whole.done():
                await self._keep(live)
        settings = self.settings
        before_ms = now_ms() - settings.keep_days * DAY_MS
        async with self._taking:
            await self.table.prune(before_ms, settings.keep_count, settings.keep_mb << 20)
            await asyncio.to_thread(folders.remove_others, self.root, await self.table.numbers())


def _stopped(row: TaskRow, why: TaskEnding, reason: str = "") -> TaskRow:
    """Return the row of a task that was ended early, or never began."""
    if why == "cancelled":
        return structs.replace(row, state="cancelled", ending=why)
    return structs.replace(row, state="failed", ending=why, reason=reason)
