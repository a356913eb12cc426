"""POST /v1/chat/completions and GET /v1/models, as OpenAI's clients speak them. The turn itself is the agent's.

Only the last user message is read: the agent keeps the conversation, one for each token and `user`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microclaw.api.caller import Caller, RequestCaller
from microclaw.api.failures import STATUS_BY_CODE, error_object, openai_error
from microclaw.api.jobs import paced
from microclaw.api.parts import HostParts
from microclaw.errors import ConfigError, MicroclawError
from microclaw.events import Answer, Attachment, Delta, Inbound, ToolRun, TurnEvent

CHANNEL: Final = "openai"
MODEL: Final = "microclaw"
MAX_IMAGES: Final = 4
MAX_MESSAGES: Final = 4096  # of them one is read; a million small ones would hold the host up for seconds
MAX_PARTS: Final = 256
_PLAIN_USER: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.+)", re.DOTALL)
_REFUSED: Final = {"overloaded": 429, "empty_message": 400, "message_too_long": 400}  # answers that are no answer


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")  # clients send much that means nothing here


class _ImageUrl(_Form):
    url: str


class _Part(_Form):
    type: str
    text: str | None = None
    image_url: _ImageUrl | None = None


class _Message(_Form):
    role: str
    content: str | Annotated[list[_Part], Field(max_length=MAX_PARTS)] | None = None


class _StreamOptions(_Form):
    include_usage: bool = False


class CompletionBody(_Form):
    model: str = MODEL
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    n: Literal[1] | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """What every object of one completion has in common."""

    completion_id: str
    created_s: int
    with_usage: bool

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self.head("chat.completion.chunk"), "choices": [choice]}

    def head(self, kind: str) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": self.created_s, "model": MODEL}


def openai_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["openai"])
    began_s = int(time.time())

    @router.get("/v1/models", summary="The one model: this agent")
    async def models() -> dict[str, Any]:
        model = {"id": MODEL, "object": "model", "created": began_s, "owned_by": MODEL}
        return {"object": "list", "data": [model]}

    @router.post("/v1/chat/completions", summary="OpenAI's chat completions; the last user message is read")
    async def completions(request: Request, by: RequestCaller) -> Response:
        try:
            body = CompletionBody.model_validate_json(await request.body())
            inbound = _inbound(parts, by, body)
        except ValidationError as exc:
            fault = exc.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, fault["loc"]))
            return openai_error(400, f"{place or 'body'}: {fault['msg']}"[:300], param=place or None)
        except MicroclawError as exc:
            return openai_error(STATUS_BY_CODE.get(exc.code, 500), _with_next_step(exc), code=exc.code)
        usage = body.stream_options is not None and body.stream_options.include_usage
        reply = _Reply(f"chatcmpl-{secrets.token_hex(12)}", int(time.time()), usage)
        events = parts.conversations.chat(inbound)
        if body.stream:
            lines = _stream(events, reply, parts.settings.limits.keepalive_s)
            return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return await _whole(events, reply)

    return router


def _inbound(parts: HostParts, by: Caller, body: CompletionBody) -> Inbound:
    message = next((m for m in reversed(body.messages) if m.role == "user"), None)
    if message is None:
        raise ConfigError("messages has no user message", next_step="the last one is what the agent reads")
    contents = message.content if isinstance(message.content, list) else [_Part(type="text", text=message.content)]
    text = "\n".join(part.text for part in contents if part.type == "text" and part.text)
    limit = parts.settings.limits.message_bytes
    if len(text.encode(errors="replace")) > limit:
        raise ConfigError(f"the message has more than {limit:,} bytes", next_step="say it shorter")
    images = tuple(_image(part) for part in contents if part.type == "image_url")
    if len(images) > MAX_IMAGES:
        raise ConfigError(f"the message has {len(images)} images, at most {MAX_IMAGES} are read")
    if not text.strip() and not images:
        raise ConfigError("the last user message is empty", next_step="say what is to be done")
    user = conversation_of("user" if body.user is None else body.user)
    return Inbound(CHANNEL, f"{by.source}.{user}", text, by.person_id, attachments=images)


def conversation_of(user: str) -> str:
    """The user's part of a chat id: the same text if it is short and plain, else its SHA-256.

    No two users share one: the hash has 64 characters, a plain one at most 32.
    """
    return user if _PLAIN_USER.fullmatch(user) else hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()


def _image(part: _Part) -> Attachment:
    match = _DATA_URL.fullmatch(part.image_url.url if part.image_url else "")
    if match is None:
        raise ConfigError("an image comes as a data: URL (png, jpeg, gif, webp); addresses are not fetched")
    try:
        return Attachment("image", match[1], base64.b64decode(match[2], validate=True))
    except binascii.Error as exc:
        raise ConfigError("an image's data is not base64") from exc


async def _whole(events: AsyncIterator[TurnEvent], reply: _Reply) -> JSONResponse:
    answer = await _answer(events)
    if status := _REFUSED.get(answer.error_code or ""):
        return openai_error(status, answer.text, code=answer.error_code)
    message = {"role": "assistant", "content": _text(answer), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return JSONResponse({**reply.head("chat.completion"), "choices": [choice], "usage": _usage(answer)})


async def _answer(events: AsyncIterator[TurnEvent]) -> Answer:
    async for event in events:
        if isinstance(event, Answer):
            return event
    return Answer("the turn ended without an answer", error_code="failed", next_step="see the host's log")


async def _stream(events: AsyncGenerator[TurnEvent, None], reply: _Reply, keepalive_s: float) -> AsyncIterator[bytes]:
    """Server-Sent Events; a client that goes away ends the turn at its next safe point."""
    yield _line(reply.chunk({"role": "assistant", "content": ""}))
    streamed_text = ""  # of the answer: what came before a tool call is not part of it
    async with aclosing(paced(events, keepalive_s)) as coming:
        async for event in coming:
            match event:
                case None:
                    yield b": working\n\n"
                case Delta(text):
                    streamed_text += text
                    yield _line(reply.chunk({"content": text}))
                case ToolRun(state="started") if streamed_text:
                    streamed_text = ""
                    yield _line(reply.chunk({"content": "\n\n"}))
                case Answer(error_code=code) if code in _REFUSED and not streamed_text:
                    yield _line(error_object(_REFUSED[code], event.text, code=code))
                    return
                case Answer():
                    for line in _end(event, streamed_text, reply):
                        yield line
    yield b"data: [DONE]\n\n"


def _end(answer: Answer, streamed_text: str, reply: _Reply) -> list[bytes]:
    """What of the answer was not streamed, the end, and the usage where it was asked for."""
    text = _text(answer)
    streamed = streamed_text.strip()
    goes_on = text.startswith(streamed)
    rest = text[len(streamed) :] if goes_on else f"\n\n{text}"
    lines = [_line(reply.chunk({"content": rest}))] if rest else []
    lines.append(_line(reply.chunk({}, "stop")))
    if reply.with_usage:
        lines.append(_line({**reply.head("chat.completion.chunk"), "choices": [], "usage": _usage(answer)}))
    return lines


def _text(answer: Answer) -> str:
    if answer.error_code is None or answer.next_step is None:
        return answer.text
    return f"{answer.text}\nNext: {answer.next_step}"


def _with_next_step(error: MicroclawError) -> str:
    return error.message if error.next_step is None else f"{error.message} (next: {error.next_step})"


def _usage(answer: Answer) -> dict[str, int]:
    given, made = answer.usage.input_tokens, answer.usage.output_tokens
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
