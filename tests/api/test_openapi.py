"""The OpenAPI document says what the API does: its errors, its token, the lines of its streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from tests.api.people_host import BLINK, PeopleHost, people_host


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
