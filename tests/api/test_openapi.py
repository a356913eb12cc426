"""The OpenAPI document says what the API does: its errors, its token, the lines of its streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from tests.api.people_host import BLINK, PeopleHost, people_host

from microclaw.api.answers import TaskFacts, TaskWithOutput
from microclaw.api.openapi_document import NDJSON
from microclaw.api.task_routes import task_object, view_object
from microclaw.store.tasks import FileRow, TaskRow
from microclaw.tasks.live import TaskView


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path / "home") as running:
        yield running


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from refs(one)


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    """Of one schema of the document, with those that it refers to."""
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


async def test_the_document_is_whole_and_true(host: PeopleHost) -> None:
    status, document = await host.ask("owner", "GET", "/api/openapi.json")
    assert status == 200
    for ref in set(refs(document)):
        part: Any = document
        for key in ref.removeprefix("#/").split("/"):
            part = part[key]
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


async def test_errors_and_lines_have_the_forms_of_the_document(host: PeopleHost) -> None:
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    error, line = validator(document, "Error"), validator(document, "StreamLine")
    name = host.device.name
    asked: list[tuple[str | None, str, str, dict[str, Any], int]] = [
        ("owner", "POST", f"/v1/devices/{name}/call", {"method": "gpio.set", "arguments": 7}, 422),
        ("owner", "GET", "/v1/nothing", {}, 404),
        ("owner", "DELETE", "/v1/status", {}, 405),
        ("gus", "POST", f"/v1/devices/{name}/call", {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}, 403),
        ("nobody", "GET", "/v1/status", {}, 401),
        ("owner", "POST", "/api/compile-wasm", {"source": "int main(void) { return x; }"}, 422),
    ]
    for who, method, path, body, status in asked:
        found, answer = await host.ask(who, method, path, body)
        assert found == status, (path, answer)
        error.validate(answer)
    body = {"name": "blink", "source": BLINK}
    status, content = await asyncio.to_thread(host._ask, "owner", "POST", f"/v1/devices/{name}/apps", body)
    assert status == 200
    lines = [json.loads(one) for one in content.splitlines()]
    assert {one["type"] for one in lines} >= {"step", "result"}
    for one in lines:
        line.validate(one)
    assert not line.is_valid({"type": "step", "text": 7})
    assert not line.is_valid({"type": "other"})


async def test_a_request_that_waits_has_the_form_of_the_document(host: PeopleHost) -> None:
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    status, told = await host.ask("ada", "DELETE", f"/v1/devices/{host.device.name}", waits=False)
    assert status == 202
    validator(document, "Waiting").validate(told)


def closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if isinstance(schema, dict):
        found = {key: closed(value) for key, value in schema.items()}
        return {**found, "additionalProperties": False} if "properties" in found else found
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


async def test_answers_have_the_fields_of_the_document_and_no_others(host: PeopleHost) -> None:
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    forms = {"components": {"schemas": closed(document["components"]["schemas"])}}
    name = host.device.name
    steps = await host.stream("owner", f"/v1/devices/{name}/apps", {"name": "blink", "source": BLINK})
    assert steps
    _, told = await host.ask("ada", "DELETE", f"/v1/devices/{name}", waits=False)
    approval, number = told["approval"]["approval_id"], told["request"]
    Draft202012Validator({**forms, "$ref": "#/components/schemas/Waiting"}).validate(told)
    asked: list[tuple[str, str, str, dict[str, str], dict[str, Any] | None]] = [
        ("owner", "get", "/v1/devices", {}, None),
        ("owner", "get", "/v1/devices/{name}", {"name": name}, None),
        ("owner", "put", "/v1/devices/{name}/labels", {"name": name}, {"labels": ["attic"]}),
        ("owner", "get", "/v1/apps", {}, None),
        ("owner", "get", "/v1/devices/{device}/apps/{name}", {"device": name, "name": "blink"}, None),
        ("owner", "get", "/v1/changes", {}, None),
        ("owner", "get", "/v1/approvals", {}, None),
        ("owner", "get", "/v1/approvals/{approval_id}", {"approval_id": approval}, None),
        ("ada", "get", "/v1/requests/{number}", {"number": number}, None),
        ("owner", "post", "/v1/approvals/{approval_id}", {"approval_id": approval}, {"approved": False}),
        ("ada", "get", "/v1/requests/{number}", {"number": number}, None),
        ("owner", "get", "/v1/tasks", {}, None),
    ]
    for who, method, path, values, body in asked:
        status, answer = await host.ask(who, method.upper(), path.format(**values), body)
        schema = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
        assert list(schema) == ["$ref"]
        Draft202012Validator({**forms, **schema}).validate(answer)
        assert len(answer) > 0


def test_a_task_has_the_fields_of_the_document() -> None:
    limits = '{"wall_s": 60.0, "memory_bytes": 1024}'
    row = TaskRow("p-ada", "ada", "api", "x", "python", 1, "0" * 64, limits, 1, files=(FileRow("a", 1, "text/plain"),))
    done = replace(row, state="done", ending="ended", exit_code=0, refused=(("b", "it is a link"),), ended_ms=7)
    for one in (row, done):
        assert TaskFacts(**task_object(one)).model_dump() == task_object(one)
        whole = view_object(TaskView(one, b"hi", 0, 2, more=False))
        assert TaskWithOutput(**whole).model_dump() == whole


async def test_the_document_names_every_way_in_and_every_kind_of_content(host: PeopleHost) -> None:
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    assert document["components"]["securitySchemes"].keys() == {"bearer", "session", "csrf"}
    paths = document["paths"]
    assert paths["/healthz"]["get"]["security"] == []
    assert paths["/v1/signin/password"]["post"]["security"] == []
    assert {} in paths["/metrics"]["get"]["security"]
    assert paths["/v1/tasks"]["post"]["security"] == [{"bearer": []}, {"session": [], "csrf": []}]
    assert paths["/v1/tasks"]["get"]["x-access"] == "ask"
    for path, methods in paths.items():
        for method, operation in methods.items():
            good = [answer for status, answer in operation["responses"].items() if status in ("200", "201")]
            assert all(answer.get("content") for answer in good), (method, path)
            if any(NDJSON in answer["content"] for answer in good):
                assert "202" not in operation["responses"], (method, path)
    assert "206" in paths["/v1/tasks/{number}/files/{name}"]["get"]["responses"]
