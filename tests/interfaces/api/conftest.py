"""A real host over real sockets, one for a module's tests: `microclaw up` with a virtual board."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.interfaces.api.people_host import PeopleHost, people_host
from tests.stories.conftest import running_host

from microclaw.host.operations.client import Client


@dataclass(frozen=True)
class Answer:
    """Of a request over a plain connection."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def answer_of(
    connection: HTTPConnection, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Of one request; a body that is no bytes is sent as JSON."""
    is_json = body is not None and not isinstance(body, bytes)
    if is_json:
        kind = {"Content-Type": "application/json"}
    else:
        kind = {}
    with closing(connection):
        connection.request(method, path, json.dumps(body) if is_json else body, {**kind, **(headers or {})})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


@pytest.fixture(scope="module")
def host_facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The ready document of a running host with virtual-1."""
    with running_host(tmp_path_factory.mktemp("host") / "home", "--virtual", "1") as host:
        yield host.facts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    """A host in this process, for tests of `loop_scope="module"`."""
    async with people_host(tmp_path_factory.mktemp("people") / "home") as running:
        yield running


@pytest.fixture
def client(host_facts: dict[str, Any]) -> Client:
    return Client(Path(host_facts["control"]))


@pytest.fixture
def api(host_facts: dict[str, Any]) -> tuple[str, int]:
    """Host and port of the API."""
    name, _, port = host_facts["http"].removeprefix("http://").rpartition(":")
    return name, int(port)
