"""A board of somebody else's making (tests/link/plain_device.py) that a running host has provisioned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.link.end import End
from tests.link.plain_device import PlainDevice
from tests.stories.conftest import TIMEOUT_S, Host


class Board(PlainDevice):
    """`told` is of its hello."""

    told: dict[str, Any] = {}  # noqa: RUF012  replaced, never changed

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), **self.told}

    @asynccontextmanager
    async def greeted(self, *capabilities: str, **told: Any) -> AsyncIterator[End]:
        """Connected, with the host's welcome."""
        self.told = {"capabilities": list(capabilities), **told}
        async with asyncio.timeout(TIMEOUT_S), self.ready() as end:
            yield end


def provision(host: Host, folder: Path, name: str) -> Board:
    """Provision a board on the command line."""
    file = folder / f"{name}.json"
    made = host.run("device", "provision", name, "--board", "virtual", "--file", str(file), "--address", "127.0.0.1")
    assert made.code == 0, made.err
    found = json.loads(file.read_text())
    return Board(found["host"], found["port"], found["ca_sha256"], found["secret"], token=False)


async def paired(host: Host, folder: Path, name: str) -> Board:
    """It has the certificate that it got for its secret."""
    board = await asyncio.to_thread(provision, host, folder, name)
    await board.pair()
    return board
