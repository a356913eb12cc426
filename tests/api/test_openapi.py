"""The OpenAPI document says what the API does: its errors, its token, the lines of its streams."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from tests.api.people_host import BLINK, PeopleHost, people_host

from microclaw.api.answers import TaskFacts, TaskWithOutput
from microclaw.api.docs_page import docs_page
from microclaw.api.openapi_document import NDJSON
from microclaw.api.reference import kind_of, routes_of
from microclaw.api.task_routes import task_object, view_object
from microclaw.store.tasks import FileRow, TaskRow
from microclaw.tasks.live import TaskView

ROOT: Final = Path(__file__).parents[2]
SHUT: Final = {"/v1/pairings", "/v1/firmware/manifest", "/api/openapi.json"}  # here is no link, and no image of a board


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
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert declared == set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}"
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


async def test_answers_have_the_fields_of_the_document_and_no_others(host: PeopleHost) -> None:
    """`PeopleHost.ask` looks at each answer of each test; here those that others do not ask for."""
    name = host.device.name
    steps = await host.stream("owner", f"/v1/devices/{name}/apps", {"name": "blink", "source": BLINK})
    assert steps
    _, told = await host.ask("ada", "DELETE", f"/v1/devices/{name}", waits=False)
    approval, number = told["approval"]["approval_id"], told["request"]
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
        ("owner", "GET", f"/v1/fleet/{name}/blink", None),
        ("owner", "POST", "/api/compile-wasm", {"source": BLINK}),
        ("owner", "POST", "/v1/schedules", {"when": "every day at 7:00", "do": f"turn on pin 4 on {name}"}),
        ("owner", "GET", "/v1/schedules/1", None),
        ("owner", "GET", f"/v1/devices/{name}/edges", None),
        ("owner", "GET", f"/v1/devices/{name}/logs", None),
        ("owner", "PUT", f"/v1/devices/{name}/firmware", {"firmware": []}),
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
        ("owner", "GET", "/v1/skills/plant-watering/check", None),
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


async def test_every_answer_has_a_form_and_the_reference_and_the_page_have_them_all(host: PeopleHost) -> None:
    """If the reference is stale: make docs."""
    _, document = await host.ask("owner", "GET", "/api/openapi.json")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status in {"200", "201"} & operation["responses"].keys():
                schema = operation["responses"][status]["content"].get("application/json", {}).get("schema")
                form = schema and document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                assert form is None or form["properties"], (method, path)
    for name, text in runpy.run_path(str(ROOT / "scripts" / "api_page.py"))["pages"](document).items():
        assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == text, name
    page = docs_page(document)
    for one in routes_of(document):
        assert f"<code>{one.method} {one.path}</code>" in page
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert len(targets) > 200
    assert targets <= set(re.findall(r'id="([^"]+)"', page))
    install = page.partition("<code>POST /v1/devices/{device}/apps</code>")[2].partition("<h3>")[0]
    assert "Least role: member" in install
    assert '<a href="#form-InstallBody">InstallBody</a>' in install
    assert '<a href="#form-StreamLine">StreamLine</a>' in install


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 64}, "text of 1 to 64 characters"),
        ({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}]}, "integer from 1 to 9 or null"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 50}, "number above 0 to 50"),
        ({"type": "integer", "exclusiveMaximum": 2**53}, "integer"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/App"}, "maxItems": 8}, "[App] of at most 8 items"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "integer"}]}, "[number, integer]"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "{name: true or false}"),
        ({"enum": ["stop", "start"], "type": "string"}, '"stop" or "start"'),
        ({}, "any value"),
    ],
)  # fmt: skip
def test_a_type_is_told_in_words(schema: dict[str, Any], words: str) -> None:
    assert "".join(piece for piece, _ in kind_of(schema)) == words


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
