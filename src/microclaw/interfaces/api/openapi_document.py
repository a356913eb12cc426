"""The OpenAPI 3.1 document of the API: operations, credentials, the one form of errors, lines of streams. No route.

docs/api.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from microclaw import __version__
from microclaw.host.operations.operation import Access, Operation, Parameter
from microclaw.interfaces.api.access import OPEN_HERE
from microclaw.interfaces.api.credentials import CSRF_HEADER
from microclaw.interfaces.api.failures import RETRY_AFTER_S, STATUS_BY_CODE, Error, OpenAIError, is_openai
from microclaw.interfaces.api.jobs import MEDIA_TYPE as NDJSON
from microclaw.interfaces.api.pending_requests import WaitingAnswer
from microclaw.wire.host_api import stream_schemas

Document: TypeAlias = dict[str, Any]
Act: TypeAlias = Operation[..., Any, Any]

LINE: Final = "StreamLine"
_SCHEMAS: Final = "#/components/schemas/{name}"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_TASK_FILE: Final = "/v1/tasks/{number}/files/{name}"
_STATUSES: Final = sorted({*STATUS_BY_CODE.values(), 401, 408, 415, 429})


def openapi_of(acts: Collection[Act], forms: Mapping[str, type]) -> Document:
    """Return the document of the routes of these operations. `forms` replace the results of some, by name."""
    routes: list[Act] = []
    for act in acts:
        # MCP is a protocol of its own, with its own errors.
        if act.noun != "mcp":
            routes.extend(act.routes)
    types = [Error, OpenAIError, WaitingAnswer]
    for route in routes:
        types.extend(_types(route, forms))
    references, declared = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    line, lines = stream_schemas()
    schemas = declared | lines | {LINE: line}
    _complete(schemas)
    schema_of = dict(zip(types, references, strict=True))
    paths = Document()
    for route in routes:
        # OpenAPI has no types of path parameters.
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _route(route, path, schema_of, forms)
    return {
        "openapi": "3.1.0",
        "info": {"title": "microclaw", "description": _ABOUT, "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _WAYS_IN, "responses": _failures()},
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


def _failures() -> Document:
    failures = Document()
    for kind in ("", "OpenAI"):
        for status in _STATUSES:
            failures[f"{kind}Failed{status}"] = _failed(status, f"{kind}Error")
    return failures


def _types(act: Act, forms: Mapping[str, type]) -> Iterator[Any]:
    if act.has_body:
        yield act.reads or act.body
    if not act.steps and not act.answer.media:
        yield forms.get(act.name, act.result)


def _complete(value: object) -> None:
    """Add what readers of the document need to the schemas, in place.

    Names that match no pattern are refused: pydantic writes only the patterns. Bytes are base64: readers use patterns,
    not the encoding's name.
    """
    if isinstance(value, dict):
        if "patternProperties" in value:
            value.setdefault("additionalProperties", False)
        if value.get("contentEncoding") == "base64":
            value["pattern"] = _BASE64
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _complete(part)


def _route(act: Act, path: str, schema_of: Mapping[Any, Document], forms: Mapping[str, type]) -> Document:
    content = _content(act, schema_of, forms)
    status = act.answer.status
    answers = {str(status): {"description": HTTPStatus(status).phrase, "content": content}}
    in_texts = act.texts.__struct_fields__
    route: Document = {
        "tags": [act.noun],
        "summary": act.summary,
        "operationId": act.name,
        "parameters": [_parameter(act, parameter) for parameter in act.parameters if parameter.name in in_texts],
        "responses": answers,
        "x-access": act.least.name.lower(),
    }
    body: Any = act.reads or act.body
    if act.has_body and body.__struct_fields__:
        route["requestBody"] = {"content": {"application/json": {"schema": schema_of[body]}}, "required": True}
    if path == _TASK_FILE:
        _add_file_answers(answers)
    if act.least is Access.OPEN:
        route["security"] = [{}, *_READS] if path in OPEN_HERE else []
    elif act.method != "GET":
        route["security"] = _CHANGES
        if _may_wait(act, path):
            answers.setdefault("202", _WAITS)
    kind = "OpenAIFailed" if is_openai(path) else "Failed"
    answers |= {str(status): {"$ref": f"#/components/responses/{kind}{status}"} for status in _STATUSES}
    return route


def _add_file_answers(answers: Document) -> None:
    content = {kind: {"schema": _FILE} for kind in ("application/octet-stream", "*/*")}
    answers["200"]["content"] = content
    answers["206"] = {"description": "The part that Range asks for", "content": content}
    answers["304"] = {"description": "The client has it already (If-None-Match, If-Modified-Since)"}
    answers["416"] = {"description": "The file has no such part: Content-Range says how long it is"}


def _may_wait(act: Act, path: str) -> bool:
    """Return True if a change may be answered with 202, because it waits for an approval."""
    if act.steps or act.answer.media:
        return False
    return act.least is not Access.SOCKET and not is_openai(path)


def _content(act: Act, schema_of: Mapping[Any, Document], forms: Mapping[str, type]) -> Document:
    kind = NDJSON if act.steps else act.answer.media
    if not kind:
        return {"application/json": {"schema": schema_of[forms.get(act.name, act.result)]}}
    default = _TEXT if kind.startswith("text/") else _FILE
    return {kind: {"schema": _STREAMED.get(kind, default)}}


def _parameter(act: Act, parameter: Parameter) -> Document:
    is_in_path = parameter.name in act.in_path
    is_required = is_in_path or parameter.default is msgspec.NODEFAULT
    place = "path" if is_in_path else "query"
    schema = msgspec.json.schema(parameter.told)
    return {"name": parameter.name, "in": place, "required": is_required, "schema": schema}


def _failed(status: int, schema: str) -> Document:
    answer: Document = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if status in RETRY_AFTER_S:
        about = "It may be tried again after this many seconds"
        answer["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return answer


_WAITS: Final[Document] = {
    "description": "It waits for a yes, and nothing is done yet",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WaitingAnswer"}}},
}
_TEXT: Final = {"type": "string"}
_FILE: Final[Document] = {"type": "string", "format": "binary"}
_STREAMED: Final[Mapping[str, Document]] = {
    NDJSON: {"$ref": f"#/components/schemas/{LINE}"},
    # Readers of OpenAPI 3.1 expect the form of one event here.
    "text/event-stream": {
        "type": "object",
        "required": ["data"],
        "properties": {"id": _TEXT, "event": _TEXT, "data": {"type": "string", "description": "JSON, one object"}},
    },
}
