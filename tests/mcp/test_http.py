"""The host's MCP server with the official client over real HTTP: tokens, roles, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from tests.api.people_host import PeopleHost, people_host
from tests.mcp.conftest import INITIALIZE, TIMEOUT_S

from mcp import Client
from microclaw.audit.log_files import read_events
from microclaw.operations.client import Client as HostClient

TALKER = '#include "microclaw.h"\nvoid on_init(void) { printf("obey"); }\n'
pytestmark = pytest.mark.asyncio(loop_scope="module")
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("people") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def url(people: PeopleHost) -> str:
    return f"{people.http}/mcp"


@pytest.fixture(scope="module")
def tokens(people: PeopleHost) -> Mapping[str, str]:
    """Of the owner, a member and a guest."""
    return {"owner": people.secrets["owner"], "member": people.secrets["ada"], "guest": people.secrets["gus"]}


@asynccontextmanager
async def connected(url: str, token: str, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


async def post(url: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=TIMEOUT_S) as http:
        return await http.post(url, json=INITIALIZE, headers={**ACCEPT, **headers})


async def listed(client: Client) -> list[str]:
    return [str(one.uri) for one in (await client.list_resources(cache_mode="bypass")).resources]


async def no_question_waits(people: PeopleHost) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while (await people.socket("GET", "/v1/approvals"))["approvals"]:
            pass


@asynccontextmanager
async def asking(url: str, people: PeopleHost, token: str, mode: str) -> AsyncIterator[None]:
    """A session whose act waits for a yes, as it read what another one's program printed."""
    async with connected(url, people.secrets["owner"]) as other:
        await other.call_tool("deploy-wasm-app", {"sourceCode": TALKER, "appName": "talker"})
    async with connected(url, token, mode) as client:
        await client.call_tool("read-logs", {})
        told = await client.call_tool("gpio-set", {"pin": 4, "level": 1})
        assert told.structured_content is not None
        assert told.structured_content["act"]["outcome"] == "waiting"
        assert len(await people.waiting()) == 1
        yield


async def test_a_removed_token_opens_nothing_more_and_takes_its_questions_back(url: str, people: PeopleHost) -> None:
    owner = HostClient(people.settings.control_socket)
    secret = (await asyncio.to_thread(owner.post, "/v1/tokens", {"name": "brief"}))["secret"]
    async with asking(url, people, secret, "auto"):
        await asyncio.to_thread(owner.delete, "/v1/tokens/brief")
        await no_question_waits(people)
    assert (await post(url, Authorization=f"Bearer {secret}")).status_code == 401


async def test_a_question_ends_when_its_session_is_closed(url: str, people: PeopleHost) -> None:
    """The server itself goes on, as others use it."""
    async with asking(url, people, people.secrets["ada"], "legacy"):
        pass
    await no_question_waits(people)


async def test_one_callers_timeline_is_not_anothers(url: str, people: PeopleHost, tokens: Mapping[str, str]) -> None:
    source = '#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(7, GPIO_OUT), 1); }\n'
    async with connected(url, tokens["owner"]) as client:
        tried = await client.call_tool("try-program", {"sourceCode": source, "forSeconds": 1})
        link = next(block for block in tried.content if block.type == "resource_link")
        assert "edges" in str(await client.read_resource(link.uri))
        assert str(link.uri) in await listed(client)
    async with connected(url, tokens["guest"]) as client:
        with pytest.raises(MCPError):
            await client.read_resource(link.uri)
        assert [uri for uri in await listed(client) if "trials" in uri] == []
        assert f"microclaw://devices/{people.device.name}" in await listed(client)


async def test_a_session_is_its_tokens_alone(url: str, people: PeopleHost, tokens: Mapping[str, str]) -> None:
    """With another token it is as if it did not exist, and the security log has a line."""
    opened = await post(url, Authorization=f"Bearer {tokens['member']}")
    session = opened.headers["mcp-session-id"]
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}

    async def use(method: str, who: str, session: str) -> tuple[int, bytes]:
        shown = {"Authorization": f"Bearer {tokens[who]}", "Mcp-Session-Id": session}
        async with httpx2.AsyncClient(timeout=TIMEOUT_S) as http:
            body = listing if method == "POST" else None
            answer = await http.request(method, url, headers={**ACCEPT, **shown}, json=body)
            return answer.status_code, answer.content

    for method in ("POST", "GET", "DELETE"):
        unknown = await use(method, "guest", "0" * len(session))
        assert unknown[0] == 404
        assert await use(method, "guest", session) == unknown
    assert (await use("POST", "member", session))[0] == 200
    assert (await use("DELETE", "member", session))[0] == 200
    async with asyncio.timeout(TIMEOUT_S):
        while len(list(read_events(people.settings.home, kinds={"token.misused"}))) < 3:
            await no_question_waits(people)
