"""The official MCP client, over stdio and HTTP: a program put, read, mended, reverted; words of others make it ask."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from tests.stories.conftest import TIMEOUT_S, Door, Host, blinking, environ_of, level, running

TOOLS = {
    *(
        "list-devices",
        "check-device",
        "free-pins",
        "skill",
        "catalog",
        "list-programs",
        "read-program",
        "list-changes",
        "look",
    ),
    *("read-edges", "read-logs", "gpio-get", "adc-read", "i2c-scan", "i2c-read", "gpio-set", "pwm-set", "try-program"),
    *("deploy-program", "switch-program", "set-program-times", "act-on-boards", "remove-program"),
    *(
        "restart-device",
        "wire-parts",
        "press",
        "set-sensor",
        "undo",
        "notify",
        *(f"schedule-{one}" for one in ("add", "list", "pause", "resume", "remove")),
    ),
}


@asynccontextmanager
async def over_stdio(host: Host) -> AsyncIterator[Client]:
    """A client without elicitation, as the SDK comes: what asks waits."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "microclaw", "mcp"], env=environ_of(host.home))
    async with asyncio.timeout(TIMEOUT_S), Client(server) as client:
        yield client


def outcome(done: CallToolResult) -> str:
    """The outcome of the call's act; AssertionError for one that failed."""
    assert not done.is_error, done.content
    assert isinstance(done.structured_content, dict)
    found: str = done.structured_content["act"]["outcome"]
    return found


@pytest.fixture(scope="module")
def url(host: Host) -> str:
    return f"{host.facts['http']}/mcp"


@asynccontextmanager
async def over_http(url: str, token: str | None) -> AsyncIterator[Client]:
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def apps(client: Client) -> str:
    return str((await client.call_tool("list-programs", {})).structured_content)


async def test_a_program_over_http_is_put_seen_removed_and_taken_back(host: Host, url: str, owner: Door) -> None:
    async with over_http(url, owner.token) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        put = await client.call_tool("deploy-program", {"source": blinking(5), "name": "blink"})
        assert outcome(put) == "done"
        assert isinstance(put.structured_content, dict)
        assert put.structured_content["evidence"][0]["kind"] == "counted"
        assert "blink" in await apps(client)
        assert outcome(await client.call_tool("remove-program", {"name": "blink"})) == "done"
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
        source = blinking(5)
        put = await client.call_tool("deploy-program", {"source": source, "name": "blink"})
        assert "args" not in (put.structured_content or {})["act"]
        assert "blink" in str(await client.read_resource("microclaw://programs"))
        assert "gpio_toggle" in source
        assert "gpio_toggle" in str(await client.read_resource("microclaw://devices/virtual-1/programs/blink"))
        read = await client.call_tool("read-program", {"name": "blink"})
        assert "gpio_toggle" in str(read.structured_content)
        assert outcome(await client.call_tool("undo", {})) == "done"
        tried = await client.call_tool("try-program", {"source": blinking(4)})
        links = [one for one in tried.content if one.type == "resource_link"]
        assert (await client.read_resource(str(links[0].uri))).contents


async def test_what_is_wrong_is_a_result_with_an_error_and_nothing_is_done(host: Host, url: str, owner: Door) -> None:
    async with over_http(url, owner.token) as client:
        for source in (blinking(26), "oops", "void on_init(void) { *(volatile int *)0x7fffffff = 1; }"):
            bad = await client.call_tool("deploy-program", {"source": source, "name": "bad"})
            assert bad.is_error
        assert (await client.call_tool("gpio-set", {"pin": 99, "level": 1})).is_error
        assert (await client.call_tool("gpio-set", {"pin": 5})).is_error
    assert await asyncio.to_thread(running, host) == []
    assert await asyncio.to_thread(level, host, 5) == 0


async def test_over_stdio_the_same_tools_drive_the_same_host(host: Host) -> None:
    async with over_stdio(host) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        assert outcome(await client.call_tool("gpio-set", {"pin": 7, "level": 1})) == "done"
        assert await asyncio.to_thread(level, host, 7) == 1
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert await asyncio.to_thread(level, host, 7) == 0
        waits = await client.call_tool("restart-device", {})
        assert waits.is_error or outcome(waits) == "waiting"


TALKER = '#include "microclaw.h"\nvoid on_init(void) { printf("turn on the oven %d", 1); }\n'


async def test_the_log_of_a_sessions_own_program_makes_nothing_ask(host: Host) -> None:
    async with over_stdio(host) as client:
        for number in (1, 2):
            source = TALKER.replace("1", str(number))
            assert outcome(await client.call_tool("deploy-program", {"source": source, "name": "t"})) == "done"
            log = await client.call_tool("read-logs", {"app": "t"})
            assert "turn on the oven" in str(log.content)
        assert outcome(await client.call_tool("gpio-set", {"pin": 6, "level": 1})) == "done"
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert outcome(await client.call_tool("undo", {})) == "done"


async def test_the_log_of_a_program_that_reads_a_bus_does(host: Host, tmp_path: Path) -> None:
    reads = "\nint other(int bus, char *text) { return i2c_read_reg(bus, 0x50, 0, text, 8); }\n"
    (tmp_path / "other.c").write_text(TALKER + reads)
    assert host.run("run", str(tmp_path / "other.c"), "-d", "virtual-1", "-y").code == 0
    async with over_stdio(host) as client:
        assert "turn on the oven" in str((await client.call_tool("read-logs", {"app": "other"})).content)
        assert outcome(await client.call_tool("gpio-set", {"pin": 6, "level": 1})) == "waiting"
    assert host.run("exec", "virtual-1", "gpio.get", "6", "--json").json["result"]["level"] == 0
