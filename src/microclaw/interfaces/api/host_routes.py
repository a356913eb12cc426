"""Routes of the host as a whole: health, metrics, its document, files of boards, home and tasks, and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from microclaw import __version__
from microclaw.devices.flash.operations import InstallParts
from microclaw.errors import UnknownName
from microclaw.host.backup.scheduled import ScheduledBackups
from microclaw.host.operations.forms import HttpAnswer
from microclaw.host.operations.operation import Access, load
from microclaw.host.store.database import Database
from microclaw.host.store.tasks import TaskRow
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route, load_by_hand
from microclaw.interfaces.api.failures import Refused
from microclaw.interfaces.api.openapi_document import openapi_of
from microclaw.interfaces.page.static_files import FILES, VIEWS, document_at, page_files
from microclaw.supervision import SupervisedTasks

ARCHIVE: Final = "application/x-tar"
_PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthService(Struct, frozen=True):
    database: Database
    tasks: SupervisedTasks


class Health(Struct, frozen=True, kw_only=True):
    """Whether the host works. `failing`: background tasks that fail and are tried again."""

    ok: bool
    version: str
    failing: list[str]


@custom_route("health.read", http="GET /healthz", access=Access.OPEN)
async def healthz(service: HealthService, _: RouteRequest) -> Health:
    """Report that the host is alive; 503 while the store takes no writes."""
    refusal = await service.database.write_error()
    if refusal is not None:
        raise Refused(503, refusal.code, refusal.message, refusal.next_step)
    failing = [task.name for task in service.tasks.failing()]
    return Health(ok=True, version=__version__, failing=failing)


@custom_route("metrics.read", http="GET /metrics", access=Access.OPEN, answer=HttpAnswer(media="text/plain"))
async def metrics(page: Callable[[], bytes], _: RouteRequest) -> Response:
    """Read counters, gauges and histograms as Prometheus text."""
    return Response(page(), media_type=_PROMETHEUS_TEXT)


def read_metrics(**parts: Any) -> bytes:
    """Return the page of host_metrics with these parts."""
    # The client library takes 2 MB, so it is loaded only if the metrics are read.
    from microclaw.interfaces.api.metrics_page import host_metrics, metrics_page

    return metrics_page(host_metrics(**parts))


@custom_route("document.read", http="GET /api/openapi.json", access=Access.OPEN)
async def document(service: ApiDocument, _: RouteRequest) -> dict[str, Any]:
    """Read the API's document in OpenAPI 3.1."""
    return Response(service.content, media_type="application/json")  # type: ignore[return-value]


@dataclass(frozen=True)
class ApiDocument:
    """The document of the served nouns. `forms` are results that this host extends, by the name of the act."""

    nouns: Collection[str]
    forms: Mapping[str, type]

    @cached_property
    def content(self) -> bytes:
        acts = [act for act in (*load(), *load_by_hand()) if act.noun in self.nouns]
        return msgspec.json.encode(openapi_of(acts, self.forms))


@custom_route(
    "install.part",
    http="GET /v1/firmware/parts/{name}",
    access=Access.OWN,
    answer=HttpAnswer(media="application/octet-stream"),
)
async def board_part(parts: InstallParts, _: RouteRequest, name: str) -> Response:
    """Read the bytes of a part that a manifest names."""
    return Response(parts.kept(name.removesuffix(".bin")), media_type="application/octet-stream")


@custom_route("backup.read", http="POST /v1/backup", access=Access.SOCKET, answer=HttpAnswer(media=ARCHIVE))
async def backup(backups: ScheduledBackups, _: RouteRequest) -> Response:
    """Read the home as a tar archive, for the owner on this machine."""
    stack = ExitStack()
    chunks = await asyncio.to_thread(stack.enter_context, backups.reading())
    return StreamingResponse(_sent(chunks, stack), media_type=ARCHIVE)


async def _sent(chunks: Iterator[bytes], stack: ExitStack) -> AsyncIterator[bytes]:
    """Yield the bytes, read in a thread.

    An error cuts the answer off, which its reader sees; the log has the reason.
    """
    try:
        while (data := await asyncio.to_thread(next, chunks, None)) is not None:
            yield data
    finally:
        await asyncio.shield(asyncio.to_thread(stack.close))


async def _view(_: Any, asked: RouteRequest) -> Response:
    """Read the page for browsers."""
    return document_at(asked.request)


async def _view_of_one(_: Any, asked: RouteRequest, rest: str) -> Response:  # noqa: ARG001
    """Read the page for browsers."""
    return document_at(asked.request)


for _path in VIEWS:
    _name = _path.strip("/") or "front"
    _declare = custom_route(
        f"page.{_name}", http=f"GET {_path}", access=Access.OPEN, answer=HttpAnswer(media="text/html")
    )
    # A path with a parameter needs a function with that parameter.
    _declare(_view_of_one if "{" in _path else _view)


@custom_route("page.file", http=f"GET {FILES}", access=Access.OPEN, answer=HttpAnswer(media="*/*"))
async def page_file(_: Any, asked: RouteRequest, name: str) -> Response:
    """Read a script, style or picture of the page."""
    file = page_files().get(name)
    if file is None:
        raise HTTPException(404, "the page has no such file")
    return file.response(asked.request)


Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Its number, as `task list` shows it.")]


class TaskFiles(Protocol):
    """The files that tasks have written (tasks.service)."""

    async def row(self, number: int, person_id: str | None = None) -> TaskRow:
        """Return the task. Raises UnknownName if there is none that this person may see."""

    async def file(self, number: int, name: str) -> Path:
        """Return the place of a file. Raises UnknownName if it is no longer stored."""


_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


@custom_route(
    "task.file",
    http="GET /v1/tasks/{number}/files/{name:path}",
    access=Access.ASK,
    answer=HttpAnswer(media="application/octet-stream"),
)
async def file(tasks: TaskFiles, asked: RouteRequest, number: Number, name: str) -> Response:
    """Read a file that the task has written."""
    row = await tasks.row(number, asked.by.person_id)
    path = await tasks.file(number, name)
    kind = next((file.media_type for file in row.files if file.name == name), "application/octet-stream")
    base_name = name.rpartition("/")[2]
    disposition = f"attachment; filename*=UTF-8''{quote(base_name)}"
    return await file_answer(asked.request, path, kind, {**_HEADERS, "Content-Disposition": disposition})


async def file_answer(request: Request, path: Path, kind: str, headers: Mapping[str, str]) -> Response:
    """Return a file, or 304 if the client has it already."""
    try:
        stat = await asyncio.to_thread(path.stat)
    except FileNotFoundError as exc:
        raise UnknownName("this file was removed", next_step="run the task again") from exc
    answer = FileResponse(path, media_type=kind, headers=headers, stat_result=stat)
    if StaticFiles(check_dir=False).is_not_modified(answer.headers, request.headers):
        return NotModifiedResponse(answer.headers)
    return answer
