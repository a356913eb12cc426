"""Hosts of a cluster in one process, each with a connection of its own, and leases of seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.host_facts import HostFacts, LeaseTimes

from microclaw.cluster.hosts import Hosts
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.store.schema import VERSION

LIMIT_S: Final = 60.0
TIMES: Final = LeaseTimes(renew_s=0.2, ttl_s=3.0, work_s=2.0)


def facts_of(
    host_id: str, *, ahead_s: float | Callable[[], float] = 0.0, devices: int = 0, home: str = ""
) -> Callable[[], HostFacts]:
    """What a host tells of itself; its clock is `ahead_s`, which may change, before this machine's."""

    def facts() -> HostFacts:
        wall_ms = int((time.time() + (ahead_s() if callable(ahead_s) else ahead_s)) * 1000)
        name = host_id.rpartition("-")[0]
        own = (devices, 0, None, None, wall_ms, wall_ms)
        return HostFacts(host_id, name, "1.0", VERSION, *own, home=home)

    return facts


@asynccontextmanager
async def host_in(
    url: str,
    cluster_name: str,
    host_id: str,
    *,
    times: LeaseTimes = TIMES,
    ahead_s: float | Callable[[], float] = 0.0,
    devices: int = 0,
    home: str = "",
) -> AsyncIterator[tuple[Cluster, Hosts]]:
    settings = ClusterSettings(nats=url, name=cluster_name, replicas=1)
    async with connected(settings, name=host_id) as cluster:
        facts = facts_of(host_id, ahead_s=ahead_s, devices=devices, home=home)
        async with Hosts.joined(cluster, facts, host_id=host_id, times=times) as hosts:
            yield cluster, hosts


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110  what another host does sets no event here
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(what)
