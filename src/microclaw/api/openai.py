"""POST /v1/chat/completions and GET /v1/models, as OpenAI's clients speak them. The turn itself is the agent's.

The client's messages are the conversation; `metadata.conversation` names one that the host keeps instead, which takes
one new message (docs/openai.md).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Coroutine
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError

from microclaw.agent.client_turn import ClientRequest
from microclaw.agent.waiting_questions import asks_something
from microclaw.api.answers import answers
from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.failures import STATUS_BY_CODE, openai_error, retry_headers
from microclaw.api.host_answers import Completion, ModelFacts, ModelList
from microclaw.api.jobs import Feed
from microclaw.api.openai_answer import REFUSED, Head, refusal_object, stream, whole
from microclaw.api.openai_request import MODEL, BadRequest, CompletionBody
from microclaw.api.openai_turns import AnsweredTurn, CompletionTurn, StatelessTurn, StoredTurn
from microclaw.api.parts import HostParts
from microclaw.errors import MicroclawError
from microclaw.events import Answer, Inbound
from microclaw.models.protocol import AssistantReply
from microclaw.validation import validation_message

CHANNEL: Final = "openai"
_BODY: Final = CompletionBody.model_json_schema(ref_template="#/components/schemas/{model}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")


def openai_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["openai"])
    model = {"id": MODEL, "object": "model", "created": int(time.time()), "owned_by": MODEL}

    @router.get("/v1/models", summary="The one model: this agent", responses=answers(ModelList))
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @router.get("/v1/models/{name:path}", summary="The one model by its name", responses=answers(ModelFacts))
    async def retrieve(name: str) -> JSONResponse:
        if name != MODEL:
            text = f"there is no model {name[:80]!r} (next: use {MODEL})"
            return openai_error(404, text, code="model_not_found", param="model")
        return JSONResponse(model)

    @router.post(
        "/v1/chat/completions",
        summary="OpenAI's chat completions; docs/openai.md says what is done",
        responses={200: {"model": Completion, "content": {"text/event-stream": {}}}},
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}},
    )
    async def completions(request: Request, by: RequestCaller) -> Response:
        try:
            body = CompletionBody.model_validate_json(await request.body())
            body.check()
            turn = await _begun(parts, by, body)
        except ValidationError as exc:
            fault = exc.errors(include_url=False)[0]
            place = _place(fault["loc"])
            return openai_error(400, validation_message(place or "the body", dict(fault))[:300], param=place or None)
        except BadRequest as exc:
            return openai_error(400, _with_next_step(exc), code="unsupported_or_invalid", param=exc.param)
        except MicroclawError as exc:
            status = REFUSED.get(exc.code) or STATUS_BY_CODE.get(exc.code, 500)
            return JSONResponse(refusal_object(status, _with_next_step(exc), exc.code), status, retry_headers(status))
        head = Head(body.with_usage)
        if body.stream:
            lines = stream(turn, head)
            return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return await _while_there(request, whole(turn, head))

    return router


async def _while_there(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """The answer. A client that leaves before it cancels `answering`, which ends its turn before the next effect."""
    answer = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await asyncio.wait((answer,))
            return Response(status_code=499)  # nobody reads it
        return answer.result()
    finally:
        for task in (answer, leaving):
            task.cancel()
        await asyncio.wait((answer, leaving))


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _begun(parts: HostParts, by: Caller, body: CompletionBody) -> CompletionTurn:
    """The running turn. Raises BadRequest, MessageTooLong, Overloaded."""
    keepalive_s = parts.settings.limits.keepalive_s
    if body.conversation is not None:
        text, images = body.one_message()
        chat_id = f"{by.source}.{conversation_of(body.conversation)}"
        inbound = Inbound(CHANNEL, chat_id, text, by.person_id, attachments=images)
        inbox = parts.conversations.inbox
        return StoredTurn(inbox, inbound, await inbox.accept(inbound), keepalive_s)
    system, history, message, after = body.conversation_messages()
    chat_id = f"{by.source}.{secrets.token_hex(8)}"  # of this request alone, for its approvals
    wishes = body.wishes(after)
    hosts = {tool.name for tool in parts.toolbox.tools}
    if (taken := next((tool.name for tool in wishes.tools if tool.name in hosts), None)) is not None:
        raise BadRequest(f"the host has a tool named {taken} itself", "tools", "give yours another name")
    last = history[-1] if history else None
    if not after and not (isinstance(last, AssistantReply) and asks_something(last.text)):
        at_once = parts.conversations.inbox.answer_at_once(Inbound(CHANNEL, chat_id, message.text, by.person_id))
        if at_once is not None:
            return AnsweredTurn(at_once, has_form=wishes.form is not None)
    request = ClientRequest(by.person_id, CHANNEL, chat_id, system, history, message, wishes)
    if parts.no_agent is not None:
        raise parts.no_agent()
    turn = await parts.client_turns.prepared(request)

    async def run(feed: Feed) -> Answer:
        return await turn.run(feed.put)

    return StatelessTurn(
        turn, parts.jobs.start("chat completion", run, token=by.token, person_id=by.person_id), keepalive_s
    )


def conversation_of(name: str) -> str:
    """The conversation's part of a chat id: the same text if it is short and plain, else its SHA-256.

    No two names share one: the hash has 64 characters, a plain one at most 32.
    """
    return name if _PLAIN.fullmatch(name) else hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _place(loc: tuple[int | str, ...]) -> str:
    """("messages", 0, "role") as OpenAI writes it: messages[0].role."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _with_next_step(error: MicroclawError) -> str:
    return error.message if error.next_step is None else f"{error.message} (next: {error.next_step})"
