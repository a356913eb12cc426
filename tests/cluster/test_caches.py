"""Over a real NATS server: what one host writes ends, closes and changes what another has in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cluster.leases import replica_of
from tests.cluster.nats_servers import NatsServer
from tests.cluster.two_hosts import ClusterHost
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.audit import no_record
from microclaw.auth.admission import open_admission
from microclaw.config.load import load_settings
from microclaw.errors import ConfigError
from microclaw.wire.link.frame import CloseCode


async def test_a_device_that_is_revoked_at_one_host_is_closed_at_the_one_that_it_is_connected_to(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    async with lamp.connected():
        await lamp.until_ready()
        assert await west.plane.plane.revoke("lamp") == 1
        assert await lamp.until_closed() == CloseCode.REVOKED
    await until(lambda: east.plane.links.online == ())


async def test_a_name_that_two_hosts_give_at_once_is_one_devices(east: ClusterHost, west: ClusterHost) -> None:
    adding = (host.plane.registry.add("bench", "virtual", []) for host in (east, west))
    added = await asyncio.gather(*adding, return_exceptions=True)
    (error,) = (outcome for outcome in added if isinstance(outcome, BaseException))
    assert isinstance(error, ConfigError)
    assert error.message == "there is a device named bench already"
    await until(lambda: all("bench" in [one.name for one in host.plane.registry.list()] for host in (east, west)))


async def test_a_person_who_is_removed_at_one_host_is_nobody_at_the_other(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    settings = load_settings({}, home=tmp_path)
    async with (
        replica_of(nats_server, cluster_name, tmp_path, "a") as a,
        replica_of(nats_server, cluster_name, tmp_path, "b") as b,
    ):
        here, there = [await open_admission(settings, copy, no_record) for copy in (a, b)]
        ada = await there.people.add("Ada", "member")
        await until(lambda: here.people.get(ada.person_id) == ada)
        token = await here.tokens.who(await here.tokens.create("script", ada.person_id))
        assert token is not None
        async with here.watching(token.token_id) as watch:
            assert watch.check()
            await there.people.remove("Ada")
            async with asyncio.timeout(60):
                await watch.until_ended()
        await until(lambda: here.people.get(ada.person_id) is None)
