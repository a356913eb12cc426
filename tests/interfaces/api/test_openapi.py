"""The OpenAPI document says what the API does: its errors, its token, the lines of its streams."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from tests.interfaces.api.people_host import BLINK, PeopleHost

SHUT: Final = {"/v1/firmware/manifest", "/api/openapi.json"}  # here is no image of a board


pytestmark = pytest.mark.asyncio(loop_scope="module")


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from refs(one)


async def test_the_document_is_whole_and_true(host: PeopleHost) -> None:
    status, document = await host.ask("owner", "GET", "/api/openapi.json")
    assert status == 200
    for ref in set(refs(document)):
        part: Any = document
        for key in ref.removeprefix("#/").split("/"):
            part = part[key]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert declared == set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}"
            for status in {"200", "201"} & operation["responses"].keys() if path != "/api/openapi.json" else ():
                form = operation["responses"][status]["content"].get("application/json", {}).get("schema")
                assert form is None or document["components"]["schemas"][form["$ref"].rpartition("/")[2]]["properties"]
    schemas = document["components"]["schemas"]
    inline = [
        part.get("title") or f"{name}{key.title().replace('_', '')}"
        for name, schema in schemas.items()
        for key, part in schema.get("properties", {}).items()
        if "properties" in part
    ]
    assert not schemas.keys() & set(inline), "generators of clients name an object in an object so"
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert not [name for name in document["components"]["schemas"] if "__" in name], "two bodies have one name"
    assert "HTTPValidationError" not in json.dumps(document)
    install = document["paths"]["/v1/devices/{device}/apps"]["post"]["responses"]
    assert install["200"]["content"] == {
        "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/StreamLine"}}
    }
    assert "Retry-After" in document["components"]["responses"]["Failed503"]["headers"]
    assert document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"].keys() == {"text/event-stream"}


async def test_lines_of_a_stream_have_the_forms_of_the_document(host: PeopleHost) -> None:
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    line = Draft202012Validator({"$ref": "#/components/schemas/StreamLine", "components": document["components"]})
    body = {"name": "blink", "source": BLINK}
    status, content = await asyncio.to_thread(host._ask, "owner", "POST", f"/v1/devices/{host.device.name}/apps", body)
    assert status == 200
    lines = [json.loads(one) for one in content.splitlines()]
    assert {one["type"] for one in lines} >= {"step", "result"}
    for one in lines:
        line.validate(one)
    assert not line.is_valid({"type": "step", "text": 7})
    assert not line.is_valid({"type": "other"})


async def test_answers_have_the_fields_of_the_document_and_no_others(host: PeopleHost) -> None:
    """`PeopleHost.ask` looks at each answer of each test; here those that others do not ask for."""
    name = host.device.name
    await host.stream("owner", f"/v1/devices/{name}/apps", {"name": "blink", "source": BLINK})
    _, told = await host.ask("ada", "DELETE", f"/v1/devices/{name}", waits=False)
    approval = told["approval"]["approval_id"]
    number = told["request"]
    asked: list[tuple[str, str, str, dict[str, Any] | None]] = [
        ("owner", "PUT", f"/v1/devices/{name}/labels", {"labels": ["attic"]}),
        ("owner", "GET", f"/v1/devices/{name}/apps/blink", None),
        ("owner", "GET", f"/v1/approvals/{approval}", None),
        ("ada", "GET", f"/v1/requests/{number}", None),
        ("owner", "POST", f"/v1/approvals/{approval}", {"approved": False}),
        ("ada", "GET", f"/v1/requests/{number}", None),
        ("owner", "POST", f"/v1/devices/{name}/call", {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}),
        ("owner", "POST", f"/v1/devices/{name}/check", {}),
        ("owner", "POST", "/v1/call", {"method": "gpio.get", "arguments": {"pin": 5}, "all": True}),
        ("owner", "POST", "/api/compile-wasm", {"source": BLINK}),
        ("owner", "POST", "/v1/schedules", {"when": "every day at 7:00", "do": f"turn on pin 4 on {name}"}),
        ("owner", "GET", "/v1/schedules/1", None),
        ("owner", "GET", f"/v1/devices/{name}/edges", None),
        ("owner", "GET", f"/v1/devices/{name}/logs", None),
        ("owner", "PATCH", f"/v1/devices/{name}", {"name": name}),
        ("owner", "GET", "/v1/models/microclaw", None),
        (
            "owner",
            "POST",
            "/v1/chat/completions",
            {"model": "microclaw", "messages": [{"role": "user", "content": "hi"}]},
        ),
        ("owner", "POST", "/v1/jobs/1/cancel", {}),
        ("owner", "GET", "/v1/skills/plant-watering", None),
        ("owner", "GET", "/v1/skill-check?name=plant-watering", None),
        ("owner", "DELETE", "/v1/schedules/1", None),
    ]
    for who, method, path, body in asked:
        status, answer = await host.ask(who, method, path, body)
        assert status in (200, 201), (path, answer)
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    plain = [path for path, methods in document["paths"].items() if "get" in methods and "{" not in path]
    lists = [path for path in plain if "application/json" in methods_content(document, path) and path not in SHUT]
    assert len(lists) >= 30
    for path in lists:
        status, answer = await host.ask("owner", "GET", path + ("?q=led" if path.endswith("/search") else ""))
        assert status == 200, (path, answer)


def methods_content(document: dict[str, Any], path: str) -> dict[str, Any]:
    content: dict[str, Any] = document["paths"][path]["get"]["responses"]["200"]["content"]
    return content
