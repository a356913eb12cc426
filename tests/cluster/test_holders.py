"""What the store says of devices' connections to hosts that are gone, over a real NATS server."""

from __future__ import annotations

from tests.cluster.two_hosts import ClusterHost, Fleet

from microclaw.link_server.holding import StaleHolders
from microclaw.store.link_holders import LinkHolderTable


async def test_devices_of_a_host_that_stays_away_are_connected_nowhere(east: ClusterHost, fleet: Fleet) -> None:
    table = LinkHolderTable(east.replica)
    async with fleet.host("west") as west:
        stale = StaleHolders(table, fleet.live.__contains__)
        for name in ("lamp", "fan", "door"):
            await west.holding.take(name)
        await east.holding.take("clock")
        await east.until(lambda: east.holding.place_of("door") == "west")
        assert await stale.clear() == 0
        fleet.live.remove("west")
        assert await stale.clear() == 0  # its devices may be on their way to another host
        fence = await east.holding.take("fan")
        assert await stale.clear() == 2
        assert await stale.clear() == 0
        rows = {row.device_id: (row.host, row.fence) for row in await table.since(0)}
        assert {name: host for name, (host, _) in rows.items()} == {
            "lamp": None, "fan": "east", "door": None, "clock": "east"
        }  # fmt: skip
        assert rows["fan"][1] == fence
        assert await table.hosts() == {"east"}
