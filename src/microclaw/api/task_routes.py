"""/v1/tasks: code in the sandbox. Owners see every task, others their own."""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import os
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from pydantic import Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from microclaw.api.answers import TaskFacts, TaskFileFacts, Tasks, TaskWithOutput, answers, filled
from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL, Caller, RequestCaller, admit
from microclaw.auth.gate import Gate, Permission
from microclaw.auth.people import Roles
from microclaw.errors import PermissionRefused, TaskRefused, UnknownName
from microclaw.store.tasks import TaskRow
from microclaw.tasks.access import check_may_run, check_sees, seen_by
from microclaw.tasks.live import TaskView
from microclaw.tasks.order import LANGUAGES, MAX_CODE_BYTES, MAX_FILES, TaskLimits, TaskOrder, language_named
from microclaw.tasks.service import MAX_WAIT_S, TaskService

MAX_NUMBER = 2**63 - 1
_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
_Name = Annotated[str, Field(max_length=4_096)]  # tasks.order.check_name says what one may be


class TaskBody(RequestBody):
    """`files` are by name, in base64; `keep` are the names to take out, `allow` is its name in the allowlist."""

    code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_BYTES)]
    language: Annotated[str, Field(max_length=20, json_schema_extra={"enum": list(LANGUAGES)})] = "python"
    files: Annotated[dict[_Name, str], Field(default_factory=dict, max_length=MAX_FILES)]
    keep: Annotated[tuple[_Name, ...], Field(max_length=MAX_FILES, strict=False)] = ()
    seconds: Annotated[float, Field(gt=0)] | None = None
    memory_mb: Annotated[int, Field(gt=0)] | None = None
    allow: Annotated[str, Field(max_length=32)] | None = None


