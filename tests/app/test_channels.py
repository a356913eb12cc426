"""The gateway's door within the host: its address first, its server once the host answers, its end with the host's."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.channels.conftest import echo, served_inbox
from websockets.asyncio.client import connect

from microclaw.app import running_host
from microclaw.app.channels import GatewayListener
from microclaw.audit import no_record
from microclaw.auth.admission import open_admission
from microclaw.config.load import load_settings
from microclaw.config.settings import GatewaySettings
from microclaw.store.database import Database

Make = Callable[[socket.socket], GatewayListener]


@asynccontextmanager
async def doors(home: Path) -> AsyncIterator[Make]:
    async with Database.open(home / "people.db") as database, served_inbox(home, echo) as inbox:
        admission = await open_admission(load_settings({}, home=home), database, no_record)

        def door(listener: socket.socket) -> GatewayListener:
            return GatewayListener(GatewaySettings(port=0), inbox, admission, listener)

        yield door


async def test_a_client_that_comes_before_the_door_opens_is_served_once_it_does(tmp_path: Path) -> None:
    async with asyncio.timeout(60), doors(tmp_path) as door_on, asyncio.TaskGroup() as group:
        door = door_on(socket.create_server(("127.0.0.1", 0)))
        async with door.serving(group):
            coming = asyncio.ensure_future(connect(door.address, proxy=None, open_timeout=10).__aenter__())
            await asyncio.sleep(0)
            assert door.clients == 0
            door.open()
            client = await coming
            await client.send(json.dumps({"type": "ping", "ts": 7}))
            while json.loads(await client.recv()).get("ts") != 7:
                pass
            assert door.clients == 1
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
