"""The gateway's door within the host: its address first, its server once the host answers, its end with the host's."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.channels.conftest import echo, served_inbox
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from microclaw.app import running_host
from microclaw.app.channels import GatewayListener
from microclaw.audit import no_record
from microclaw.auth.admission import open_admission
from microclaw.config.load import load_settings
from microclaw.config.settings import GatewaySettings
from microclaw.store.database import Database

TOKEN = "mc_" + "l" * 43
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Make = Callable[[socket.socket], GatewayListener]


@asynccontextmanager
async def doors(home: Path) -> AsyncIterator[Make]:
    async with Database.open(home / "people.db") as database, served_inbox(home, echo) as inbox:
        admission = await open_admission(load_settings({}, home=home), database, no_record)
        yield lambda listener: GatewayListener(GatewaySettings(port=0), inbox, admission, listener, TOKEN)


async def test_a_client_that_comes_before_the_door_opens_is_served_once_it_does(tmp_path: Path) -> None:
    async with asyncio.timeout(60), doors(tmp_path) as door_on, asyncio.TaskGroup() as group:
        door = door_on(socket.create_server(("127.0.0.1", 0)))
        async with door.serving(group):
            opening = connect(door.address, proxy=None, open_timeout=10, additional_headers=BEARER)
            coming = asyncio.ensure_future(opening.__aenter__())
            await asyncio.sleep(0)
            assert door.clients() == 0
            door.open()
            client = await coming
            await client.send(json.dumps({"type": "ping", "ts": 7}))
            while json.loads(await client.recv()).get("ts") != 7:
                pass
            assert door.clients() == 1
        await client.wait_closed()
        assert client.close_code == 1001


async def test_a_door_that_was_never_opened_ends_at_once(tmp_path: Path) -> None:
    async with asyncio.timeout(60), doors(tmp_path) as door_on, asyncio.TaskGroup() as group:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            door = door_on(listener)
            async with door.serving(group):
                assert door.address.startswith("ws://127.0.0.1:")


async def test_a_host_that_ends_as_soon_as_it_is_ready_ends_its_gateway(tmp_path: Path) -> None:
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=GatewaySettings(port=0))
    async with asyncio.timeout(30), running_host(settings) as host:
        address = host.channels.gateway
    assert address is not None
    with pytest.raises(OSError, match="Connect call failed"):
        async with connect(address, proxy=None, open_timeout=5):
            pass


async def test_the_token_in_the_data_folder_opens_the_gateway_of_a_host(tmp_path: Path) -> None:
    settings = replace(load_settings({}, home=tmp_path, http_port=None), gateway=GatewaySettings(port=0))
    async with asyncio.timeout(60), running_host(settings) as host:
        address = host.channels.gateway
        assert address is not None
        assert stat.S_IMODE(settings.gateway_token.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {settings.gateway_token.read_text().strip()}"}
        async with connect(address, proxy=None, open_timeout=10, additional_headers=headers) as client:
            await client.send(json.dumps({"type": "ping", "ts": 7}))
            assert json.loads(await client.recv()) == {"type": "pong", "ts": 7}
        with pytest.raises(InvalidStatus, match="401"):
            async with connect(address, proxy=None, open_timeout=10):
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
