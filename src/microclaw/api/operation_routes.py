"""The routes of the declared acts (operations/): a request's values, its admission, its result as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from microclaw.api.body import check_form, with_whole
from microclaw.api.caller import CHANNEL, admit, caller_of, place_of
from microclaw.apps.changes import made_by
from microclaw.auth.gate import Gate
from microclaw.events import AskedProgram
from microclaw.operations.operation import Access, Call, Fields, Operation, Permission, fault, load
from microclaw.validation import read_object

_JSON: Final = "application/json"


def operation_routes(services: Mapping[str, Any], gate: Gate) -> list[Route]:
    """A route for each act that has one. `services` are the rooms' by their nouns."""
    return [
        Route(one.path, _endpoint(one, services[one.noun], gate), methods=[one.method], name=one.name)
        for one in load()
        if one.http is not None
    ]


def _endpoint(act: Operation[..., Any], service: Any, gate: Gate) -> Any:
    async def endpoint(request: Request) -> Response:
        by = await caller_of(request)
        await check_form(request)
        values = await _values(act, request)
        action = act.asked(values)
        gate.check(by.person_id, act.permission, action)
        if act.least >= Access.OWN:
            gate.check_owner(by.person_id, action)

        async def approve(
            text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
        ) -> None:
            needs = needs or act.permission
            await admit(gate, by, needs, text, detail=detail, chat_id=call.chat_id, program=program)

        # what the command line starts reports to the terminal's chat
        chat = ("terminal", "terminal") if by.direct else (CHANNEL, by.source)
        call = Call(by.person_id, approve, lambda _step: None, values.get("device"), *chat, by.direct)
        if act.permission is Permission.RISKY and not act.previews:
            await approve(action, ())
        with made_by(place_of(by), by.person_id, by.conversation):
            result = await act.run(service, call, **values)
        headers = {} if act.place is None else {"Location": act.place.format_map(Fields(result))}
        return Response(msgspec.json.encode(result), act.status, headers, media_type=_JSON)

    return endpoint


async def _values(act: Operation[..., Any], request: Request) -> dict[str, Any]:
    """The act's values, from path, query and body. HTTPException 422 names the first that is wrong."""
    texts: dict[str, Any] = dict(request.path_params)
    for name, value in request.query_params.items():
        if name in texts:
            raise HTTPException(422, f"{name}: it is in the path already")
        texts[name] = value
    body: Any = {}
    if act.has_body and (content := await request.body()):
        try:
            body = with_whole(read_object(content.decode()), 2)
        except (ValueError, RecursionError) as exc:
            raise HTTPException(422, f"the body is no JSON: {exc}") from exc
    try:
        found = msgspec.convert(texts, act.texts, strict=False), msgspec.convert(body, act.body)
    except msgspec.ValidationError as exc:
        raise HTTPException(422, fault(exc)) from exc
    return {name: getattr(part, name) for part in found for name in part.__struct_fields__}
