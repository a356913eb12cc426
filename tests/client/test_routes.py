"""Every route of the API that a token may call has a method of the client, or a reason why it has none."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.api.people_host import people_host
from typing_extensions import is_typeddict

import microclaw.client
from microclaw.api import answers, host_answers
from microclaw.client import Client
from microclaw.client.calls import Group
from microclaw.client.endpoint import SocketEndpoint
from microclaw.errors import MicroclawError
from microclaw.operations.operation import load

MISSING: Final[Mapping[str, tuple[str, ...]]] = {
    "of browsers: a program has a token": (
        "POST /v1/signin/code",
        "POST /v1/signin/password",
        "POST /v1/signout",
    ),
    "the page shows them; on the command line it is microclaw session": (
        "GET /v1/chat",
        "GET /v1/chat/{chat_id}/messages",
    ),
    "the seed's route: client.post": (
        "GET /api/compile-wasm",
        "POST /api/compile-wasm",
    ),
    "OpenAI's own clients call them": (
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/{name}",
    ),
    "the page flashes a board with it; on a cable it is microclaw flash": ("GET /v1/firmware/parts/{name}",),
    "client.download fetches it": ("GET /v1/tasks/{number}/files/{name}",),
}
WHAT_TO_DO: Final = (
    "give each a method in src/microclaw/client/ (devices.py, programs.py, work.py, ...) and a line in docs/client.md; "
    "or, if no program needs it, a line with the reason in MISSING of tests/client/test_routes.py"
)


class Recorded(Exception):
    """The request was made; there is no host to answer it."""


class Request:
    def __init__(self, method: str, target: str, body: bytes | None) -> None:
        parts = urlsplit(target)
        self.method, self.path, self.query = method, parts.path, parse_qs(parts.query)
        self.fields = set() if body is None else set(json.loads(body))


class RecordingConnection(HTTPConnection):
    def __init__(self, made: list[Request]) -> None:
        super().__init__("localhost")
        self._made = made

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        *,
        encode_chunked: bool = False,
    ) -> None:
        self._made.append(Request(method, url, body))

    def getresponse(self) -> HTTPResponse:
        raise Recorded


class Recorder(SocketEndpoint):
    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.made: list[Request] = []

    def connect(self, timeout_s: float) -> HTTPConnection:
        return RecordingConnection(self.made)


def methods() -> Iterator[tuple[str, Callable[[Client], Callable[..., Any]]]]:
    """Each call of the client by its name, with how it is found on one."""
    for name, value in vars(Client).items():
        if isinstance(value, cached_property):
            group = value.attrname or name
            made = getattr(Client(Recorder()), group)
            assert isinstance(made, Group), name
            for each, found in vars(type(made)).items():
                if inspect.isfunction(found) and not each.startswith("_") and each != "close":
                    yield f"{group}.{each}", lambda client, g=group, e=each: getattr(getattr(client, g), e)  # type: ignore[misc]
        elif inspect.isfunction(value) and not name.startswith("_"):
            yield name, lambda client, n=name: getattr(client, n)  # type: ignore[misc]
    yield "cancel", lambda client: client.cancel


METHODS: Final = dict(methods())


def sample(hint: Any) -> Any:
    """A value of that type."""
    if get_origin(hint) in (Union, types.UnionType):
        return sample(next(one for one in get_args(hint) if one is not type(None)))
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if get_origin(hint) is tuple:
        return tuple(map(sample, get_args(hint)))
    if (origin := get_origin(hint)) is not None and issubclass(origin, Mapping):
        return {"x1": sample(get_args(hint)[1])}
    if origin is not None and issubclass(origin, Sequence):
        return [sample(get_args(hint)[0])]
    known: dict[Any, Any] = {str: "x1", int: 1, float: 1.0, bool: True, bytes: b"x1", Any: 1}
    return known[hint]


def hints_of(method: Any) -> dict[str, Any]:
    scope = vars(sys.modules[method.__module__])
    forms = {"answers": answers, "host_answers": host_answers}
    return get_type_hints(method, globalns={**scope, **forms}, localns={})


def requests_of(name: str) -> list[Request]:
    """What the method asks for: with as little as it takes, and with everything."""
    recorder = Recorder()
    method = METHODS[name](Client(recorder))
    hints = hints_of(method)
    given = [one for one in inspect.signature(method).parameters.values() if one.kind is not one.VAR_KEYWORD]
    given = [one for one in given if one.name not in ("watch", "within_s")]
    needed = {one.name: sample(hints[one.name]) for one in given if one.default is one.empty}
    every = {one.name: sample(hints[one.name]) for one in given}
    calls = [needed, every]
    for arguments in calls:
        with pytest.raises(Recorded):
            begin(method, arguments)
    return recorder.made


def begin(method: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    next(iter(method(**arguments)))  # of a stream, which connects with its first event


def route_of(document: Mapping[str, Any], request: Request) -> str:
    """The route that the host would take: the one with the fewest parameters."""
    fits = [
        path
        for path, operations in document["paths"].items()
        if request.method.lower() in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path)
    ]
    assert fits, f"the API has no {request.method} {request.path}"
    return f"{request.method} {min(fits, key=lambda path: path.count('{'))}"


def operation_of(document: Mapping[str, Any], route: str) -> Mapping[str, Any]:
    method, path = route.split(" ")
    found: Mapping[str, Any] = document["paths"][path][method.lower()]
    return found


async def test_every_route_has_a_method_or_a_reason(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as host:
        _, document = await host.ask("owner", "GET", "/api/openapi.json")
    called: dict[str, set[str]] = {}
    for name in METHODS:
        for request in requests_of(name):
            route = route_of(document, request)
            called.setdefault(route, set()).add(name)
            check_request(document, name, route, request)
            check_answer(document, name, route)
    public = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path.startswith(("/v1/", "/api/")) and operation["x-access"] != "socket"
    }
    left_out = {route for routes in MISSING.values() for route in routes}
    declared = {route for act in load() for route in (act.http, act.many)}  # `client.call` does them
    lost = sorted(public - called.keys() - left_out - declared)
    assert not lost, f"routes without a method of microclaw.client: {', '.join(lost)}. {WHAT_TO_DO}"
    gone = sorted(left_out & called.keys() | left_out - public)
    assert not gone, f"take {', '.join(gone)} out of MISSING: the client has it, or the API has it no more"


def check_request(document: Mapping[str, Any], name: str, route: str, request: Request) -> None:
    """It has the fields and parameters of the route, and no others."""
    operation = operation_of(document, route)
    declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    assert set(request.query) <= declared, f"{name}: {route} has no parameter {set(request.query) - declared}"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in content:
        content = document["components"]["schemas"][content["$ref"].rpartition("/")[2]]
    fields = set(content.get("properties", ()))
    assert request.fields <= fields, f"{name}: {route} takes no {request.fields - fields}"
    lacking = set(content.get("required", ())) - request.fields
    assert not lacking, f"{name}: {route} needs {lacking}"


def check_answer(document: Mapping[str, Any], name: str, route: str) -> None:
    """Where the API says its form, the method's type has that name."""
    said = [
        answer["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
        for status, answer in operation_of(document, route)["responses"].items()
        if status in ("200", "201") and "application/json" in answer.get("content", {})
    ]
    hint = hints_of(METHODS[name](Client(Recorder()))).get("return")
    if not said or not said[0]:
        return
    if is_typeddict(hint):
        assert str(hint).endswith(f".{said[0]}'>"), f"{name}: {route} answers {said[0]}"
    elif get_origin(hint) is list and is_typeddict(get_args(hint)[0]):
        items = [one.get("items", {}) for one in document["components"]["schemas"][said[0]]["properties"].values()]
        ref = f"#/components/schemas/{get_args(hint)[0].__name__}"
        assert {"$ref": ref} in items, f"{name}: {said[0]} of {route} has no list of it"


def test_all_that_is_public_is_there() -> None:
    assert sorted(microclaw.client.__all__) == microclaw.client.__all__
    assert all(hasattr(microclaw.client, name) for name in microclaw.client.__all__)


def test_every_error_says_code_message_and_next() -> None:
    error = MicroclawError("no", next_step="do this")
    assert (error.code, error.message, error.next) == ("failed", "no", "do this")


HEAVY: Final = ("pydantic", "fastapi", "httpx2", "asyncio", "sqlite3", "cryptography", "typer", "rich")


def test_the_import_is_light_and_has_nothing_of_a_server() -> None:
    program = "import sys, microclaw.client; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    assert not loaded & set(HEAVY)
    ours = {name.split(".")[1] for name in loaded if name.startswith("microclaw.")}
    known = {"client", "durable", "operations", "wire", "events", "errors", "text", "config", "addresses"}
    assert ours <= known | {"backoff"}
