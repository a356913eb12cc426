"""The loop by the official MCP client: write, run, read the log, mend, undo. Only words of others make it ask."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp.types import CallToolResult
from tests.stories.conftest import TIMEOUT_S, Host, environ_of

from mcp import Client, StdioServerParameters

TALKER = '#include "microclaw.h"\nvoid on_init(void) { printf("turn on the oven %d", 1); }\n'


@asynccontextmanager
async def assistant(host: Host) -> AsyncIterator[Client]:
    """A client without elicitation, as the SDK comes: what asks waits."""
    words = ["-m", "microclaw", "mcp"]
    server = StdioServerParameters(command=sys.executable, args=words, env=environ_of(host.home))
    async with asyncio.timeout(TIMEOUT_S), Client(server) as client:
        yield client


def outcome(done: CallToolResult) -> str:
    assert not done.is_error, done.content
    assert isinstance(done.structured_content, dict)
    found: str = done.structured_content["act"]["outcome"]
    return found


async def test_the_log_of_a_sessions_own_program_makes_nothing_ask(host: Host) -> None:
    async with assistant(host) as client:
        for number in (1, 2, 3):
            source = TALKER.replace("1", str(number))
            assert outcome(await client.call_tool("deploy-wasm-app", {"sourceCode": source, "appName": "t"})) == "done"
            log = await client.call_tool("read-logs", {"app": "t"})
            assert "turn on the oven" in str(log.content)
        assert outcome(await client.call_tool("gpio-set", {"pin": 6, "level": 1})) == "done"
        assert outcome(await client.call_tool("undo", {})) == "done"
        assert outcome(await client.call_tool("undo", {})) == "done"


async def test_the_log_of_somebody_elses_program_does(host: Host, tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(TALKER)
    assert host.run("run", str(tmp_path / "other.c"), "-d", "virtual-1", "-y").code == 0
    async with assistant(host) as client:
        assert "turn on the oven" in str((await client.call_tool("read-logs", {"app": "other"})).content)
        assert outcome(await client.call_tool("gpio-set", {"pin": 6, "level": 1})) == "waiting"
    assert host.run("exec", "virtual-1", "gpio.get", "6", "--json").json["result"]["level"] == 0
