"""Whole hosts of a database in one process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microclaw.api.parts import HostParts
from microclaw.app import running_host
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.client import Client
from microclaw.config.load import load_settings
from microclaw.config.settings import ClusterSettings, LinkSettings

LIMIT_S = 60.0


@dataclass(frozen=True)
class WholeHost:
    host: HostParts
    client: Client

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST with a body, else GET, on its control socket."""
        if body is None:
            return await asyncio.to_thread(self.client.get, path)
        return await asyncio.to_thread(self.client.post, path, body)

    async def until(self, path: str, condition: Callable[[Any], object]) -> Any:
        async with asyncio.timeout(LIMIT_S):
            while not condition(found := await self.ask(path)):  # noqa: ASYNC110  another host sets no event here
                await asyncio.sleep(0.05)
        return found


def copy_authority(first: Path, home: Path) -> None:
    identity = home / "identity"
    for folder in (home, identity):
        folder.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(first / "identity" / AUTHORITY_FILE, identity)


@asynccontextmanager
async def host_of(url: str, home: Path, *, like: Path | None = None) -> AsyncIterator[WholeHost]:
    """Its name is that of its home. It has the authority of the home `like`."""
    if like is not None:
        copy_authority(like, home)
    settings = load_settings({}, home=home, http_port=0, link=LinkSettings(port=0))
    async with running_host(replace(settings, cluster=ClusterSettings(database=url, host=home.name))) as host:
        yield WholeHost(host, Client(settings.control_socket))
