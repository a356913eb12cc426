"""Requests that wait and jobs of other hosts of a cluster: found, cancelled, refused where their host is gone."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cluster.two_hosts import ClusterHost
from tests.cluster.whole_hosts import LIMIT_S, WholeHost, host_of

from microclaw.api.jobs import Feed, Jobs
from microclaw.api.requests_elsewhere import RequestsElsewhere
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.config.settings import Limits
from microclaw.errors import Overloaded, UnknownName
from microclaw.wire.host_api import Failure, StreamEvent


async def test_what_waits_or_runs_for_a_request_is_found_at_any_host(east: ClusterHost, west: ClusterHost) -> None:
    others, ended = [east.host_id], list[str]()
    a, b = east.requests, west.requests
    async with asyncio.TaskGroup() as group:
        waiting, jobs = WaitingRequests(), Jobs(group, Limits())
        RequestsElsewhere(a, waiting, jobs, list, list)
        elsewhere = RequestsElsewhere(b, WaitingRequests(), Jobs(group, Limits()), lambda: others, lambda: ended)
        kept = KeptRequest("12345678", 200, bytearray(b'{"removed":"lamp"}'), is_over=True)
        waiting.keep("token-1.77", kept)
        assert await elsewhere.find("token-1.77") == kept
        assert await elsewhere.find("token-2.77") is None
        ended.append("c")
        with pytest.raises(UnknownName):
            await elsewhere.find("token-2.77")
        others.append("gone-1")
        for act in (elsewhere.find("token-2.77"), elsewhere.cancel("token-2.5")):
            with pytest.raises(Overloaded):
                await act

        async def work(_feed: Feed) -> StreamEvent:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        feed = jobs.start("waits", work, token="token-1", number="token-1.5", cancellable=True)
        assert await elsewhere.cancel("token-1.5") == "cancelled"
        async with asyncio.timeout(LIMIT_S):
            (end,) = [event async for event in feed.read(1.0) if isinstance(event, Failure)]
        assert end.code == "cancelled"


async def test_the_api_of_any_host_knows_requests_of_another(database_url: str, tmp_path: Path) -> None:
    async with host_of(database_url, tmp_path / "one") as one:
        async with host_of(database_url, tmp_path / "two", like=tmp_path / "one") as two:
            await two.until("/v1/cluster", lambda answer: len(answer["cluster"]["hosts"]) == 2)
            duties = {"consolidation", "rollouts", "unconnected-devices"}
            await two.until(
                "/v1/cluster", lambda answer: {one["name"] for one in answer["cluster"]["duties"]} >= duties
            )
            await one.ask(
                "/v1/devices", {"name": "lamp", "board": "virtual", "transports": ["wasmachine://10.9.9.9:1"]}
            )
            await one.ask("/v1/people", {"name": "ada", "role": "member"})
            token = (await one.ask("/v1/tokens", {"name": "t", "person": "ada"}))["secret"]
            await two.until("/v1/tokens", lambda answer: answer["tokens"])

            status, told = await asked(one, token, "DELETE", "/v1/devices/lamp")
            assert status == 202
            place = f"/v1/requests/{told['request']}"
            assert (await asked(two, token, "GET", place))[1]["state"] == "waiting"
            await two.ask(f"/v1/approvals/{told['approval']['approval_id']}?wait_s=60", {"approved": True})
            status, end = await asked(two, token, "GET", place)
            assert (status, end["status"], end["result"]) == (200, 200, {"removed": "lamp"})
        await one.until("/v1/cluster", lambda answer: len(answer["cluster"]["hosts"]) == 1)
        status, told = await asked(one, token, "GET", "/v1/requests/0123456789abcdef")
        assert status == 404


async def asked(
    host: WholeHost, token: str, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    """Status and answer of one request with the token."""

    def ask() -> tuple[int, bytes]:
        address = urlsplit(host.host.http or "")
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection = HTTPConnection(str(address.hostname), address.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    status, content = await asyncio.to_thread(ask)
    return status, json.loads(content)
