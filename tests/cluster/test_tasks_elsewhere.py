"""Tasks, requests that wait and jobs of other hosts of a cluster: seen, ended, refused where their host is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cluster.leases import Leases, Seat, caught_up
from tests.cluster.nats_servers import NatsServer
from tests.cluster.test_roles import LIMIT_S, RoleHost, host_with
from tests.cluster.two_hosts import wire_to

from microclaw.api.jobs import Feed, Jobs
from microclaw.api.requests_elsewhere import RequestsElsewhere
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.clock import now_ms
from microclaw.cluster.connection import connected
from microclaw.cluster.host_requests import HostRequests
from microclaw.cluster.shared_store import shared_store
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.config.settings import Limits, TaskSettings
from microclaw.errors import Overloaded, StoreUnreachable, UnknownName
from microclaw.events import ResultFile
from microclaw.sandbox.run import run_sandboxed, sandbox_backend
from microclaw.store.replica import Replica
from microclaw.store.tasks import TaskRow, TaskTable
from microclaw.tasks.elsewhere import PART_BYTES, TasksElsewhere
from microclaw.tasks.folders import TaskFolders
from microclaw.tasks.live import TAIL_BYTES
from microclaw.tasks.order import TaskOrder, language_named
from microclaw.tasks.service import TaskService
from microclaw.wire.host_api import Failure, StreamEvent

LOOP = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


@dataclass
class TaskHost:
    replica: Replica
    requests: HostRequests
    service: TaskService
    table: TaskTable


@dataclass
class Stage:
    """`leases.end` is the end of a lease; what a dead host has goes on, as at one that is cut off."""

    server: NatsServer
    cluster_name: str
    folder: Path
    stack: AsyncExitStack
    leases: Leases
    hosts: dict[str, TaskHost]

    async def host(self, host_id: str, *, url: str | None = None) -> TaskHost:
        name = host_id.rpartition("-")[0]
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        settings = ClusterSettings(nats=url or self.server.url, name=self.cluster_name)
        cluster = await self.stack.enter_async_context(connected(settings, name=host_id))
        store = shared_store(cluster, folder / f"{host_id}.db", host=host_id)
        replica, _ = await self.stack.enter_async_context(store)
        requests = HostRequests(cluster, host_id, lambda one: one not in self.leases.dead)
        table = TaskTable(replica)
        service = TaskService(
            table,
            TaskFolders(folder / "tasks"),
            TaskSettings(),
            run=run_sandboxed,
            check_sandbox=sandbox_backend,
            record=lambda _: None,
            publish=lambda _: None,
            now_ms=now_ms,
            fleet=Seat(host_id, self.leases),
        )
        service.elsewhere = TasksElsewhere(requests, service, name, self.of_name)
        await self.stack.enter_async_context(service.serving())
        await self.stack.enter_async_context(requests.serving())
        self.hosts[host_id] = TaskHost(replica, requests, service, table)
        return self.hosts[host_id]

    def of_name(self, name: str) -> str | None:
        live = [one for one in self.hosts if one.rpartition("-")[0] == name and one not in self.leases.dead]
        return live[-1] if live else None

    async def caught_up(self) -> None:
        await caught_up(*(one.replica for one in self.hosts.values()))


@pytest.fixture
async def stage(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(nats_server, cluster_name, tmp_path, stack, Leases(), {})


async def began(stage: Stage, host: TaskHost, code: str, **more: Any) -> TaskRow:
    order = TaskOrder(
        language=language_named("python").name, code=code, person_id="owner", asked_by="Eva", approval="none", **more
    )
    row = await host.service.submit(order)
    await stage.caught_up()
    return row


async def test_a_task_of_another_host_is_seen_and_ended_there(stage: Stage) -> None:
    a, b = await stage.host("a-0001"), await stage.host("b-0001")
    row = await began(stage, a, LOOP)
    async with asyncio.timeout(LIMIT_S):
        while (view := await b.service.view(row.number, wait_s=25)).output != b"begun\n":
            assert view.row.is_open
    assert (view.row.state, view.ends) == ("running", 6)
    ended = await b.service.cancel(row.number)
    assert (ended.state, ended.ending) == ("cancelled", "cancelled")
    assert a.service.counts()["running"] == 0
    assert await a.table.get(row.number) == ended
    await stage.caught_up()
    assert (await b.service.view(row.number)).output == b"begun\n"
    assert await b.service.cancel(row.number) == ended


async def test_its_files_and_long_output_are_read_at_another_host_and_never_of_the_own_disk(
    stage: Stage, tmp_path: Path
) -> None:
    a, b = await stage.host("a-0001"), await stage.host("b-0001")
    size = PART_BYTES + 1_000
    code = f"open('o.bin', 'wb').write(bytes({size - 3}) + b'end')\nprint('x' * {TAIL_BYTES + 5_000})"
    row = await began(stage, a, code, keep=("o.bin",))
    ended = await a.service.wait(row.number)
    assert ended.state == "done", ended.reason
    await stage.caught_up()
    others = tmp_path / "b" / "tasks" / str(row.number) / "files"  # of a time when this host was alone
    others.mkdir(parents=True)
    (others / "o.bin").write_bytes(b"somebody else's")
    found = await b.service.read_result(ResultFile(row.number, "o.bin", "application/octet-stream", size))
    assert len(found) == size
    assert found[-5:] == b"\0\0end"
    with pytest.raises(UnknownName, match="left no file 'other'"):
        await b.service.file(row.number, "other")
    begin = await b.service.view(row.number)
    assert (begin.begins, len(begin.output), begin.more) == (0, TAIL_BYTES, True)

    stage.leases.end("a-0001")
    with pytest.raises(Overloaded, match="is at the host a, which is away"):
        await b.service.file(row.number, "o.bin")
    tail = await b.service.view(row.number)
    assert (tail.row.state, tail.begins, tail.ends) == ("done", 5_001, TAIL_BYTES + 5_001)


async def test_a_task_of_a_host_that_is_gone_is_refused_and_then_interrupted(stage: Stage) -> None:
    a, b = await stage.host("a-0001"), await stage.host("b-0001")
    row = replace_host(await began(stage, a, "print(1)"), "c-0001")
    number = await a.table.add(row)
    await stage.caught_up()
    for act in (b.service.cancel(number), b.service.view(number, wait_s=5)):
        with pytest.raises(Overloaded, match="is at the host c, which is away: whether it runs is not known"):
            await act
    stage.leases.end("c-0001")
    await b.service.take_up()
    closed = await b.service.cancel(number)
    assert (closed.state, closed.ending, closed.host) == ("failed", "interrupted", "b-0001")
    await stage.caught_up()
    assert (await a.service.view(number)).row == closed


async def test_a_task_of_a_hosts_last_run_is_interrupted_for_who_asks_first(stage: Stage) -> None:
    """Its lease may be good for seconds yet, so that nobody has taken it up."""
    a, b = await stage.host("a-0002"), await stage.host("b-0001")
    row = replace_host(await began(stage, a, "print(1)"), "a-0001")
    for act in ("cancel", "view"):
        number = await b.table.add(row)
        await stage.caught_up()
        found = await (b.service.cancel(number) if act == "cancel" else _row(b.service, number))
        assert (found.state, found.ending) == ("failed", "interrupted")


async def test_an_end_that_the_store_did_not_take_is_told_and_kept_later(stage: Stage) -> None:
    async with wire_to(stage.server.port) as wire:
        a, b = await stage.host("a-0001", url=wire.url), await stage.host("b-0001")
        row = await began(stage, a, LOOP)
        async with asyncio.timeout(LIMIT_S):
            while not (await a.service.view(row.number, wait_s=25)).output:
                continue
        await stage.caught_up()
        wire.cut()
        assert (await a.service.cancel(row.number)).state == "cancelled"
        assert (await a.service.view(row.number)).row.state == "cancelled"
        assert (await b.service.row(row.number)).is_open
        await wire.mend()
        async with asyncio.timeout(LIMIT_S):
            while (await b.service.row(row.number)).is_open:
                with contextlib.suppress(StoreUnreachable):
                    await a.service.take_up()
        assert (await b.service.cancel(row.number)).state == "cancelled"


async def _row(service: TaskService, number: int) -> TaskRow:
    return (await service.view(number)).row


def replace_host(row: TaskRow, host_id: str) -> TaskRow:
    """A running task of that host."""
    return replace(row, number=0, state="running", host=host_id)


async def test_what_waits_or_runs_for_a_request_is_found_at_any_host(stage: Stage) -> None:
    a, b = await stage.host("a-0001"), await stage.host("b-0001")
    others, ended = ["a-0001"], list[str]()
    async with asyncio.TaskGroup() as group:
        waiting, jobs = WaitingRequests(), Jobs(group, Limits())
        RequestsElsewhere(a.requests, waiting, jobs, list, list)
        elsewhere = RequestsElsewhere(
            b.requests, WaitingRequests(), Jobs(group, Limits()), lambda: others, lambda: ended
        )
        kept = KeptRequest("12345678", 200, bytearray(b'{"removed":"lamp"}'), is_over=True)
        waiting.keep("token-1.77", kept)
        assert await elsewhere.find("token-1.77") == kept
        assert await elsewhere.find("token-2.77") is None
        ended.append("c")
        with pytest.raises(UnknownName, match="waited at c, which ended"):
            await elsewhere.find("token-2.77")
        others.append("gone-1")
        for act in (elsewhere.find("token-2.77"), elsewhere.cancel("token-2.5")):
            with pytest.raises(Overloaded, match="gone-1, which did not answer"):
                await act

        async def work(_feed: Feed) -> StreamEvent:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        feed = jobs.start("waits", work, token="token-1", number="token-1.5", cancellable=True)
        assert await elsewhere.cancel("token-1.5") == "cancelled"
        async with asyncio.timeout(LIMIT_S):
            (end,) = [event async for event in feed.read(1.0) if isinstance(event, Failure)]
        assert end.code == "cancelled"


async def test_the_api_of_any_host_knows_tasks_and_requests_of_another(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    url = nats_server.url
    async with host_with(url, cluster_name, tmp_path / "one", "link,agent,api") as one:
        async with host_with(url, cluster_name, tmp_path / "two", "agent,api") as two:
            await two.until("/v1/cluster", lambda answer: len(answer["cluster"]["hosts"]) == 2)
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

            code = "open('o.txt', 'w').write('hello')"
            status, task = await asked(one, token, "POST", "/v1/tasks", {"code": code, "keep": ["o.txt"]})
            assert status == 201
            place = f"/v1/tasks/{task['task']}"
            await two.until("/v1/tasks", lambda answer: answer["tasks"] and answer["tasks"][0]["state"] == "done")
            assert await asked(two, token, "GET", f"{place}/files/o.txt", raw=True) == (200, b"hello")
            assert (await asked(two, token, "GET", f"{place}/files/no.txt"))[0] == 404

            _, task = await asked(one, token, "POST", "/v1/tasks", {"code": LOOP})
            status, ended = await asked(two, token, "DELETE", f"/v1/tasks/{task['task']}")
            assert (status, ended["state"]) == (200, "cancelled")
            assert (await one.ask(f"/v1/tasks/{task['task']}"))["state"] == "cancelled"
        status, told = await asked(one, token, "GET", "/v1/requests/0123456789abcdef")
        assert (status, "two, which ended" in told["error"]["message"]) == (404, True)


async def asked(
    host: RoleHost, token: str, method: str, path: str, body: dict[str, Any] | None = None, *, raw: bool = False
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
    return status, content if raw else json.loads(content)
