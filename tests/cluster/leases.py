"""Two hosts in one process: each with its replica of one shared store, over a real NATS server.

A host dies when its tasks are abandoned and the fleet says so: what it had in memory is gone, its rows are there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer

from microclaw.cluster.connection import connected
from microclaw.cluster.shared_store import shared_store
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.store.replica import Replica

PATIENCE_S = 60


@dataclass
class Leases:
    """Who is alive, as all hosts see it. `end` is what the end of a lease is."""

    dead: set[str] = field(default_factory=set)
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def end(self, host_id: str) -> None:
        self.dead.add(host_id)
        for left in self.listeners:
            left(host_id)


@dataclass
class Seat:
    """A `microclaw.live_hosts.Fleet`."""

    host_id: str
    leases: Leases

    def is_live(self, host_id: str) -> bool:
        return host_id not in self.leases.dead

    def listen(self, left: Callable[[str], None]) -> None:
        self.leases.listeners.append(left)


@asynccontextmanager
async def replica_of(server: NatsServer, cluster_name: str, folder: Path, host: str) -> AsyncIterator[Replica]:
    (folder / host).mkdir(exist_ok=True)
    settings = ClusterSettings(nats=server.url, name=cluster_name)
    async with (
        connected(settings, name=host) as cluster,
        shared_store(cluster, folder / host / "cluster.db", host=host) as (replica, _),
    ):
        yield replica


async def caught_up(*replicas: Replica) -> None:
    """Every replica has what each of them has now."""
    last = max(replica.position for replica in replicas)
    await until(lambda: all(replica.position >= last for replica in replicas), "the replicas are not alike")
