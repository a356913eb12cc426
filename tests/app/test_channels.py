"""The gateway within the host: what opens it, and its end with the host's."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.config.settings import GatewaySettings


@pytest.mark.parametrize("is_open", [False, True])
async def test_the_folders_token_opens_the_gateway_or_none_is_asked_for_and_its_clients_are_told_of_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_open: bool
) -> None:
    gateway = GatewaySettings(port=0, open=is_open)
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=gateway)
    async with asyncio.timeout(60), running_host(settings) as host:
        address = host.channels.gateway
        assert address is not None
        headers = {}
        if not is_open:
            assert stat.S_IMODE(settings.gateway_token.stat().st_mode) == 0o600
            headers = {"Authorization": f"Bearer {settings.gateway_token.read_text().strip()}"}
        client = await connect(address, proxy=None, open_timeout=10, additional_headers=headers)
        await client.send(json.dumps({"type": "ping", "ts": 7}))
        assert json.loads(await client.recv()) == {"type": "pong", "ts": 7}
        assert bool(caplog.records) is is_open
    await client.wait_closed()
    assert client.close_code == 1001
