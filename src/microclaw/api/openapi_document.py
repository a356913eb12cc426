"""The OpenAPI document of the API: its acts, ways in, the one form of errors, the lines of streams, bytes. No route.

docs/api.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

from microclaw import __version__
from microclaw.api.access import OPEN_HERE
from microclaw.api.caller import CSRF_HEADER
from microclaw.api.failures import STATUS_BY_CODE, is_openai
from microclaw.operations.openapi import documented_path, paths_and_schemas
from microclaw.operations.operation import Access, Operation
from microclaw.wire.host_api import stream_schemas

Document: TypeAlias = dict[str, Any]

NDJSON: Final = "application/x-ndjson"
LINE: Final = "StreamLine"
_SSE: Final = "text/event-stream"
_TASK_FILE: Final = "/v1/tasks/{number}/files/{name}"
_STATUSES: Final = sorted({*STATUS_BY_CODE.values(), 401, 408, 415, 429})
_MAY_RETRY: Final = frozenset({429, 503})
_REASONS: Final = {
    400: "Wrong, and why",
    401: "No valid token",
    403: "Not allowed",
    404: "There is no such thing",
    408: "The body did not come in time",
    409: "It is in the way of what is there",
    413: "Too large",
    415: "A body that is compressed, or does not say that it is JSON",
    416: "The file has no such part: Content-Range says how long it is",
    422: "The request, the program or a pin is wrong",
    429: "Too much: Retry-After says when again",
    500: "A fault of the host",
    502: "A device, a model or a broker failed",
    503: "No room now: Retry-After says when again",
    504: "A device did not answer in time",
}


def openapi_of(acts: Collection[Operation[..., Any]]) -> Document:
    """The document of the routes of these acts."""
    routes = [one for act in acts for one in (act, act.of_many) if one.http is not None]
    paths, declared = paths_and_schemas(routes)
    line, lines = stream_schemas()
    schemas = declared | lines | {LINE: line, "Error": _ERROR, "OpenAIError": _OPENAI_ERROR, "Waiting": _WAITING}
    _close(schemas)
    for one in routes:
        path = documented_path(one)
        _complete(path, one.method.lower(), paths[path][one.method.lower()], one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "microclaw", "description": _ABOUT, "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": _WAYS_IN,
            "responses": {
                **{f"Failed{status}": _failed(status, "Error") for status in (*_STATUSES, 416)},
                **{f"OpenAIFailed{status}": _failed(status, "OpenAIError") for status in _STATUSES},
            },
        },
        "security": _READS,
    }


_WAYS_IN: Final[Document] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "microclaw person tokens --add NAME"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "microclaw-8080",
        "description": "Of a browser that signed in: the name ends with the port, and begins with __Host- over HTTPS",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "Goes with each change of a session; `csrf` of GET /v1/me",
    },
}
_READS: Final[list[Document]] = [{"bearer": []}, {"session": []}]
_CHANGES: Final[list[Document]] = [{"bearer": []}, {"session": [], "csrf": []}]
_ABOUT: Final = (
    "Errors have one form, `Error`, with every status. Acts that take a while answer with JSON lines "
    f"(`{NDJSON}`): each line is a `{LINE}`, the last one `result`, `answer` or `error`."
)


def _close(value: object) -> None:
    """Names that fit no pattern are refused: pydantic says the patterns alone."""
    match value:
        case dict():
            if "patternProperties" in value:
                value.setdefault("additionalProperties", False)
            for part in value.values():
                _close(part)
        case list():
            for part in value:
                _close(part)


def _complete(path: str, method: str, operation: Document, act: Operation[..., Any]) -> None:
    answers: Document = operation["responses"]
    stream = act.media or (NDJSON if act.steps else None)
    if stream is not None:
        described = "JSON lines; the last one is its end" if stream == NDJSON else "As it is"
        content = {
            kind: {"schema": _STREAMED.get(kind, _TEXT if kind.startswith("text/") else _FILE)} for kind in (stream,)
        }
        answers["200"] = {"description": described, "content": content}
    if path == _TASK_FILE:
        content = {kind: {"schema": _FILE} for kind in ("application/octet-stream", "*/*")}
        answers["200"]["content"] = content
        answers["206"] = {"description": "The part that Range asks for", "content": content}
        answers["304"] = {"description": "The client has it already (If-None-Match, If-Modified-Since)"}
        answers["416"] = {"$ref": "#/components/responses/Failed416"}
    access = act.least
    operation["x-access"] = access.name.lower()
    if access is Access.OPEN:
        operation["security"] = [{}, *_READS] if path in OPEN_HERE else []
    elif method != "get":
        operation["security"] = _CHANGES
        if stream is None and access is not Access.SOCKET and not is_openai(path):
            answers.setdefault("202", _WAITS)
    kind = "OpenAIFailed" if is_openai(path) else "Failed"
    for status in _STATUSES:
        answers[str(status)] = {"$ref": f"#/components/responses/{kind}{status}"}


def _failed(status: int, schema: str) -> Document:
    found: Document = {
        "description": _REASONS.get(status, "Failed"),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if status in _MAY_RETRY:
        about = "In so many seconds it may be tried again"
        found["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return found


_WAITS: Final[Document] = {
    "description": "It waits for a yes, and nothing is done yet",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Waiting"}}},
}
_TEXT: Final = {"type": "string"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_FILE: Final[Document] = {"type": "string", "format": "binary"}
_STREAMED: Final[Mapping[str, Document]] = {
    NDJSON: {"$ref": f"#/components/schemas/{LINE}"},
    _SSE: {  # of one event, as readers of OpenAPI 3.1 take it
        "type": "object",
        "required": ["data"],
        "properties": {"id": _TEXT, "event": _TEXT, "data": {"type": "string", "description": "JSON, one object"}},
    },
}
_ERROR: Final[Document] = {
    "type": "object",
    "description": "What went wrong, with every status of 400 and above.",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/components/schemas/Failure"}},
}
_OPENAI_ERROR: Final[Document] = {
    "type": "object",
    "description": "An error in OpenAI's form.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT},
        }
    },
}
_WAITING: Final[Document] = {
    "type": "object",
    "description": "Told to a program that did not send `Prefer: wait`.",
    "required": ["state", "request", "approval", "next"],
    "properties": {
        "state": {"const": "waiting"},
        "request": {"type": "string", "description": "GET /v1/requests/{number} has its end."},
        "approval": {
            "title": "AskedApproval",  # generators name it after the property, which another form is called
            "type": "object",
            "required": ["approval_id", "action", "detail", "expires_s", "may_decide"],
            "properties": {
                "approval_id": _TEXT,
                "action": _TEXT,
                "detail": {"type": "array", "items": _TEXT},
                "expires_s": {"type": "number"},
                "may_decide": {"type": "boolean"},
            },
        },
        "next": _TEXT,
    },
}
