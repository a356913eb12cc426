"""The host while it is built: rooms find parts of other rooms here, and record what they add. It knows no room.

A room's `setup(host)` only records. `open` enters what was recorded, in the order of the rooms; `start` starts their
tasks once every room is open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from msgspec import Struct, field

from microclaw.clock import now_ms
from microclaw.events import LiveEvent
from microclaw.host.audit.log import AuditLog
from microclaw.host.auth.admission import Admission
from microclaw.host.builder.hooks import HostHooks
from microclaw.host.cluster.live_hosts import ALONE, Fleet
from microclaw.host.config.settings import Settings
from microclaw.host.operations.operation import Operation
from microclaw.host.operations.tool import Tool
from microclaw.host.store.database import Database
from microclaw.supervision import FIRST_RETRY_S, SupervisedTasks

if TYPE_CHECKING:
    from microclaw.host.cluster.payload_rows import SharedFiles

T = TypeVar("T")
S = TypeVar("S")
Work: TypeAlias = Callable[[], Awaitable[object]]
Duty: TypeAlias = Callable[[str, Callable[[], Awaitable[None]]], Callable[[], Awaitable[None]]]
"""Returns work that one host of a cluster does at a time, by its name."""


def own_duty(_name: str, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return the work unchanged: a single host does all of it."""
    return work


class _RecordedTask(Struct, frozen=True):
    name: str
    run: Work
    every_s: float | None
    first_retry_s: float


class HostBuilder(Struct, kw_only=True, eq=False):
    """The parts that every room works with, the parts that rooms offer, and what they add.

    `index` has what is made of this host's own files; in a cluster it is not part of the shared store. `now_ms` is the
    clock of schedules, in a cluster the same for all hosts. `fleet` are the hosts of the cluster, `shared_files` their
    common files. `rooms` are the names of the rooms of this host.

    `services` are the services of the acts, by noun. `left_work` continues what hosts of the cluster left when they
    ended, by the kind of work.
    """

    settings: Settings
    database: Database
    index: Database
    admission: Admission
    audit: AuditLog
    publish: Callable[[LiveEvent], None]
    rooms: Sequence[str]
    fleet: Fleet = ALONE
    now_ms: Callable[[], int] = now_ms
    duty: Duty = own_duty
    shared_files: SharedFiles | None = None
    hooks: HostHooks = field(default_factory=HostHooks)
    services: dict[str, object] = field(default_factory=dict)
    left_work: dict[str, Work] = field(default_factory=dict)
    _parts: dict[type, object] = field(default_factory=dict)
    _contexts: list[AbstractAsyncContextManager[object]] = field(default_factory=list)
    _tasks: list[_RecordedTask] = field(default_factory=list)
    _turn_tasks: list[_RecordedTask] = field(default_factory=list)
    _ends: list[Work] = field(default_factory=list)
    _tools: list[Callable[[], Iterable[Tool[Any]]]] = field(default_factory=list)

    @property
    def shared_database(self) -> Database | None:
        """The store that this host shares with others, or None."""
        if self.index is self.database:
            return None
        return self.database

    def offer(self, part: object) -> None:
        """Let later rooms find this part by its class."""
        self._parts[type(part)] = part

    def need(self, kind: type[T]) -> T:
        """Return the part of this class. Raises LookupError if no earlier room offered one."""
        part = self.find(kind)
        if part is None:
            raise LookupError(f"no {kind.__name__}: its room is not in the list of rooms, or comes later")
        return part

    def find(self, kind: type[T]) -> T | None:
        """Return the part of this class, or None if no earlier room offered one."""
        part = self._parts.get(kind)
        if isinstance(part, kind):
            return part
        return None

    def serves(self, act: Operation[..., Any, S], service: S) -> None:
        """Serve every act of this act's noun with `service`."""
        self.services[act.noun] = service

    def add_tools(self, read_tools: Callable[[], Iterable[Tool[Any]]]) -> None:
        """Add tools that come and go: they are read for each turn."""
        self._tools.append(read_tools)

    def tools(self) -> Iterator[Tool[Any]]:
        """Yield the present tools that come and go."""
        for read_tools in self._tools:
            yield from read_tools()

    def enter(self, context: AbstractAsyncContextManager[object]) -> None:
        """Enter a context when the rooms open. Contexts are left in the opposite order."""
        self._contexts.append(context)

    def task(self, name: str, run: Work, *, every_s: float | None = None, first_retry_s: float = FIRST_RETRY_S) -> None:
        """Start a supervised task when the host starts."""
        self._tasks.append(_RecordedTask(name, run, every_s, first_retry_s))

    def turn_task(self, name: str, run: Work, *, first_retry_s: float = FIRST_RETRY_S) -> None:
        """Start a task that begins turns of the agent: it is stopped first, so that open turns can end."""
        self._turn_tasks.append(_RecordedTask(name, run, None, first_retry_s))

    def at_end(self, work: Work) -> None:
        """Await this once all tasks have ended."""
        self._ends.append(work)

    async def open(self, stack: AsyncExitStack) -> None:
        """Enter the recorded contexts, in the order of the rooms."""
        for context in self._contexts:
            await stack.enter_async_context(context)

    def start(self, tasks: SupervisedTasks, stack: AsyncExitStack) -> None:
        """Start the tasks of rooms. When `stack` ends, all tasks are stopped, then the ends are awaited."""
        for end in self._ends:
            stack.push_async_callback(end)
        stack.push_async_callback(tasks.stop)
        _start(tasks, self._tasks)

    def start_turns(self, tasks: SupervisedTasks, stack: AsyncExitStack) -> None:
        """Start the tasks that begin turns. When `stack` ends, they are stopped before the others."""
        if not self._turn_tasks:
            return
        _start(tasks, self._turn_tasks)
        stack.push_async_callback(tasks.stop, *(task.name for task in self._turn_tasks))


def _start(tasks: SupervisedTasks, recorded: Iterable[_RecordedTask]) -> None:
    for task in recorded:
        tasks.start(task.name, task.run, every_s=task.every_s, first_retry_s=task.first_retry_s)
