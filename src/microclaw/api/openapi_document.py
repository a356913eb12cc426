"""What FastAPI's OpenAPI document lacks: ways in, the one form of errors, the lines of streams, bytes. No route.

docs/api.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute, APIRouter
from pydantic import TypeAdapter
from starlette.routing import BaseRoute, Route

from microclaw.api.access import OPEN_HERE, access_of
from microclaw.api.answers import FORM, FORMS
from microclaw.api.by_hand import load_by_hand
from microclaw.api.caller import CSRF_HEADER
from microclaw.api.failures import STATUS_BY_CODE, is_openai
from microclaw.operations.openapi import paths_and_schemas
from microclaw.operations.operation import Access, load
from microclaw.wire.host_api import stream_schemas

Document: TypeAlias = dict[str, Any]
_Adapter: TypeAlias = tuple[str, Literal["serialization"], TypeAdapter[Any]]

NDJSON: Final = "application/x-ndjson"
LINE: Final = "StreamLine"
_SCHEMAS: Final = "#/components/schemas/"
_SSE: Final = "text/event-stream"
_EVENTS: Final = frozenset({"/v1/events"})
_BYTES: Final = {"/v1/backup": "application/x-tar"}
_STREAMS: Final = (StreamingResponse, StreamingResponse.__name__)  # as the type, or as its name
_TASK_FILE: Final = "/v1/tasks/{number}/files/{name}"
_PLAIN: Final = {
    "/metrics": ("text/plain",),
    _TASK_FILE: ("application/octet-stream", "*/*"),
    "/v1/firmware/parts/{name}": ("application/octet-stream",),
}
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
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


def openapi_of(app: FastAPI) -> Document:
    """The document of all routes of `app`."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_ABOUT)
    names = {route.name for route in app.routes if isinstance(route, Route)}
    declared_acts = [one for act in (*load(), *load_by_hand()) for one in (act, act.of_many) if one.name in names]
    paths, declared = paths_and_schemas(declared_acts)
    for path, methods in paths.items():
        document["paths"].setdefault(path, {}).update(methods)
    streams = dict(_stream_types(app.routes)) | {
        (one.path.replace(":path}", "}"), one.method.lower()): one.media or NDJSON
        for one in declared_acts
        if one.media or one.steps
    }
    components: Document = document.setdefault("components", {})
    schemas: Document = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own: this API has another form
        schemas.pop(name, None)
    line, lines = stream_schemas()
    responses = [answer for _, _, operation in _operations(document) for answer in operation["responses"].values()]
    names = {answer[FORM] for answer in responses if FORM in answer}
    adapters: list[_Adapter] = [(name, "serialization", TypeAdapter(FORMS[name])) for name in sorted(names)]
    schemas |= TypeAdapter.json_schemas(adapters, ref_template=f"{_SCHEMAS}{{model}}")[1]["$defs"]
    schemas |= declared | lines | {LINE: line, "Error": _ERROR, "OpenAIError": _OPENAI_ERROR, "Waiting": _WAITING}
    components["securitySchemes"] = _WAYS_IN
    components["responses"] = {
        **{f"Failed{status}": _failed(status, "Error") for status in (*_STATUSES, 416)},
        **{f"OpenAIFailed{status}": _failed(status, "OpenAIError") for status in _STATUSES},
    }
    document["security"] = _READS
    _close(schemas)
    for path, method, operation in _operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        schemas |= body.pop("$defs", {})  # of a body that its route reads itself
        _complete(path, method, operation, streams.get((path, method)))
    return document


_WAYS_IN: Final[Document] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "microclaw person add-token NAME"},
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


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation


def _stream_types(routes: Iterable[BaseRoute]) -> Iterator[tuple[tuple[str, str], str]]:
    """The media type of each route that streams, by path and method; routers are included without a prefix."""
    for route in routes:
        included = getattr(route, "original_router", None)  # FastAPI keeps an included router as one route
        if isinstance(included, APIRouter):
            yield from _stream_types(included.routes)
        elif isinstance(route, APIRoute) and route.endpoint.__annotations__.get("return") in _STREAMS:
            kind = _SSE if route.path_format in _EVENTS else _BYTES.get(route.path_format, NDJSON)
            for method in route.methods or ():
                yield (route.path_format, method.lower()), kind


def _complete(path: str, method: str, operation: Document, stream: str | None) -> None:
    answers: Document = operation["responses"]
    answers.pop("422", None)
    for answer in answers.values():
        if (form := answer.pop(FORM, None)) is not None:  # FastAPI has the bare return type's
            answer.setdefault("content", {})["application/json"] = {"schema": {"$ref": f"{_SCHEMAS}{form}"}}
    if stream is not None:
        described = "JSON lines; the last one is its end" if stream == NDJSON else "A stream"
        answers["200"] = {"description": described, "content": {stream: {"schema": _STREAMED.get(stream, _FILE)}}}
    if path in _PLAIN:
        _answer_bytes(path, answers)
    found = access_of(method.upper(), path)
    access = Access.OWN if found is None else found
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


def _answer_bytes(path: str, answers: Document) -> None:
    """An answer that is no JSON: the content types of it, and the parts and conditions of a file (RFC 9110)."""
    schema = _FILE if path == _TASK_FILE else _TEXT
    content = {kind: {"schema": schema} for kind in _PLAIN[path]}
    answers["200"] = {"description": "As it is", "content": content}
    if path == _TASK_FILE:
        answers["206"] = {"description": "The part that Range asks for", "content": content}
        answers["304"] = {"description": "The client has it already (If-None-Match, If-Modified-Since)"}
        answers["416"] = {"$ref": "#/components/responses/Failed416"}


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
