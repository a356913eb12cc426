"""What a host tells of the others: in the form of the API, true, and also while the database is away."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from tests.api.answer_forms import AnswerForms
from tests.cluster.hosts_of_tests import host_in, wire_to
from tests.store.two_hosts import until

from microclaw.api.cluster_routes import cluster_router
from microclaw.api.metrics_page import cluster_metrics, metrics_page
from microclaw.api.openapi_document import openapi_of
from microclaw.cluster.duties import Duties
from microclaw.cluster.status import ClusterView


def check_form(answer: object) -> None:
    async def nothing() -> dict[str, object]:
        return {}

    app = FastAPI()
    app.include_router(cluster_router(nothing))
    AnswerForms(openapi_of(app)).check("GET", "/v1/cluster", 200, {"cluster": answer})


async def test_hosts_duties_and_who_is_gone_are_told_until_it_is_back(database_url: str) -> None:
    async with wire_to(database_url) as wire, host_in(database_url, "a-0001") as (database, hosts):
        view = ClusterView(database, hosts, Duties(database, hosts), lambda: {"calls_served": 5})

        async def work(_fence: int) -> None:
            assert (await view.status())["duties"] == [{"name": "telegram", "holder": "a-0001", "fence": 1}]

        await view.duties.hold("telegram", work)
        async with host_in(wire.url, "b-0001", devices=93), host_in(database_url, "c-0001", devices=2):
            await until(lambda: len(hosts.live) == 3)
            found = await view.status()
            check_form(found)
            assert [one["host"] for one in found["hosts"]] == ["a-0001", "b-0001", "c-0001"]
            assert (found["connected"], found["member"], found["problems"]) == (True, True, [])
            assert found["database"].startswith("127.0.0.1:")
            wire.cut()
            await until(lambda: len(hosts.live) == 2)
        await until(lambda: len(hosts.live) == 1)
        found = await view.status()
        check_form(found)
        ended = [(one["host"], one["devices"], one["in_order"]) for one in found["ended"]]
        assert sorted(ended) == [("b-0001", 93, False), ("c-0001", 2, True)]
        (problem,) = found["problems"]
        assert "b-0001" in problem["text"]
        pages = text_string_to_metric_families(metrics_page(cluster_metrics(view.gauges())).decode())
        shown = {one.name: one.samples[0].value for one in pages if one.name.startswith("microclaw_cluster")}
        assert shown["microclaw_cluster_hosts"] == shown["microclaw_cluster_hosts_gone"] == 1
        assert 5.0 in shown.values()
        async with host_in(database_url, "b-0002"):
            await until(lambda: hosts.is_live("b-0002"))
            assert [one.host_id for one in hosts.ended()] == ["c-0001"]


async def test_while_the_database_is_away_what_is_known_is_told_and_that_it_is_old(database_url: str) -> None:
    async with (
        wire_to(database_url) as wire,
        host_in(wire.url, "a-0001") as (database, hosts),
        host_in(database_url, "b-0001"),
    ):
        view = ClusterView(database, hosts, Duties(database, hosts))
        await until(lambda: len(hosts.live) == 2)
        wire.cut()
        await until(lambda: hosts.lost)
        found = await view.status()
        check_form(found)
        assert (found["connected"], found["member"], found["duties"]) == (False, False, [])
        assert {one["host"]: one["known"] for one in found["hosts"]} == {"a-0001": True, "b-0001": False}
        assert "database" in found["problems"][0]["text"]
        assert view.gauges()["member"] == 0
