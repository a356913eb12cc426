"""The official MCP client at `microclaw mcp`, over stdio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.types import CallToolResult
from tests.stories.conftest import TIMEOUT_S, Host, environ_of

from mcp import Client, StdioServerParameters


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
