"""The OpenAPI 3.1 document of the API: its acts, ways in, the one form of errors, the lines of streams. No route.

docs/api.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from microclaw import __version__
from microclaw.api.access import OPEN_HERE
from microclaw.api.credentials import CSRF_HEADER
from microclaw.api.failures import RETRY_AFTER_S, STATUS_BY_CODE, Error, OpenAIError, is_openai
from microclaw.api.jobs import MEDIA_TYPE as NDJSON
from microclaw.api.waiting import Waiting
from microclaw.operations.operation import Access, Operation, Parameter
from microclaw.wire.host_api import stream_schemas

Document: TypeAlias = dict[str, Any]
Act: TypeAlias = Operation[..., Any]

LINE: Final = "StreamLine"
_SCHEMAS: Final = "#/components/schemas/{name}"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_TASK_FILE: Final = "/v1/tasks/{number}/files/{name}"
_STATUSES: Final = sorted({*STATUS_BY_CODE.values(), 401, 408, 415, 429})


def openapi_of(acts: Collection[Act]) -> Document:
    """The document of the routes of these acts."""
    ours = (act for act in acts if act.noun != "mcp")  # a protocol of its own, with its own errors
    routes = [one for act in ours for one in (act, act.of_many) if one.http is not None]
    types = [Error, OpenAIError, Waiting, *(kind for one in routes for kind in _types(one))]
    found, declared = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    line, lines = stream_schemas()
    schemas = declared | lines | {LINE: line}
    _complete(schemas)
    of = dict(zip(types, found, strict=True))
    paths = Document()
    for one in routes:
        path = one.path.replace(":path}", "}")  # as a reader of OpenAPI knows it
        paths.setdefault(path, {})[one.method.lower()] = _route(one, path, of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "microclaw", "description": _ABOUT, "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": _WAYS_IN,
            "responses": {
                f"{kind}Failed{status}": _failed(status, f"{kind}Error")
                for kind in ("", "OpenAI")
                for status in _STATUSES
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


def _types(act: Act) -> Iterator[Any]:
    if act.has_body:
        yield act.reads or act.body
    if not act.steps and not act.media:
        yield act.result


def _complete(value: object) -> None:
    """Names that fit no pattern are refused: pydantic says the patterns alone. Bytes are base64: readers of the
    document go by patterns, not by the encoding's name."""
    if isinstance(value, dict):
        if "patternProperties" in value:
            value.setdefault("additionalProperties", False)
        if value.get("contentEncoding") == "base64":
            value["pattern"] = _BASE64
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        _complete(part)


def _route(act: Act, path: str, of: Mapping[Any, Document]) -> Document:
    answers = {str(act.status): {"description": HTTPStatus(act.status).phrase, "content": _content(act, of)}}
    route: Document = {
        "tags": [act.noun],
        "summary": act.summary,
        "operationId": act.name,
        "parameters": [_parameter(act, given) for given in act.parameters if given.name in act.texts.__struct_fields__],
        "responses": answers,
        "x-access": act.least.name.lower(),
    }
    body: Any = act.reads or act.body
    if act.has_body and body.__struct_fields__:
        route["requestBody"] = {"content": {"application/json": {"schema": of[body]}}, "required": True}
    if path == _TASK_FILE:
        content = answers["200"]["content"] = {kind: {"schema": _FILE} for kind in ("application/octet-stream", "*/*")}
        answers["206"] = {"description": "The part that Range asks for", "content": content}
        answers["304"] = {"description": "The client has it already (If-None-Match, If-Modified-Since)"}
        answers["416"] = {"description": "The file has no such part: Content-Range says how long it is"}
    if act.least is Access.OPEN:
        route["security"] = [{}, *_READS] if path in OPEN_HERE else []
    elif act.method != "GET":
        route["security"] = _CHANGES
        if not (act.steps or act.media or act.least is Access.SOCKET or is_openai(path)):
            answers.setdefault("202", _WAITS)
    kind = "OpenAIFailed" if is_openai(path) else "Failed"
    answers |= {str(status): {"$ref": f"#/components/responses/{kind}{status}"} for status in _STATUSES}
    return route


def _content(act: Act, of: Mapping[Any, Document]) -> Document:
    kind = NDJSON if act.steps else act.media
    if not kind:
        return {"application/json": {"schema": of[act.result]}}
    return {kind: {"schema": _STREAMED.get(kind, _TEXT if kind.startswith("text/") else _FILE)}}


def _parameter(act: Act, given: Parameter) -> Document:
    is_in_path = given.name in act.in_path
    is_needed = is_in_path or given.default is msgspec.NODEFAULT
    schema = msgspec.json.schema(given.told)
    return {"name": given.name, "in": "path" if is_in_path else "query", "required": is_needed, "schema": schema}


def _failed(status: int, schema: str) -> Document:
    found: Document = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if status in RETRY_AFTER_S:
        about = "In so many seconds it may be tried again"
        found["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return found


_WAITS: Final[Document] = {
    "description": "It waits for a yes, and nothing is done yet",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Waiting"}}},
}
_TEXT: Final = {"type": "string"}
_FILE: Final[Document] = {"type": "string", "format": "binary"}
_STREAMED: Final[Mapping[str, Document]] = {
    NDJSON: {"$ref": f"#/components/schemas/{LINE}"},
    "text/event-stream": {  # of one event, as readers of OpenAPI 3.1 take it
        "type": "object",
        "required": ["data"],
        "properties": {"id": _TEXT, "event": _TEXT, "data": {"type": "string", "description": "JSON, one object"}},
    },
}
