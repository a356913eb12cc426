"""What a host tells of its cluster: in the form of the API, true, and also while NATS is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from fastapi import FastAPI
from microclaw.cluster.connection import connected
from microclaw.cluster.host_facts import HostFacts
from microclaw.cluster.leases import trouble_of
from microclaw.cluster.nats_log import NatsLog
from microclaw.cluster.shared_store import shared_store
from microclaw.store.replica import Replica
from prometheus_client.parser import text_string_to_metric_families
from tests.api.answer_forms import AnswerForms
from tests.cluster.hosts_of_tests import TIMES, facts_of, host_in, until
from tests.cluster.nats_servers import NatsServer

from microclaw.api.cluster_routes import cluster_router
from microclaw.api.metrics import MetricSources
from microclaw.api.metrics_page import metrics_page
from microclaw.api.openapi_document import openapi_of
from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.status import ClusterView, stream_names
from microclaw.config.cluster_settings import ClusterSettings


@asynccontextmanager
async def viewing(
    url: str, cluster_name: str, folder: Path, host_id: str, *, ahead_s: float = 0.0
) -> AsyncIterator[ClusterView]:
    settings = ClusterSettings(nats=url, name=cluster_name, replicas=1)
    async with (
        connected(settings, name=host_id) as cluster,
        shared_store(cluster, folder / f"{host_id}.db", host=host_id) as (replica, log),
        Hosts.joined(
            cluster, facts_with_trouble(host_id, ahead_s, replica, log), host_id=host_id, times=TIMES
        ) as hosts,
        Duties.opened(cluster, hosts) as duties,
    ):
        yield ClusterView(cluster, hosts, duties, replica, log)


def facts_with_trouble(host_id: str, ahead_s: float, replica: Replica, log: NatsLog) -> Callable[[], HostFacts]:
    base = facts_of(host_id, ahead_s=ahead_s)

    def facts() -> HostFacts:
        trouble, remedy = trouble_of(replica, log)
        return msgspec.structs.replace(base(), position=replica.position, trouble=trouble, remedy=remedy)

    return facts


def check_form(answer: object) -> None:
    async def nothing() -> dict[str, object]:
        return {}

    app = FastAPI()
    app.include_router(cluster_router(nothing))
    AnswerForms(openapi_of(app)).check("GET", "/v1/cluster", 200, {"cluster": answer})


async def test_hosts_streams_and_snapshot_are_told(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> None:
    async with viewing(nats_server.url, cluster_name, tmp_path, "a-0001") as view:
        async with viewing(nats_server.url, cluster_name, tmp_path, "b-0001"):
            await until(lambda: view.hosts.is_live("b-0001"), "the other host is not seen")

            async def work(_fence: int) -> None:
                found = await view.status()
                assert found["duties"] == [{"name": "telegram", "holder": "a-0001", "fence": 1}]

            await view.duties.hold("telegram", work)
            found = await view.status()
        check_form(found)
        assert [host["host"] for host in found["hosts"]] == ["a-0001", "b-0001"]
        assert sorted(stream["name"] for stream in found["streams"]) == sorted(stream_names(view.cluster))
        assert all(stream["has_leader"] for stream in found["streams"])
        assert found["snapshot"]["seq"] == 0
        assert found["server"] == nats_server.url.removeprefix("nats://")
        assert (found["connected"], found["member"], found["behind"], found["problems"]) == (True, True, 0, [])


async def test_what_is_wrong_is_said_with_what_to_do(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with viewing(nats_server.url, cluster_name, tmp_path, "a-0001", ahead_s=3_660) as view:
        files = f"OBJ_{view.cluster.stream('FILES')}"
        await view.cluster.jetstream.delete_stream(files)
        found = await view.status()
        check_form(found)
        assert [bool(problem["next"]) for problem in found["problems"]] == [True, True]


async def test_who_is_gone_is_a_problem_until_it_is_back_and_hosts_that_come_later_know_it(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    url = nats_server.url
    async with viewing(url, cluster_name, tmp_path, "a-0001") as view:
        async with (
            host_in(url, cluster_name, "b-0001", devices=93) as (killed, _),
            host_in(url, cluster_name, "c-0001", devices=2),
        ):
            await until(lambda: len(view.hosts.live) == 3, "the others are not seen")
            await killed.client.close()
            await until(lambda: len(view.hosts.live) == 2, "the lease does not end")
        await until(lambda: len(view.hosts.live) == 1, "the goodbye is not heard")
        async with viewing(url, cluster_name, tmp_path, "d-0001") as later:
            await until(lambda: len(later.hosts.ended()) == 2, "the others do not tell who is gone")
            for seen_by in view, later:
                found = await seen_by.status()
                check_form(found)
                ended = [(one["host"], one["devices"], one["in_order"]) for one in found["ended"]]
                assert sorted(ended) == [("b-0001", 93, False), ("c-0001", 2, True)]
                (_problem,) = found["problems"]
                assert seen_by.gauges()["hosts_gone"] == 1
        async with host_in(url, cluster_name, "b-0002"):
            await until(lambda: view.hosts.is_live("b-0002"), "the host is not back")
            assert [one.host_id for one in view.hosts.ended()] == ["d-0001", "c-0001"]


async def test_the_metrics_have_the_cluster(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> None:
    sources = MetricSources(devices=lambda: 0, kept=lambda: (), listeners=lambda: 0, link=None, depths=dict)
    assert b"microclaw_cluster" not in metrics_page(sources), "a host alone has none"
    async with viewing(nats_server.url, cluster_name, tmp_path, "a-0001") as view:
        await view.replica.write(lambda store: store.execute("CREATE TABLE one (a)").close())
        sources = MetricSources(
            devices=lambda: 0, kept=lambda: (), listeners=lambda: 0, link=None, depths=dict, cluster=view.gauges
        )
        families = text_string_to_metric_families(metrics_page(sources).decode())
        found = {one.name: one.samples[0].value for one in families if one.name.startswith("microclaw_cluster")}
    assert found["microclaw_cluster_hosts"] == found["microclaw_cluster_connected"] == 1
    assert found["microclaw_cluster_member"] == 1
    assert found["microclaw_cluster_entries_behind"] == found["microclaw_cluster_conflicts"] == 0
    assert found["microclaw_cluster_entries"] == 1
