"""A service of tasks on a store of its own, with the real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias, cast

import pytest

from microclaw.agent.tasks.order import TaskOrder
from microclaw.agent.tasks.service import TaskService
from microclaw.events import LiveEvent
from microclaw.host.audit.event import AuditEvent
from microclaw.host.auth.people import OWNER, Roles
from microclaw.host.config.settings import SandboxSettings, TaskSettings
from microclaw.host.store.database import Database
from microclaw.host.store.tasks import TaskLanguage, TaskRow, TaskTable

EVERYBODY = cast("Roles", SimpleNamespace(get=lambda _: OWNER))  # may run code


@dataclass
class Place:
    """The place where tasks run, and what they said of themselves."""

    service: TaskService
    table: TaskTable
    folder: Path
    database: Database
    audit: list[AuditEvent] = field(default_factory=list)
    events: list[LiveEvent] = field(default_factory=list)


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Place]]


def order(code: str, language: TaskLanguage = "python", **more: Any) -> TaskOrder:
    given = {"person_id": "owner", "asked_by": "Eva", "approval": "not needed", **more}
    return TaskOrder(language=language, code=code, **given)


async def ended(service: TaskService, number: int) -> TaskRow:
    """Its row once it has ended."""
    async with asyncio.timeout(60):
        await service.follow(await service.row(number))
        return await service.cancel(number)  # which waits until its end is kept


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serving(
        *,
        backend: Literal["auto", "off"] = "auto",
        roles: Roles = EVERYBODY,
        **settings: Any,
    ) -> AsyncIterator[Place]:
        async with Database.open(tmp_path / "microclaw.db") as database:
            table = TaskTable(database)
            folder = tmp_path / "tasks"
            audit: list[AuditEvent] = []
            events: list[LiveEvent] = []
            service = TaskService(
                table,
                folder,
                TaskSettings(**settings),
                roles,
                record=audit.append,
                publish=events.append,
                sandbox=SandboxSettings(backend=backend),
            )
            async with service.serving():
                yield Place(service, table, folder, database, audit, events)

    return serving


@pytest.fixture
async def place(serve: Serve) -> AsyncIterator[Place]:
    async with serve() as running:
        yield running
