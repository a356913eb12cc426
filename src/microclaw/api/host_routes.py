"""Routes of the host as a whole: alive, its numbers, its document, the bytes of a board's parts and of the home."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response, StreamingResponse

from microclaw import __version__
from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.openapi_document import openapi_of
from microclaw.backup.scheduled import ScheduledBackups
from microclaw.flash.operations import InstallParts
from microclaw.operations.operation import Access, Operation
from microclaw.store.database import Database
from microclaw.supervision import SupervisedTasks

ARCHIVE: Final = "application/x-tar"
_PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthService(Struct, frozen=True):
    database: Database
    tasks: SupervisedTasks


class Health(Struct, frozen=True, kw_only=True):
    """`failing`: background tasks that are tried again and again."""

    ok: bool
    version: str
    failing: list[str]


@by_hand("health.read", http="GET /healthz", access=Access.OPEN)
async def healthz(service: HealthService, _: Asked) -> Health:
    """Alive; 503 while the disk takes no writes."""
    if (refusal := await service.database.refusal()) is not None:
        raise refusal
    return Health(ok=True, version=__version__, failing=list(service.tasks.failing()))


@by_hand("metrics.read", http="GET /metrics", access=Access.OPEN, media="text/plain")
async def metrics(page: Callable[[], bytes], _: Asked) -> Response:
    """Counters, gauges and histograms as Prometheus text."""
    return Response(page(), media_type=_PROMETHEUS_TEXT)


def read_metrics(*parts: Any) -> bytes:
    from microclaw.api.metrics_page import host_metrics, metrics_page  # the client takes 2 MB: for those who ask

    return metrics_page(host_metrics(*parts))


@dataclass(frozen=True)
class Document:
    """The OpenAPI document of these acts, made when somebody first asks."""

    acts: list[Operation[..., Any]]

    @cached_property
    def content(self) -> bytes:
        return msgspec.json.encode(openapi_of(self.acts))


@by_hand("document.read", http="GET /api/openapi.json", access=Access.OPEN)
async def document(found: Document, _: Asked) -> dict[str, Any]:
    """The API's document in OpenAPI 3.1."""
    return Response(found.content, media_type="application/json")  # type: ignore[return-value]  # with that


@by_hand("install.part", http="GET /v1/firmware/parts/{name}", access=Access.OWN, media="application/octet-stream")
async def board_part(parts: InstallParts, _: Asked, name: str) -> Response:
    """A part that a manifest named, its bytes."""
    return Response(parts.kept(name.removesuffix(".bin")), media_type="application/octet-stream")


@by_hand("backup.read", http="POST /v1/backup", access=Access.SOCKET, media=ARCHIVE)
async def backup(backups: ScheduledBackups, _: Asked) -> Response:
    """The home as a tar archive, for the owner on this machine."""
    stack = ExitStack()
    chunks = await asyncio.to_thread(stack.enter_context, backups.reading())
    return StreamingResponse(_sent(chunks, stack), media_type=ARCHIVE)


async def _sent(chunks: Iterator[bytes], stack: ExitStack) -> AsyncIterator[bytes]:
    """The bytes, read in a thread. An error cuts the answer off, which its reader sees; the log has the reason."""
    try:
        while (data := await asyncio.to_thread(next, chunks, None)) is not None:
            yield data
    finally:
        await asyncio.shield(asyncio.to_thread(stack.close))
