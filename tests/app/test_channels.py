"""The gateway within the host: who comes in, and its end with the host's."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.config.settings import GatewaySettings


async def test_the_token_in_the_data_folder_opens_the_gateway_and_its_clients_are_told_of_the_end(
    tmp_path: Path,
) -> None:
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=GatewaySettings(port=0))
    async with asyncio.timeout(60), running_host(settings) as host:
        address = host.channels.gateway
        assert address is not None
        assert stat.S_IMODE(settings.gateway_token.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {settings.gateway_token.read_text().strip()}"}
        client = await connect(address, proxy=None, open_timeout=10, additional_headers=headers)
        await client.send(json.dumps({"type": "ping", "ts": 7}))
        assert json.loads(await client.recv()) == {"type": "pong", "ts": 7}
        assert host.channels.clients() == 1
        with pytest.raises(InvalidStatus, match="401"):
            async with connect(address, proxy=None, open_timeout=10):
                pass
    await client.wait_closed()
    assert client.close_code == 1001
    with pytest.raises(OSError, match="Connect call failed"):
        async with connect(address, proxy=None, open_timeout=5):
            pass


async def test_an_open_gateway_asks_for_no_token_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = GatewaySettings(port=0, open=True)
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=gateway)
    async with asyncio.timeout(60), running_host(settings) as host:
        assert host.channels.gateway_open
        assert host.channels.gateway is not None
        async with connect(host.channels.gateway, proxy=None, open_timeout=10) as client:
            await client.send(json.dumps({"type": "ping", "ts": 7}))
            assert json.loads(await client.recv()) == {"type": "pong", "ts": 7}
    assert caplog.records


async def test_a_gateway_that_is_switched_off_does_not_listen(tmp_path: Path) -> None:
    gateway = GatewaySettings(port=0, open=True, enabled=False)
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=gateway)
    async with asyncio.timeout(60), running_host(settings) as host:
        assert host.channels.gateway is None
