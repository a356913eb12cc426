"""The files that a task left. The acts of tasks are in tasks/operations.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from microclaw.api.caller import RequestCaller
from microclaw.auth.gate import Gate, Permission
from microclaw.tasks.access import check_sees
from microclaw.tasks.operations import Tasks

_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


def task_router(tasks: Tasks, gate: Gate) -> APIRouter:
    router = APIRouter(tags=["task"])

    @router.get("/v1/tasks/{number}/files/{name:path}", summary="A file that it left", response_class=FileResponse)
    async def file(
        request: Request, number: Annotated[int, InPath(ge=1, le=2**63 - 1)], name: str, by: RequestCaller
    ) -> Response:
        gate.check(by.person_id, Permission.READ, "look at tasks")
        row = await check_sees(tasks.service, tasks.roles, by.person_id, number)
        found = await tasks.service.file(number, name)
        kind = next((one.media_type for one in row.files if one.name == name), "application/octet-stream")
        shown = f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2])}"
        return await file_answer(request, found, kind, {**_HEADERS, "Content-Disposition": shown})

    return router


async def file_answer(request: Request, path: Path, kind: str, headers: Mapping[str, str]) -> Response:
    """A file, or 304 for who has it."""
    facts = await asyncio.to_thread(path.stat)
    answer = _File(path, media_type=kind, headers=headers, stat_result=facts)
    if StaticFiles(check_dir=False).is_not_modified(answer.headers, request.headers):
        return NotModifiedResponse(answer.headers)
    return answer


class _File(FileResponse):
    """Refuses a range that cannot be in the form of all errors; one of another unit is ignored (RFC 9110, 14.2)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not Headers(scope=scope).get("range", "").lower().startswith("bytes"):
            scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != b"range"]}

        async def send_file(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                length = {"Content-Range": f"bytes */{self.headers['content-length']}"}
                raise HTTPException(416, "the range is not one of this file", headers=length)
            await send(message)

        await super().__call__(scope, receive, send_file)
