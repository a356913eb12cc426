"""The declared acts in an OpenAPI 3.1 document. What all routes have in common is added by who asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from microclaw.operations.operation import Operation, Parameter, load

_SCHEMAS: Final = "#/components/schemas/{name}"
_REASONS: Final = {200: "Done", 201: "Made", 202: "Begun"}


def paths_and_schemas(names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The path items of these acts, and the schemas that they refer to."""
    acts = [one for act in load() for one in (act, act.of_many) if one.name in names]
    types = [kind for one in acts for kind in (one.result, *((one.body,) if one.has_body else ()))]
    found, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    of = dict(zip(types, found, strict=True))
    paths: dict[str, Any] = {}
    for one in acts:
        paths.setdefault(one.path, {})[one.method.lower()] = {
            "tags": [one.noun],
            "summary": one.summary,
            "operationId": one.name,
            "parameters": [
                _parameter(one, given) for given in one.parameters if given.name in one.texts.__struct_fields__
            ],
            **({"requestBody": _content(of[one.body]) | {"required": True}} if one.body.__struct_fields__ else {}),
            "responses": {str(one.status): {"description": _REASONS[one.status], **_content(of[one.result])}},
            **({"steps": True} if one.steps else {}),
        }
    return paths, schemas


def _parameter(act: Operation[..., Any], given: Parameter) -> dict[str, Any]:
    is_in_path = given.name in act.in_path
    is_needed = is_in_path or given.default is msgspec.NODEFAULT
    schema = msgspec.json.schema(given.told)
    return {"name": given.name, "in": "path" if is_in_path else "query", "required": is_needed, "schema": schema}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
