"""A background task that dies does not end the host: status, doctor and /healthz tell of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from microclaw.app import running_host
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import AsyncClient


async def test_a_task_that_dies_is_told_and_the_host_goes_on(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home", http_port=None)
    cache = tmp_path / "cache"
    cache.write_text("a file where the C library's folder should be")
    async with (
        asyncio.timeout(60),
        running_host(replace(settings, cache=cache)),
    ):
        client = AsyncClient(settings.control_socket)
        while not (health := await client.get("/healthz"))["failing"]:
            pass
        assert (health["ok"], health["failing"]) == (True, ["build the C library"])
        (_line,) = (await client.get("/v1/status"))["failing"]
