"""A token that was ended at one host, shown at a host that is cut off from NATS, or was until a moment ago."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from microclaw.cluster.fresh_identity import FreshIdentity
from microclaw.cluster.shared_store import shared_store
from microclaw.store.replica import Replica
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from tests.cluster.hosts_of_tests import TIMES, facts_of, until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster
from tests.cluster.two_hosts import Wire, wire_to

from microclaw.api.caller import BearerAuth
from microclaw.audit import no_record
from microclaw.auth.admission import Admission, open_admission
from microclaw.cluster.hosts import Hosts
from microclaw.config.load import load_settings
from microclaw.errors import StoreUnreachable
from microclaw.store.devices import DeviceRow, DeviceTable

LIMIT_S = 60.0


class Host:
    """What lets people in at a host, in front of a route that adds a device and one that reads."""

    def __init__(self, admission: Admission, hosts: Hosts, replica: Replica) -> None:
        self.admission = admission
        self.hosts = hosts
        self.devices = DeviceTable(replica)
        self._bearer = BearerAuth(inside=self._route, outside=None, tokens=admission.tokens)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.method == "POST":
            await self.devices.put(DeviceRow("lamp", "lamp", "virtual", (), (), 0))
        await JSONResponse({})(scope, receive, send)

    async def ask(self, method: str, secret: str) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {secret}".encode())]
        scope = {"type": "http", "method": method, "path": "/v1/devices", "headers": headers, "client": ("here", 1)}
        await self._bearer(scope, receive, send)
        return int(sent[0]["status"])


@asynccontextmanager
async def host_at(url: str, cluster_name: str, folder: Path, name: str) -> AsyncIterator[Host]:
    async with (
        open_cluster(url, cluster_name, host=name) as cluster,
        shared_store(cluster, folder / f"{name}.db", host=name) as (replica, _),
        Hosts.joined(cluster, facts_of(name), host_id=name, times=TIMES) as hosts,
    ):
        fresh = FreshIdentity(cluster, hosts, replica, wait_s=LIMIT_S)
        admission = await open_admission(load_settings({}, home=folder), replica, no_record, fresh=fresh)
        yield Host(admission, hosts, replica)


@pytest.fixture
async def wire(nats_server: NatsServer) -> AsyncIterator[Wire]:
    async with wire_to(nats_server.port) as wire:
        yield wire


@pytest.fixture
async def hosts(nats_server: NatsServer, wire: Wire, cluster_name: str, tmp_path: Path) -> AsyncIterator[list[Host]]:
    """One, and one that can be cut off."""
    async with (
        asyncio.timeout(3 * LIMIT_S),
        host_at(nats_server.url, cluster_name, tmp_path, "east") as east,
        host_at(wire.url, cluster_name, tmp_path, "west") as west,
    ):
        yield [east, west]


async def test_an_ended_token_changes_nothing_at_a_host_that_was_cut_off(hosts: list[Host], wire: Wire) -> None:
    east, west = hosts
    secret, other = [await east.admission.tokens.create(name, "owner") for name in ("script", "other")]
    assert await west.ask("POST", secret) == 200
    await west.devices.delete("lamp")
    wire.cut()
    await east.admission.tokens.remove("script")
    await until(lambda: west.hosts.lost, "the lease of the host that is cut off ends")
    assert await west.ask("GET", secret) == 200, "documented: a host that is cut off reads from its copy"
    with pytest.raises(StoreUnreachable):
        await west.ask("POST", secret)
    await wire.mend()
    await until(lambda: not west.hosts.lost, "it is back")
    assert (await west.ask("GET", secret), await west.ask("POST", secret)) == (401, 401)
    assert await east.devices.list() == ()
    assert await west.ask("POST", other) == 200
