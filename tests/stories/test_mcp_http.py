"""The official MCP client, over stdio and over HTTP: tools, resources, a program put and reverted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client
from tests.stories.conftest import TIMEOUT_S, Host
from tests.stories.doors import Door, blink, level, member_of, running
from tests.stories.mcp_stdio import outcome, over_stdio

from mcp import Client

TOOLS = {
    *("list-devices", "device-info", "device-status", "check-device", "free-pins", "catalog", "query-wasm-apps"),
    *("read-edges", "read-logs", "gpio-get", "adc-read", "i2c-scan", "i2c-read", "gpio-set", "pwm-set", "try-program"),
    *("deploy-wasm-app", "switch-program", "set-program-times", "act-on-boards", "restart-device"),
    *("uninstall-wasm-app", "undo", "correct", "schedule-add", "schedule-list", "schedule-remove", "notify"),
}


@pytest.fixture(scope="module")
def url(host: Host) -> str:
    return f"{host.facts['http']}/mcp"


@pytest.fixture(scope="module")
def owner(host: Host) -> Door:
    return member_of(host, "owner", "owner")


@asynccontextmanager
async def over_http(url: str, token: str | None) -> AsyncIterator[Client]:
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def apps(client: Client) -> str:
    return str((await client.call_tool("query-wasm-apps", {})).structured_content)


async def test_a_program_over_http_is_put_seen_removed_and_taken_back(host: Host, url: str, owner: Door) -> None:
    async with over_http(url, owner.token) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        put = await client.call_tool("deploy-wasm-app", {"sourceCode": blink(5), "appName": "blink"})
        assert outcome(put) == "done"
        assert isinstance(put.structured_content, dict)
        assert put.structured_content["evidence"][0]["kind"] == "counted"
        assert "blink" in await apps(client)
        assert outcome(await client.call_tool("uninstall-wasm-app", {"appName": "blink"})) == "done"
        assert await asyncio.to_thread(running, host) == []
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert await asyncio.to_thread(running, host) == ["blink"]
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert await asyncio.to_thread(running, host) == []


async def test_resources_and_prompts_are_those_of_the_page(url: str, owner: Door) -> None:
    async with over_http(url, owner.token) as client:
        listed = {str(one.uri) for one in (await client.list_resources()).resources}
        assert {"microclaw://devices", "microclaw://headers/microclaw.h", "microclaw://examples"} <= listed
        assert {one.name for one in (await client.list_prompts()).prompts} >= {"write-program", "why-does-it-misbehave"}
        for uri in ("microclaw://devices", "microclaw://devices/virtual-1", "microclaw://devices/virtual-1/pins"):
            assert (await client.read_resource(uri)).contents
        tried = await client.call_tool("try-program", {"sourceCode": blink(4)})
        links = [one for one in tried.content if one.type == "resource_link"]
        assert (await client.read_resource(str(links[0].uri))).contents


async def test_what_is_wrong_is_a_result_with_an_error_and_nothing_is_done(host: Host, url: str, owner: Door) -> None:
    async with over_http(url, owner.token) as client:
        for source in (blink(26), "oops", "void on_init(void) { *(volatile int *)0x7fffffff = 1; }"):
            bad = await client.call_tool("deploy-wasm-app", {"sourceCode": source, "appName": "bad"})
            assert bad.is_error
        assert (await client.call_tool("gpio-set", {"pin": 99, "level": 1})).is_error
        assert (await client.call_tool("gpio-set", {"pin": 5})).is_error
    assert await asyncio.to_thread(running, host) == []
    assert await asyncio.to_thread(level, host, 5) == 0


async def test_a_guest_reads_over_http_and_changes_nothing(host: Host, url: str) -> None:
    guest = await asyncio.to_thread(member_of, host, "gus", "guest")
    async with over_http(url, guest.token) as client:
        assert not (await client.call_tool("gpio-get", {"pin": 5})).is_error
        assert (await client.call_tool("gpio-set", {"pin": 5, "level": 1})).is_error
    assert await asyncio.to_thread(level, host, 5) == 0


async def test_foreign_pages_and_wrong_tokens_are_refused(url: str, owner: Door) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    right = {**accept, "Authorization": f"Bearer {owner.token}"}
    async with httpx2.AsyncClient() as http:
        assert (await http.post(url, json=body, headers=accept)).status_code == 401
        wrong = {**accept, "Authorization": "Bearer mc_wrong"}
        assert (await http.post(url, json=body, headers=wrong)).status_code == 401
        assert (await http.post(url, json=body, headers={**right, "Origin": "http://evil.example"})).status_code == 403
        assert (await http.post(url, json=body, headers={**right, "Host": "evil.example"})).status_code in (403, 421)


async def test_over_stdio_the_same_tools_drive_the_same_host(host: Host) -> None:
    async with over_stdio(host) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        assert outcome(await client.call_tool("gpio-set", {"pin": 7, "level": 1})) == "done"
        assert await asyncio.to_thread(level, host, 7) == 1
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert await asyncio.to_thread(level, host, 7) == 0
        waits = await client.call_tool("restart-device", {})
        assert waits.is_error or outcome(waits) == "waiting"