def task_router(tasks: TaskService, gate: Gate, roles: Roles) -> APIRouter:
    router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

    @router.get("", summary="Tasks, the newest first", responses=answers(Tasks))
    async def list_tasks(by: RequestCaller, limit: Annotated[int, Query(ge=1, le=1_000)] = 50) -> dict[str, Any]:
        gate.check(by.person_id, Permission.READ, "list tasks")
        found = await tasks.list(limit, seen_by(roles, by.person_id))
        return {"tasks": [task_object(row) for row in found]}

    @router.post("", status_code=201, summary="Run code in the sandbox", responses=answers(TaskFacts, 201))
    async def run(body: TaskBody, by: RequestCaller, response: Response) -> dict[str, Any]:
        person = check_may_run(roles, by.person_id)
        order = _order(body, by, person.name)
        what = f"run {len(body.code):,} characters of {order.language} in the sandbox"
        detail = () if by.direct else await tasks.question(order)
        if order.allow is None:
            await admit(gate, by, Permission.ACT, what, detail=detail)
        else:  # what it reads may leave this host
            await admit(gate, by, Permission.RISKY, f"{what} with the network of {order.allow}", detail=detail)
            if detail and await tasks.question(order) != detail:
                text = "what the allowlist gives it changed while somebody was asked, so it was not run"
                raise PermissionRefused(text, next_step="ask for it again")
        row = await tasks.submit(order)
        response.headers["Location"] = f"/v1/tasks/{row.number}"
        return task_object(row)

    @router.get("/{number}", summary="A task, and what it printed", responses=answers(TaskWithOutput))
    async def show(
        number: int,
        by: RequestCaller,
        after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="Only what it printed from this byte on")] = 0,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Wait for more at most so long")] = 0.0,
    ) -> dict[str, Any]:
        gate.check(by.person_id, Permission.READ, "look at tasks")
        await check_sees(tasks, roles, by.person_id, _storable(number))
        return view_object(await tasks.view(number, after=after, wait_s=wait_s))

    @router.delete(
        "/{number}", summary="End it; every process of it is dead when this answers", responses=answers(TaskFacts)
    )
    async def cancel(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"cancel task {number}"[:80])
        await check_sees(tasks, roles, by.person_id, _storable(number))
        return task_object(await tasks.cancel(number))

    @router.get("/{number}/files/{name:path}", summary="A file that it left", response_class=FileResponse)
    async def file(number: int, name: str, by: RequestCaller) -> Response:
        gate.check(by.person_id, Permission.READ, "look at tasks")
        row = await check_sees(tasks, roles, by.person_id, _storable(number))
        found = await tasks.file(number, name)
        kind = next((one.media_type for one in row.files if one.name == name), "application/octet-stream")
        shown = quote(name.rpartition("/")[2])
        headers = {**_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{shown}"}
        return TaskFile(found, media_type=kind, headers=headers)

    return router


class TaskFile(FileResponse):
    """A file with the conditions of RFC 9110, 13; ranges that cannot be are refused in the form of all errors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await asyncio.to_thread(os.stat, self.path)
        except FileNotFoundError as exc:
            text = "this file is kept no longer"
            raise UnknownName(text, next_step="see what is there: microclaw task list") from exc
        self.set_stat_headers(self.stat_result)
        asked = MutableHeaders(scope=scope)
        if _has_it(asked, self.headers):
            known = {key: self.headers[key] for key in ("etag", "last-modified")}
            await Response(status_code=304, headers=known)(scope, receive, send)
            return
        if asked.get("range", "bytes=").partition("=")[0].strip().lower() != "bytes":
            del asked["range"]  # of a unit that nobody knows here: RFC 9110, 14.2
            scope = {**scope, "headers": asked.raw}

        async def send_file(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                told = Headers(raw=message["headers"]).get("content-range")
                text = f"the range {asked['range'][:80]!r} is not one of this file"
                length = {"Content-Range": told or f"bytes */{self.headers['content-length']}"}
                raise HTTPException(416, text, headers=length)  # also one that ends before it begins
            await send(message)

        await super().__call__(scope, receive, send_file)


def _has_it(asked: Headers, file: Headers) -> bool:
    """Whether the client has this version of the file already."""
    tags = asked.get("if-none-match")
    if tags is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return "*" in known or file["etag"] in known
    try:
        since = parsedate_to_datetime(asked["if-modified-since"])
        return parsedate_to_datetime(file["last-modified"]) <= since
    except (KeyError, ValueError, TypeError):
        return False  # it has none, or not a date with its zone


def task_object(row: TaskRow) -> dict[str, Any]:
    """A task without what it printed."""
    return filled(
        TaskFacts,
        row,
        task=row.number,
        ending=row.ending or None,
        reason=row.reason or None,
        by=row.asked_by,
        files_in=list(row.inputs),
        files=[filled(TaskFileFacts, one) for one in row.files],
        not_kept=dict(row.refused),
        limits=json.loads(row.limits),
    )


def view_object(view: TaskView) -> dict[str, Any]:
    """A task with a page of its output; `output_ends` is where the next page begins, never within a letter.

    `output_more`: the next page is there already.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(view.output, final=not (view.row.is_open or view.more))
    return {
        **task_object(view.row),
        "output": text,
        "output_begins": view.begins,
        "output_ends": view.ends - len(decoder.getstate()[0]),
        "output_more": view.more,
    }


def _order(body: TaskBody, by: Caller, name: str) -> TaskOrder:
    files = {}
    for file, content in body.files.items():
        try:
            files[file] = base64.b64decode(content, validate=True)
        except ValueError as exc:
            raise TaskRefused(f"the file {file[:100]!r} is no base64", next_step="encode its bytes") from exc
    return TaskOrder(
        language=language_named(body.language).name,
        code=body.code,
        files=files,
        keep=body.keep,
        limits=TaskLimits(wall_s=body.seconds, memory_mb=body.memory_mb),
        allow=body.allow,
        person_id=by.person_id,
        asked_by=name,
        approval="own command" if by.direct else "none needed",
        channel="terminal" if by.direct else CHANNEL,
        chat_id="terminal" if by.direct else by.source,
    )


def _storable(number: int) -> int:
    """A number that the store can look for; UnknownName for any other."""
    if 0 <= number <= MAX_NUMBER:
        return number
    raise UnknownName(f"there is no task {str(number)[:40]}", next_step="see yours: microclaw task list")
