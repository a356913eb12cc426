"""A home of its own with hosts that end with their users, and the official MCP client over real stdio."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp import Client, StdioServerParameters
from microclaw.cli.child import Child

TIMEOUT_S = 90.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def clean_environ(home: Path) -> dict[str, str]:
    """This environment without model keys, or somebody's home."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "MICROCLAW_HOME": str(home)}


@dataclass
class Place:
    """A home; `client()` is an assistant that starts `microclaw mcp` in it."""

    home: Path

    @asynccontextmanager
    async def client(self, *words: str, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "microclaw", "mcp", *words], env=clean_environ(self.home)
        )

        async with asyncio.timeout(TIMEOUT_S):
            async with Client(server, mode=mode, **options) as client:
                yield client


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty home without a host."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Place(home)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running host with virtual-1, as a person started it; its ready document."""
    home = tmp_path_factory.mktemp("home")
    words = ["microclaw", "--json", "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        yield child.wait_ready()[0]


@pytest.fixture
def beside(host: dict[str, Any]) -> Place:
    """The home of the running host."""
    return Place(Path(host["home"]))
