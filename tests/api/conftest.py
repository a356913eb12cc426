"""A real host over real sockets, one for a module's tests: `microclaw up` with a virtual board."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.api.people_host import PeopleHost, people_host

from microclaw.cli.child import Child
from microclaw.operations.client import Client


@dataclass(frozen=True)
class Answer:
    """Of a request over a plain connection."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def host_facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The ready document of a running host with virtual-1."""
    home = tmp_path_factory.mktemp("home")
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    words = ["microclaw", "--json", "--home", str(home), "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=environ) as child:
        facts, _ = child.wait_ready()
        yield facts


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
