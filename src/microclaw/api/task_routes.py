"""The files that a task left. The acts of tasks are in tasks/operations.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from microclaw.api.by_hand import Asked, by_hand
from microclaw.errors import UnknownName
from microclaw.operations.operation import Access
from microclaw.tasks.access import check_sees
from microclaw.tasks.operations import Number, Tasks

_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


@by_hand(
    "task.file", http="GET /v1/tasks/{number}/files/{name:path}", access=Access.ASK, media="application/octet-stream"
)
async def file(tasks: Tasks, asked: Asked, number: Number, name: str) -> Response:
    """A file that it left."""
    row = await check_sees(tasks.service, tasks.roles, asked.by.person_id, number)
    found = await tasks.service.file(number, name)
    kind = next((one.media_type for one in row.files if one.name == name), "application/octet-stream")
    shown = f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2])}"
    return await file_answer(asked.request, found, kind, {**_HEADERS, "Content-Disposition": shown})


async def file_answer(request: Request, path: Path, kind: str, headers: Mapping[str, str]) -> Response:
    """A file, or 304 for who has it."""
    try:
        facts = await asyncio.to_thread(path.stat)
    except FileNotFoundError as exc:
        raise UnknownName("this file is kept no longer", next_step="run the task again") from exc
    answer = FileResponse(path, media_type=kind, headers=headers, stat_result=facts)
    if StaticFiles(check_dir=False).is_not_modified(answer.headers, request.headers):
        return NotModifiedResponse(answer.headers)
    return answer
