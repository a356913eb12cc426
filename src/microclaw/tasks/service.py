"""Code as tasks: a bounded queue, so many at once, results kept for a time. The sandbox itself is sandbox.run's.

A task has one row from the moment that it was taken. One that the end of the host cuts off is `interrupted` at the
next start, and its folder is cleaned; its processes end with the host (the sandbox sees to it).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from microclaw.audit.event import Record
from microclaw.auth.approvals import yes_now
from microclaw.config.settings import TaskSettings
from microclaw.egress.proxy import EgressProxy
from microclaw.errors import MicroclawError, Overloaded, TaskRefused, UnknownName
from microclaw.events import LiveEvent, ResultFile
from microclaw.live_hosts import ALONE, Fleet, dead_among
from microclaw.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits
from microclaw.store.tasks import OPEN, TaskEnding, TaskRow, TaskTable
from microclaw.tasks.folders import TaskFolders, too_many
from microclaw.tasks.live import (
    CLEANED,
    PAGE_BYTES,
    TAIL_BYTES,
    LiveTask,
    RunSandboxed,
    TaskView,
    limit_reason,
    page,
    row_of,
    stopped,
)
from microclaw.tasks.order import Language, TaskOrder, check_network_name, check_order, order_lines
from microclaw.tasks.telling import TaskTelling
from microclaw.tasks.waiting import WaitingTasks
from microclaw.text import host_called

MAX_WAIT_S: Final = 25.0  # of one look at a running task
FOLLOW_S: Final = 5.0  # likewise, of who follows it
PRUNE_S: Final = 3_600.0  # between two looks for results that are too old
DAY_MS: Final = 86_400_000
_log = logging.getLogger(__name__)


class TaskService:
    """Takes tasks only inside `serving`."""

    def __init__(
        self,
        table: TaskTable,
        folders: TaskFolders,
        settings: TaskSettings,
        *,
        run: RunSandboxed,
        check_sandbox: Callable[[], object],
        record: Record,
        publish: Callable[[LiveEvent], None],
        now_ms: Callable[[], int],
        proxy: EgressProxy | None = None,
        may_run: Callable[[str], bool] = lambda _person_id: True,
        fleet: Fleet = ALONE,
    ) -> None:
        """`check_sandbox` raises when this machine has no sandbox; it blocks. `may_run` is asked at each start."""
        self.settings = settings
        self._table = table
        self._folders = folders
        self._run_sandboxed = run
        self._check_sandbox = check_sandbox
        self.telling = TaskTelling(record, publish)
        self._now_ms = now_ms
        self._proxy = proxy
        self._fleet = fleet
        self._may_run = may_run
        self._group: asyncio.TaskGroup | None = None
        self._live: dict[int, LiveTask] = {}
        self._waiting = WaitingTasks(settings.queue)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._unkept: dict[int, TaskRow] = {}  # that ended while the store took nothing
        self._endings: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """First close what the last run of the host left open. Leaving it ends every task as interrupted."""
        await self.take_up(at_start=True)
        await asyncio.to_thread(self._folders.remove_others, await self._table.numbers())
        await self.prune()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for live in tuple(self._live.values()):
                    self._stop(live, "interrupted")
                for live in self._waiting:
                    await self._drop(live)
                if self._running:
                    await asyncio.wait(tuple(self._running.values()))

    async def take_up(self, *, at_start: bool = False) -> None:
        """Close the open tasks of dead hosts; `at_start` those of this host's last run, too. Keep ends of the own."""
        for row in tuple(self._unkept.values()):
            await self._table.put(row)
            if self._unkept.pop(row.number, None) is not None:  # it may be on its way in `_end`
                self.telling.ended(row)
        open_tasks = await self._table.list(state=OPEN)
        dead = dead_among(self._fleet, {row.host for row in open_tasks}, at_start=at_start)
        for row in open_tasks:
            if row.host in dead:
                await self._close(row)

    async def _close(self, row: TaskRow) -> None:
        """It ended with its host. Nothing where another host has closed it."""
        if not await self._table.take(row):
            return
        _log.warning("task %d was interrupted by a host's end", row.number)
        ended = replace(row, state="failed", ending="interrupted", reason=CLEANED, ended_ms=self._now_ms())
        await self._table.put(replace(ended, host=self._table.host))
        await asyncio.to_thread(self._folders.clean, row.number)
        self.telling.ended(ended)

    async def submit(self, order: TaskOrder) -> TaskRow:
        """Take it; it is in the store when this returns. Raises TaskRefused, Overloaded, ToolFailed, and what the
        check of the sandbox raises."""
        try:
            language, limits = check_order(order, self.settings)
            command = language.command()
            if self._group is None:
                raise Overloaded("this host is stopping", next_step="ask again when it is back")
            await self.reach(order.allow)
            self._waiting.check_room(order.person_id)
            await asyncio.to_thread(self._check_sandbox)
            self._waiting.check_room(order.person_id)
            with self._waiting.taking(order.person_id):
                live = await self._take(order, language, command, limits)
        except MicroclawError as exc:
            self.telling.refused(order, exc.message)
            raise
        self._waiting.add(live)
        self.telling.changed(live.row)
        self._start_more()
        return live.row

    async def question(self, order: TaskOrder) -> tuple[str, ...]:
        """The text for somebody who is asked for it. Raises TaskRefused where it would not be taken."""
        try:
            check_order(order, self.settings)
            return await asyncio.to_thread(order_lines, order, await self.reach(order.allow))
        except MicroclawError as exc:
            self.telling.refused(order, exc.message)
            raise

    async def reach(self, allow: str | None) -> tuple[str, ...]:
        """The destinations of a task with this name in the allowlist. Raises TaskRefused, ConfigError."""
        if allow is None:
            return ()
        if self._proxy is None:
            raise TaskRefused("tasks have no network on this host", next_step="leave out what it may reach")
        check_network_name(allow)
        return await asyncio.to_thread(self._proxy.reach, allow)

    async def _take(
        self, order: TaskOrder, language: Language, command: tuple[str, ...], limits: SandboxLimits
    ) -> LiveTask:
        await asyncio.to_thread(self._folders.check_room, limits.disk_bytes)
        code = order.code.encode(errors="replace")
        row = replace(row_of(order, code, language, limits, self._now_ms()), host=self._table.host)
        row = replace(row, number=await self._table.add(row))
        given = {**language.besides(), language.file: code, **order.files}
        try:
            files = await asyncio.to_thread(self._folders.put, row.number, given)
        except BaseException:
            await self._table.delete(row.number)
            raise
        live = LiveTask(row, structs.replace(order, code="", files={}), language, command, limits, files, yes_now())
        self._live[row.number] = live
        return live

    # Running

    def _start_more(self) -> None:
        while self._group is not None and self._waiting and len(self._running) < self.settings.parallel:
            live = self._waiting.next(self._live[number] for number in self._running if number in self._live)
            number = live.row.number
            task = self._group.create_task(self._run(live), name=f"task {number}")
            self._running[number] = task
            task.add_done_callback(lambda _, number=number: self._went(number))  # type: ignore[misc]

    def _went(self, number: int) -> None:
        self._running.pop(number, None)
        self._start_more()

    async def _run(self, live: LiveTask) -> None:
        """One task from its start to its end. Its own failures do not leave it."""
        try:
            await self._set(live, replace(live.row, state="running", started_ms=self._now_ms()))
            self.telling.started(live)
            ended = await self._outcome(live)
        except MicroclawError as exc:
            ended = replace(live.row, state="failed", ending="not_run", reason=exc.message)
        except Exception:
            _log.exception("task %d failed inside the host", live.row.number)
            ended = replace(live.row, state="failed", ending="not_run", reason="a fault inside the host; see its log")
        await self._end(live, ended)

    async def _outcome(self, live: LiveTask) -> TaskRow:
        """The row as its run left it, its files kept."""
        group = self._group
        if not self._may_run(live.row.person_id):
            self._stop(live, "cancelled")
        if live.stop or group is None:
            return stopped(live.row, live.stop or "interrupted")
        live.job = job = group.create_task(self._sandboxed(live), name=f"task {live.row.number} in the sandbox")
        await asyncio.wait((job,))
        if job.cancelled():
            return stopped(live.row, live.stop or "interrupted")
        end = job.result()
        if isinstance(end, Exception):
            raise end
        files, refused = await asyncio.to_thread(self._folders.keep, live.row.number, end.kept)
        missing = {name: "it was not written" for name in live.row.keep if name not in end.kept}
        is_done = end.ending == "ended" and end.exit_code == 0
        return replace(
            live.row,
            state="done" if is_done else "failed",
            ending=end.ending,
            exit_code=end.exit_code,
            reason=end.reason or limit_reason(end.ending, live.limits),
            output_bytes=end.output_bytes,
            files=files,
            refused=tuple({**missing, **end.refused, **refused}.items()),
            kept_bytes=sum(one.size_bytes for one in files),
            cpu_s=end.cpu_s,
            memory_peak_bytes=end.memory_peak_bytes,
        )

    async def _sandboxed(self, live: LiveTask) -> SandboxEnd | Exception:
        """Return how it ended. A failure is given back: raised, it would end every task of the group."""
        try:
            return await self._in_sandbox(live)
        except Exception as exc:
            return exc

    async def _in_sandbox(self, live: LiveTask) -> SandboxEnd:
        number = live.row.number
        job = SandboxJob(
            command=live.command,
            files=dict(live.files),
            keep=live.row.keep,
            environment={"MICROCLAW_TASK": str(number)},
            limits=live.limits,
        )
        folder = self._folders.job(number)
        if self._proxy is None or live.row.allow is None:
            return await self._run_sandboxed(job, folder, live.printed)
        place = self._folders.proxy(number)
        async with self._proxy.serving(place, f"task {number}", name=live.row.allow, by=live.row.asked_by) as socket:
            return await self._run_sandboxed(structs.replace(job, proxy_socket=socket), folder, live.printed)

    async def _end(self, live: LiveTask, ended: TaskRow) -> None:
        ended = replace(await self._with_output(live, ended), ended_ms=self._now_ms())
        self._unkept[ended.number] = ended
        try:
            await asyncio.to_thread(self._folders.clean, ended.number)
            await self._set(live, ended)
            if self._unkept.pop(ended.number, None) is not None:
                self.telling.ended(ended, live.yes)
            await self.prune()
        except (MicroclawError, OSError) as exc:  # it stays open in the store: `take_up` tries again
            _log.warning("the end of task %d is not kept: %s", ended.number, exc)
            live.row = ended
        finally:
            self._endings[ended.ending] += 1
            self._live.pop(ended.number, None)
            live.ended.set()
            live.wake()

    async def _with_output(self, live: LiveTask, ended: TaskRow) -> TaskRow:
        """The end of what it printed goes into the row, and all of it into a file where that is more."""
        output, kept = bytes(live.output), ended.kept_bytes
        if len(output) >= TAIL_BYTES:
            try:
                await asyncio.to_thread(self._folders.keep_output, ended.number, output)
                kept += len(output)
            except OSError as exc:
                _log.warning("only the end of what task %d printed is kept: %s", ended.number, exc)
        printed = max(ended.output_bytes, len(output))
        return replace(ended, output=output[-TAIL_BYTES:], output_bytes=printed, kept_bytes=kept)

    async def _set(self, live: LiveTask, row: TaskRow) -> None:
        live.row = row
        await self._table.put(row)
        self.telling.changed(row)
        live.wake()

    # Ending one early

    async def cancel(self, number: int) -> TaskRow:
        """End it: its tree is dead and its row kept when this returns. What has ended stays as it is.

        Raises Overloaded when it runs at another host.
        """
        if (live := self._live.get(number)) is not None:
            await self._cancel([live])
            return live.row
        return await self._closed_or_here(number)

    async def cancel_forbidden(self) -> None:
        """Cancel what somebody has running or waiting who may no longer run code."""
        await self._cancel([live for live in self._live.values() if not self._may_run(live.row.person_id)])

    async def _cancel(self, stopping: Sequence[LiveTask]) -> None:
        for live in stopping:
            self._stop(live, "cancelled")
        for live in stopping:
            if live in self._waiting:
                await self._drop(live)
            await live.ended.wait()

    def _stop(self, live: LiveTask, why: TaskEnding) -> None:
        live.stop = live.stop or why
        if live.job is not None:
            live.job.cancel()

    async def _drop(self, live: LiveTask) -> None:
        """It never began."""
        self._waiting.remove(live)
        await self._end(live, stopped(live.row, live.stop))

    # Looking

    async def wait(self, number: int) -> TaskRow:
        """Its row once it has ended."""
        live = self._live.get(number)
        if live is None:
            return await self.row(number)
        await live.ended.wait()
        return live.row

    async def follow(self, row: TaskRow) -> AsyncIterator[tuple[TaskRow, Sequence[str]]]:
        """Its row and the lines that it printed since, again and again, until it has ended."""
        seen = 0
        while row.is_open:
            view = await self.view(row.number, after=seen, wait_s=FOLLOW_S)
            row, seen = view.row, view.ends
            yield row, view.output.decode(errors="replace").splitlines()

    async def view(self, number: int, *, after: int = 0, wait_s: float = 0.0) -> TaskView:
        """A page of what it printed from `after` on, once there is more or it has ended, at most after `wait_s`.

        Of one that ended at another host the end alone. Raises Overloaded when it runs there.
        """
        live = self._live.get(number)
        if live is not None and live.seen <= after and wait_s > 0:
            state, news = live.row.state, live.news
            try:
                async with asyncio.timeout(min(wait_s, MAX_WAIT_S)):
                    while live.seen <= after and live.row.state == state and not live.ended.is_set():
                        await news.wait()
                        news = live.news
            except TimeoutError:
                pass
        if live is not None:
            return page(live.row, live.output, after)
        row = await self._closed_or_here(number)
        if len(row.output) < TAIL_BYTES:
            return page(row, row.output, after)
        found = None
        if not self._is_another_hosts(row):
            found = await asyncio.to_thread(self._folders.output, number, after, PAGE_BYTES)
        if found is None:  # only the end is kept
            return page(row, row.output, after, first=row.output_bytes - len(row.output))
        return page(row, found[0], after, first=after, size=found[1])

    async def list(self, limit: int, person_id: str | None = None) -> tuple[TaskRow, ...]:
        """The newest first, of everybody or of one person."""
        return await self._table.newest(limit, person_id)

    async def file(self, number: int, name: str) -> Path:
        """A file that it left. Raises UnknownName, TaskRefused, Overloaded when it is at another host."""
        row = await self.row(number)
        if self._is_another_hosts(row):
            raise _at_another(row)
        return await asyncio.to_thread(self._folders.path, number, name)

    async def read(self, number: int, name: str) -> bytes:
        """The content of a file that it left. Raises as `file`."""
        return await asyncio.to_thread((await self.file(number, name)).read_bytes)

    async def read_result(self, file: ResultFile) -> bytes:
        """The content of a file for a chat. Raises UnknownName when it is no longer kept."""
        return await self.read(file.task, file.name)

    async def row(self, number: int) -> TaskRow:
        """As it is now. Raises UnknownName."""
        live = self._live.get(number)
        row = self._unkept.get(number) if live is None else live.row
        if row is None and (row := await self._table.get(number)) is None:
            raise UnknownName(f"there is no task {number}", next_step="see them: microclaw task list")
        return row

    async def _closed_or_here(self, number: int) -> TaskRow:
        """Its row. One that an earlier run of this host left open is closed first.

        Raises UnknownName, Overloaded when it runs at another host.
        """
        row = await self.row(number)
        if row.is_open and self._is_another_hosts(row):
            raise _at_another(row)
        if row.is_open and row.host not in (None, self._table.host):
            await self._close(row)
            row = await self.row(number)
        return row

    def _is_another_hosts(self, row: TaskRow) -> bool:
        """A host of a cluster has its name, and its disk, over its starts."""
        own = self._table.host
        return own is not None and row.host is not None and host_called(row.host) != host_called(own)

    def counts(self) -> dict[str, Any]:
        """For the status and the metrics: how many run and wait, and how the others ended since the host started."""
        return {"running": len(self._running), "waiting": len(self._waiting), "endings": dict(self._endings)}

    async def prune(self) -> None:
        """Remove the results that no longer fit the settings."""
        kept = self.settings
        before = self._now_ms() - kept.keep_days * DAY_MS
        results = await self._table.results()
        for number in too_many(results, before_ms=before, count=kept.keep_count, size_bytes=kept.keep_mb << 20):
            await asyncio.to_thread(self._folders.remove, number)
            await self._table.delete(number)
        if self._table.host is not None:  # other hosts removed rows whose files are here
            await asyncio.to_thread(self._folders.remove_others, await self._table.numbers())


def _at_another(row: TaskRow) -> Overloaded:
    name = host_called(row.host or "")
    return Overloaded(f"task {row.number} and its files are at the host {name}", next_step=f"ask at {name}")
