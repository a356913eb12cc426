"""Tasks of other hosts of a cluster: the host that runs or ran one shows what it printed, ends it, and gives its files.

Who may see a task is looked at where the request came in: all hosts have the same people.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from microclaw.cluster.host_requests import ANSWER_S, HostRequests, first_answer
from microclaw.errors import Overloaded, UnknownName
from microclaw.store.tasks import TaskRow
from microclaw.tasks.live import TaskView, page
from microclaw.tasks.service import MAX_WAIT_S, TaskService
from microclaw.text import host_called

CANCEL_S: Final = 30.0  # until every process of a task is dead
PART_BYTES: Final = 256 << 10  # of a file, in one answer


class _Look(msgspec.Struct, frozen=True, array_like=True):
    number: int
    after: int
    wait_s: float


class _Part(msgspec.Struct, frozen=True, array_like=True):
    number: int
    name: str
    begins: int


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that a task left at another host, in `parts`."""

    size_bytes: int
    parts: AsyncGenerator[bytes]


class TasksElsewhere:
    """`here` are this host's tasks, for the others. `name` is this host's; `of_name` gives a live host's id."""

    def __init__(
        self, requests: HostRequests, here: TaskService, name: str, of_name: Callable[[str], str | None]
    ) -> None:
        self._requests = requests
        self._here = here
        self._name = name
        self._of_name = of_name
        requests.handlers["task"] = self._view_here
        requests.handlers["end task"] = self._cancel_here
        requests.handlers["part of a task's file"] = self._read_here

    def has(self, row: TaskRow) -> bool:
        """Whether it is another host's. A host has its name, and its disk, over its starts."""
        return row.host is not None and host_called(row.host) != self._name

    async def view(self, row: TaskRow, *, after: int, wait_s: float) -> TaskView:
        """As TaskService.view; of one that has ended the end of what it printed, when its host does not answer.

        Raises Overloaded when it has not ended then.
        """
        wait_s = min(wait_s, MAX_WAIT_S)
        body = msgspec.msgpack.encode(_Look(row.number, after, wait_s))
        try:
            return msgspec.msgpack.decode(await self._ask(row, "task", body, wait_s + ANSWER_S), type=TaskView)
        except Overloaded:
            if row.is_open:
                raise
            return page(row, row.output, after, first=row.output_bytes - len(row.output))

    async def cancel(self, row: TaskRow) -> TaskRow:
        """As TaskService.cancel. Raises Overloaded when its host does not say that it is dead."""
        return msgspec.msgpack.decode(
            await self._ask(row, "end task", msgspec.msgpack.encode(row.number), CANCEL_S), type=TaskRow
        )

    async def file(self, row: TaskRow, name: str) -> RemoteFile:
        """Its first part was read when this returns. Raises UnknownName, TaskRefused, Overloaded."""
        size = next((one.size_bytes for one in row.files if one.name == name), None)
        if size is None:
            text = f"task {row.number} left no file {name[:100]!r}"
            raise UnknownName(text, next_step=f"see them: microclaw task show {row.number}")
        return RemoteFile(size, self._parts(row, name, size, await self._part(row, name, 0)))

    async def _parts(self, row: TaskRow, name: str, size: int, first: bytes) -> AsyncGenerator[bytes]:
        part, read = first, 0
        while read < size:
            if not part:
                raise Overloaded(f"the file {name[:100]!r} became shorter", next_step="ask for it again")
            part = part[: size - read]
            read += len(part)
            yield part
            if read < size:
                part = await self._part(row, name, read)

    async def _part(self, row: TaskRow, name: str, begins: int) -> bytes:
        body = msgspec.msgpack.encode(_Part(row.number, name, begins))
        return await self._ask(row, "part of a task's file", body, ANSWER_S)

    async def _ask(self, row: TaskRow, what: str, body: bytes, timeout_s: float) -> bytes:
        name = host_called(row.host or "")
        host = self._of_name(name)
        answer = None if host is None else await first_answer(self._requests, host, what, body, timeout_s)
        if answer is not None:
            return answer
        why = f"task {row.number} is at the host {name}, which " + ("is away" if host is None else "did not answer")
        if row.is_open:  # tasks.service.take_up
            step = f"ask again: it is told as interrupted once {name} is surely gone (some 20 s)"
            raise Overloaded(f"{why}: whether it runs is not known, and it was not ended from here", next_step=step)
        raise Overloaded(f"{why}: what it left is there alone", next_step=f"ask again when {name} is there")

    async def _view_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.msgpack.decode(body, type=_Look)
        await self._check_here(asked.number)
        found = await self._here.view(asked.number, after=asked.after, wait_s=asked.wait_s)
        yield msgspec.msgpack.encode(found)

    async def _cancel_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        number = msgspec.msgpack.decode(body, type=int)
        await self._check_here(number)
        ended = await asyncio.shield(self._here.cancel(number))  # who asks may be gone meanwhile; its end is kept
        yield msgspec.msgpack.encode(ended)

    async def _read_here(self, body: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.msgpack.decode(body, type=_Part)
        await self._check_here(asked.number)
        path = await self._here.file(asked.number, asked.name)
        assert isinstance(path, Path)
        yield await asyncio.to_thread(_read, path, asked.begins)

    async def _check_here(self, number: int) -> None:
        """It is not asked on: two hosts that know different things would ask each other."""
        row = await self._here.row(number)
        if self.has(row):
            text = f"task {number} is not at the host {self._name}, but at {host_called(row.host or '')}"
            raise Overloaded(text, next_step="ask again in a moment")


def _read(path: Path, begins: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(begins)
            return file.read(PART_BYTES)
    except FileNotFoundError as exc:
        raise UnknownName("this file is kept no longer", next_step="see what is there: microclaw task list") from exc
