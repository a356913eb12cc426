"""The declared acts in an OpenAPI 3.1 document. What all routes have in common is added by who asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from microclaw.operations.operation import Operation, Parameter

_SCHEMAS: Final = "#/components/schemas/{name}"
STEPS: Final = "application/x-ndjson"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_REASONS: Final = {200: "Done", 201: "Made", 202: "Begun"}


def paths_and_schemas(acts: Collection[Operation[..., Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The path items of these acts, and the schemas that they refer to."""
    types = [kind for one in acts for kind in _types(one)]
    found, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    _say_base64(schemas)
    of = dict(zip(types, found, strict=True))
    paths: dict[str, Any] = {}
    for one in acts:
        paths.setdefault(documented_path(one), {})[one.method.lower()] = {
            "tags": [one.noun],
            "summary": one.summary,
            "operationId": one.name,
            "parameters": [
                _parameter(one, given) for given in one.parameters if given.name in one.texts.__struct_fields__
            ],
            **({"requestBody": _content(of[_body(one)]) | {"required": True}} if _body(one).__struct_fields__ else {}),
            "responses": {str(one.status): {"description": _REASONS[one.status], **_answer(one, of)}},
        }
    return paths, schemas


def _say_base64(schema: Any) -> None:
    """Bytes are base64: readers of the document go by patterns, not by the encoding's name."""
    if isinstance(schema, dict) and schema.get("contentEncoding") == "base64":
        schema["pattern"] = _BASE64
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _say_base64(part)


def documented_path(act: Operation[..., Any]) -> str:
    """As a reader of OpenAPI knows it: `{name}` for `{name:path}`."""
    return act.path.replace(":path}", "}")


def _body(act: Operation[..., Any]) -> Any:
    return act.reads or act.body


def _types(act: Operation[..., Any]) -> Iterator[Any]:
    if act.has_body:
        yield _body(act)
    if not act.steps and not act.media:
        yield act.result


def _answer(act: Operation[..., Any], of: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """A stream of steps has the lines of every stream (`steps`)."""
    if act.steps or act.media:
        return {"content": {act.media or STEPS: {}}}
    return _content(of[act.result])


def _parameter(act: Operation[..., Any], given: Parameter) -> dict[str, Any]:
    is_in_path = given.name in act.in_path
    is_needed = is_in_path or given.default is msgspec.NODEFAULT
    schema = msgspec.json.schema(given.told)
    return {"name": given.name, "in": "path" if is_in_path else "query", "required": is_needed, "schema": schema}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
