"""Every route of the OpenAPI document, with every kind of caller and generated input: no fault of the host, no hang.

The inputs come from the document's own schemas: values that fit, values that nearly do, and hostile ones. A 5xx is
allowed only where a device, a model or a limit is the reason, with its documented code (api/failures.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import pytest
from tests.api.people_host import PeopleHost, people_host

from microclaw.api.failures import STATUS_BY_CODE
from microclaw.config.settings import AgentSettings

CALLERS: Final = (
    "owner",
    "ada",
    "gus",
    None,
    "mc_" + "x9Y-" * 10 + "abc",
)  # owner, member, guest, no token, a wrong one
ROUNDS: Final = 4
AT_ONCE: Final = 8
ANSWER_S: Final = 60
READ_BYTES: Final = 1 << 16
OURS: Final = {"internal_error", "failed", "store_error", "store_missing", "store_owned"}
HOSTILE: Final[tuple[Any, ...]] = (
    *("", " ", "\0", "../../etc/passwd", "a" * 5000, "\u202egnp", "'; DROP TABLE people;--", "<script>", "%2e%2e%2f"),
    *("-1", "1e309", "virtual-1", "owner", "null", "\r\nX: y", "d-0", "{}", "http://169.254.169.254/", "app", "blink"),
    *(0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 0.5, True, False, None, [], {}, [[]] * 50, ["x"] * 300),
    *("\ud83d", {"a": {"a": {}}}),
)


class Inputs:
    """Values for a schema of the document."""

    def __init__(self, document: Mapping[str, Any], chance: random.Random) -> None:
        self._schemas = document.get("components", {}).get("schemas", {})
        self._chance = chance

    def value(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        if depth > 6 or self._chance.random() < 0.15:
            return self._chance.choice(HOSTILE)
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]], depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                return self.value(self._chance.choice(schema[key]), depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return [self.value(schema.get("items", {}), depth + 1) for _ in range(self._chance.randrange(4))]
            case "string":
                return self._chance.choice(("virtual-1", "blink", "x", "ada", "2s", "int main(){}", "4", "gpio.set"))
            case "integer" | "number":
                low, high = int(schema.get("minimum", -5)), int(schema.get("maximum", 300))
                return self._chance.choice((low, high, low - 1, high + 1, self._chance.randint(low, high)))
            case "boolean":
                return self._chance.random() < 0.5
            case _:
                return self._chance.choice(HOSTILE)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        needed = schema.get("required", ())
        fields = schema.get("properties", {})
        chosen = [name for name in fields if name in needed or self._chance.random() < 0.3]
        if chosen and self._chance.random() < 0.1:
            chosen.remove(self._chance.choice(chosen))
        return {name: self.value(fields[name], depth + 1) for name in chosen}

    def request(self, path: str, operation: Mapping[str, Any]) -> tuple[str, bytes | None]:
        """The path with its query, and the body."""
        query: list[tuple[str, str]] = []
        for parameter in operation.get("parameters", ()):
            value = self.value(parameter.get("schema", {}))
            if parameter["in"] == "path":
                text = quote(str(value)[:2000].encode("utf-8", "surrogatepass"), safe="") or "x"
                path = path.replace("{" + parameter["name"] + "}", text)
            elif parameter["in"] == "query" and (parameter.get("required") or self._chance.random() < 0.5):
                query.append((parameter["name"], str(value)[:2000]))
        target = f"{path}?{urlencode(query, errors='surrogatepass')}" if query else path
        return target, self._body(operation)

    def _body(self, operation: Mapping[str, Any]) -> bytes | None:
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return None
        if self._chance.random() < 0.1:
            return self._chance.choice(
                (b"", b"{", b"\xff\xfe", b"[" * 3000, b'{"a":1,"a":2}', b"null", b'"x"', b"1" * 5000)
            )
        schema = content.get("application/json", {}).get("schema")
        return b"\0" * 64 if schema is None else json.dumps(self.value(schema)).encode("utf-8", "surrogatepass")


def ask(host: PeopleHost, who: str | None, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
    """Status and the beginning of the answer; of one that goes on for ever its head alone."""
    address = urlsplit(host.http)
    headers = {"Content-Type": "application/json"}
    if who is not None:
        headers["Authorization"] = f"Bearer {host.secrets.get(who, who)}"
    connection = HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_S)
    try:
        connection.request(method, target, body, headers)
        response: HTTPResponse = connection.getresponse()
        if response.status < 400 and (response.getheader("Content-Type") or "").startswith("text/event-stream"):
            return response.status, b""
        return response.status, response.read(READ_BYTES)
    finally:
        connection.close()


def fault(operation: Mapping[str, Any], who: str | None, status: int, content: bytes) -> str | None:
    """What is wrong with an answer; None when it is a documented one."""
    if who not in ("owner", "ada", "gus") and status == 429:
        return None  # too many wrong tokens
    if status < 400:
        return None if str(status) in operation["responses"] or status in (202, 204) else "not a documented status"
    if not content:
        return "an error without a body"
    try:
        error = json.loads(content)["error"]
    except (ValueError, TypeError, KeyError):
        return "an error that is no JSON"
    code = error.get("code")
    if code in OURS or status == 500:
        return "a fault of the host"
    if status >= 500 and STATUS_BY_CODE.get(code) != status:
        return f"a 5xx with the code {code}"
    return None if error.get("message") else "an error without words"


async def test_no_input_of_no_caller_is_a_fault_of_the_host(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(17)
    async with people_host(tmp_path / "home", agent=AgentSettings(approval_s=1, turn_s=10)) as host:
        document = await host.socket("GET", "/api/openapi.json")
        inputs = Inputs(document, chance)
        routes = [
            (path, method.upper(), operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        assert len(routes) > 90
        asked = [(route, who) for route in routes for who in CALLERS for _ in range(ROUNDS)]
        chance.shuffle(asked)
        room, told, statuses = asyncio.Semaphore(AT_ONCE), list[str](), Counter[tuple[str | None, int]]()

        async def one(route: tuple[str, str, Mapping[str, Any]], who: str | None) -> None:
            path, method, operation = route
            async with room:
                target, body = inputs.request(path, operation)
                status, content = await asyncio.to_thread(ask, host, who, method, target, body)
            statuses[who, status] += 1
            if (wrong := fault(operation, who, status, content)) is not None:
                told.append(f"{who} {method} {target[:300]} {body!r:.300}: {status} {wrong}: {content!r:.300}")

        async with asyncio.TaskGroup() as group:
            for route, who in asked:
                group.create_task(one(route, who))
        assert told == [], "\n".join(told)
        assert (await host.socket("GET", "/healthz"))["ok"] is True
    for who in ("owner", "ada", "gus"):
        assert statuses[who, 200], "nothing was let through: the inputs reach no route"
    assert {status for who, status in statuses if who == CALLERS[-1]} <= {401, 429}
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert faults == []
