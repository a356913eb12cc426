"""Questions for approval at any host of a cluster: shown, decided once with the decider's rights, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace

import pytest
from microclaw.cluster.host_requests import HostGone, HostRequests
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import NatsServer
from tests.cluster.stores import open_cluster
from tests.cluster.whole_hosts import LIMIT_S

from microclaw.auth.approvals import Approvals
from microclaw.auth.approved_acts import approved_act
from microclaw.auth.people import OWNER, Person
from microclaw.cluster.questions import RemoteQuestions
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.events import AskedProgram, Edge

PEOPLE = {
    "owner": OWNER,
    "p-member": replace(OWNER, person_id="p-member", name="Mia", role="member"),
    "p-guest": replace(OWNER, person_id="p-guest", name="Gus", role="guest"),
}
PROGRAM = AskedProgram("lamp", "blink", "ab" * 32, (2,), (Edge(1.5, 2, 1),), 3000.0, diff=("-a", "+b"))


class Everybody:
    def get(self, person_id: str) -> Person | None:
        return PEOPLE.get(person_id)


@dataclass
class OneHost:
    requests: HostRequests
    approvals: Approvals
    questions: RemoteQuestions


@dataclass
class Pair:
    a: OneHost
    b: OneHost
    live: set[str]


@pytest.fixture
async def pair(nats_server: NatsServer, cluster_name: str) -> AsyncIterator[Pair]:
    live = {"a", "b"}
    async with AsyncExitStack() as stack:
        made = []
        for name, other in (("a", "b"), ("b", "a")):
            cluster = await stack.enter_async_context(open_cluster(nats_server.url, cluster_name, host=name))
            requests = HostRequests(cluster, name, live.__contains__)
            approvals = Approvals(timeout_s=LIMIT_S, roles=Everybody())
            questions = RemoteQuestions(requests, approvals, lambda other=other: [other])  # type: ignore[misc]
            await stack.enter_async_context(requests.serving())
            made.append(OneHost(requests, approvals, questions))
        yield Pair(made[0], made[1], live)


def asked(host: OneHost, person: str = "p-member", *, risky: bool = False, size: int = 1) -> asyncio.Task[None]:
    async def act() -> None:
        with approved_act():
            detail = ["pin 2" * size]
            await host.approvals.ask(
                person, "install blink", detail, channel="tg", chat_id="1", risky=risky, program=PROGRAM
            )

    return asyncio.create_task(act(), name="asks")


async def test_a_question_is_shown_and_decided_at_another_host_once(pair: Pair) -> None:
    act = asked(pair.a, size=9_000)
    await until(pair.a.approvals.pending, "it waits")
    (found,) = await pair.b.questions.pending()
    assert found.host == "a"
    assert found.pending == pair.a.approvals.pending()[0]
    assert found.pending.program == PROGRAM
    assert 0 < found.left_s <= LIMIT_S
    approval_id = found.pending.approval_id
    results = await asyncio.gather(
        *(pair.b.questions.decide(approval_id, approved=True, by="owner") for _ in range(3)), return_exceptions=True
    )
    assert len([one for one in results if not isinstance(one, BaseException)]) == 1
    assert {type(one) for one in results if isinstance(one, BaseException)} == {UnknownName}
    await asyncio.wait_for(act, LIMIT_S)
    assert await pair.b.questions.pending() == ()
    told = await pair.b.questions.find(approval_id)
    assert told is not None
    assert told.left_s == 0
    end = await pair.b.questions.end(told, 5.0)
    assert end is not None
    assert end.state == "done"


async def test_who_may_not_decide_here_may_not_there(pair: Pair) -> None:
    act = asked(pair.a, risky=True)
    await until(pair.a.approvals.pending, "it waits")
    approval_id = pair.a.approvals.pending()[0].approval_id
    for by in ("p-guest", "p-member", "p-nobody"):
        with pytest.raises(PermissionRefused):
            await pair.b.questions.decide(approval_id, approved=True, by=by)
    assert len(await pair.b.questions.pending()) == 1
    await pair.b.questions.decide(approval_id, approved=False, by="p-member")  # an own request may be taken back
    with pytest.raises(PermissionRefused):
        await asyncio.wait_for(act, LIMIT_S)


async def test_a_host_that_does_not_answer_is_named(pair: Pair) -> None:
    with_gone = RemoteQuestions(pair.b.requests, pair.b.approvals, lambda: ["a", "gone"])
    with pytest.raises(Overloaded):
        await with_gone.decide("12345678", approved=True, by="owner")
    with pytest.raises(UnknownName):
        await pair.b.questions.decide("12345678", approved=True, by="owner")


async def test_answers_come_as_they_are_made_and_end_with_who_asks(pair: Pair) -> None:
    left = asyncio.Event()

    async def count(body: bytes) -> AsyncGenerator[bytes, None]:
        try:
            number = 0
            while True:
                yield body + b"%d" % number
                number += 1
                await asyncio.sleep(0)
        finally:
            left.set()

    async def large(body: bytes) -> AsyncGenerator[bytes, None]:
        yield body * 3

    pair.a.requests.handlers |= {"count": count, "large": large}
    async with aclosing(pair.b.requests.ask("a", "count", b"n")) as answers:
        assert [await anext(answers) for _ in range(3)] == [b"n0", b"n1", b"n2"]
    await asyncio.wait_for(left.wait(), LIMIT_S)
    body = b"x" * 1_500_000
    assert [one async for one in pair.b.requests.ask("a", "large", body)] == [body * 3]
    with pytest.raises(HostGone):
        await anext(pair.b.requests.ask("nobody", "large", b""))
