"""A cluster's store over a real NATS server, as tests open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cluster.nats_servers import NatsServer

from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.nats_log import NatsLog
from microclaw.cluster.shared_store import shared_store
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.store.replica import Replica


@asynccontextmanager
async def open_cluster(url: str, cluster_name: str, *, host: str = "h1") -> AsyncIterator[Cluster]:
    """A connection of the host `host` to the servers at `url`."""
    settings = ClusterSettings(nats=url, name=cluster_name)
    async with connected(settings, name=f"test {host}") as cluster:
        yield cluster


@asynccontextmanager
async def open_replica(
    server: NatsServer, cluster_name: str, path: Path, *, host: str = "h1"
) -> AsyncIterator[tuple[Replica, NatsLog]]:
    """The copy of the host `host` at `path`, with a connection of its own."""
    async with (
        open_cluster(server.url, cluster_name, host=host) as cluster,
        shared_store(cluster, path, host=host) as (replica, log),
    ):
        yield replica, log
