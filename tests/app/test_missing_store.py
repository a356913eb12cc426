"""A store that is gone beside an identity is a question: the host does not begin with an empty one by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from microclaw.app import running_host
from microclaw.errors import ConfigError, StoreMissing
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import LinkSettings, Settings


async def run_once(settings: Settings, *, new_store: bool = False) -> str:
    """Start the host and end it; its authority's certificate."""
    async with asyncio.timeout(60), running_host(settings, new_store=new_store):
        return (settings.identity / "authority.pem").read_text()


async def test_a_missing_store_beside_an_identity_is_no_empty_start(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path, http_port=None, link=LinkSettings(port=0))
    first = await run_once(settings)
    for name in ("", "-wal", "-shm"):
        settings.database.with_name(settings.database.name + name).unlink(missing_ok=True)
    with pytest.raises(StoreMissing) as refused:
        await run_once(settings)
    assert "--new-store" in str(refused.value.next_step)
    assert not settings.database.exists()
    assert await run_once(settings, new_store=True) == first, "devices go on trusting the same authority"
    with pytest.raises(ConfigError):
        await run_once(settings, new_store=True)
