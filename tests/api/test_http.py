"""The rights of any HTTP client (RFC 9110, 9112): HEAD, Allow, kinds of bodies, parts of files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route, Router

from microclaw.api.access import METHODS, access_of, every_route
from microclaw.api.server import Listener, serving, tcp_listener
from microclaw.api.task_routes import file_answer
from microclaw.operations.client import Client

Address = tuple[str, int]
OPENAI = "/v1/chat/completions"


@pytest.fixture(scope="module")
def tokens(host_facts: dict[str, Any]) -> dict[str, str]:
    """Of the owner, by scope."""
    client = Client(Path(host_facts["control"]))
    return {scope: client.post("/v1/tokens", {"name": scope, "scope": scope})["secret"] for scope in ("all", "read")}


def ask(
    api: Address, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(*api, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_405_names_every_method_of_the_path(api: Address, tokens: dict[str, str]) -> None:
    known = [route.split(" ") for _, route in every_route()]
    for path in ("/v1/tasks", "/v1/tasks/1", "/v1/schedules", "/v1/memory", "/v1/devices/virtual-1", OPENAI, "/"):
        there = {method for method in METHODS if access_of(method, path) is not None}
        assert there <= {method for method, _ in known}
        for method in {*METHODS, "OPTIONS"} - there:
            status, headers, content = ask(api, method, path, bearer(tokens["all"]))
            assert status == 405
            assert set(headers["allow"].split(", ")) == there | ({"HEAD"} if "GET" in there else set())
            assert "error" in json.loads(content)


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/signin/password", OPENAI, "/api/compile-wasm"])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_a_body_that_does_not_say_that_it_is_json_is_415(
    api: Address, tokens: dict[str, str], path: str, kind: str
) -> None:
    token = bearer(tokens["all"])
    shown = {**token, **({"Content-Type": kind} if kind else {})}
    assert ask(api, "POST", path, shown, b'{"code":"1"}')[0] == 415
    taken = {"Content-Type": "application/problem+json; charset=utf-8"}
    assert ask(api, "POST", path, {**token, **taken}, b"{}")[0] != 415
    assert ask(api, "PATCH", path, token, b"{}")[0] == 405  # first of all: another body would not help


def test_openai_paths_fail_in_openai_form(api: Address, tokens: dict[str, str]) -> None:
    json_body = {"Content-Type": "application/json"}
    asked: list[tuple[str, str, str, bytes | None, dict[str, str], int, str, str]] = [
        ("", "GET", "/v1/models", None, {}, 401, "authentication_error", "invalid_api_key"),
        ("read", "GET", "/v1/models", None, {}, 403, "permission_error", "permission_refused"),
        ("all", "PUT", "/v1/models", None, {}, 405, "invalid_request_error", "method_not_allowed"),
        ("all", "GET", OPENAI, None, {}, 405, "invalid_request_error", "method_not_allowed"),
        ("all", "POST", OPENAI, b"{}", {}, 415, "invalid_request_error", "unsupported_media_type"),
        ("all", "POST", OPENAI, b"x" * (9 << 20), json_body, 413, "invalid_request_error", "too_large"),
    ]
    for who, method, path, body, headers, status, kind, code in asked:
        shown = bearer(tokens[who]) if who else {}
        found, _, content = ask(api, method, path, {**shown, **headers}, body)
        error = json.loads(content)["error"]
        assert (found, error.get("type"), error["code"]) == (status, kind, code)
    assert ask(api, "GET", "/v1/models?api-version=2024-10-21", bearer(tokens["all"]))[0] == 200  # Azure's clients
    assert ask(api, "GET", "/v1/me?x", bearer(tokens["all"]))[0] == 422


async def test_a_file_has_versions_and_parts(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"0123456789")

    app = Router([Route("/file", partial(file_answer, path=path, kind="text/plain", headers={}))])

    def check(api: Address) -> None:
        def get(**headers: str) -> tuple[int, dict[str, str], bytes]:
            return ask(api, "GET", "/file", {name.replace("_", "-"): value for name, value in headers.items()})

        _, whole, _ = get()
        etag, date = whole["etag"], whole["last-modified"]
        for known in (etag, f'"other", W/{etag}'):
            status, headers, content = get(If_None_Match=known, Range="bytes=0-3")
            assert (status, content, headers["etag"]) == (304, b"", etag)
        assert get(If_Modified_Since=date)[0] == 304
        assert get(If_Modified_Since=date, If_None_Match='"other"')[0] == 200
        for other in ("Mon, 01 Jan 2001 00:00:00 GMT", "yesterday", "Mon, 01 Jan 2001 00:00:00"):
            assert get(If_Modified_Since=other)[0] == 200
        assert get(Range="bytes=2-4")[::2] == (206, b"234")
        status, headers, _ = get(Range="bytes=5000-")
        assert (status, headers["content-range"]) == (416, "bytes */10")

    with tcp_listener("127.0.0.1", 0) as listener:
        async with asyncio.TaskGroup() as group, serving([Listener("files", app, listener)], group):
            await asyncio.to_thread(check, listener.getsockname())
