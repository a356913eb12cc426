"""Questions for approval at any host of a cluster: shown, decided once with the decider's rights, and their end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from tests.cluster.two_hosts import ClusterHost
from tests.cluster.whole_hosts import LIMIT_S
from tests.store.two_hosts import until

from microclaw.auth.approvals import Approvals
from microclaw.auth.approved_acts import approved_act
from microclaw.auth.people import OWNER, Person
from microclaw.cluster.questions import RemoteQuestions
from microclaw.cluster.requests import HostRequests
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


@pytest.fixture
def pair(east: ClusterHost, west: ClusterHost) -> Pair:
    made = []
    for host in (east, west):
        approvals = Approvals(timeout_s=LIMIT_S, roles=Everybody())
        questions = RemoteQuestions(host.requests, approvals, host.hosts.others)
        made.append(OneHost(host.requests, approvals, questions))
    return Pair(made[0], made[1])


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
    await until(pair.a.approvals.pending)
    (found,) = await pair.b.questions.pending()
    assert found.host == "east-0001"
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
    await until(pair.a.approvals.pending)
    approval_id = pair.a.approvals.pending()[0].approval_id
    for by in ("p-guest", "p-member", "p-nobody"):
        with pytest.raises(PermissionRefused):
            await pair.b.questions.decide(approval_id, approved=True, by=by)
    assert len(await pair.b.questions.pending()) == 1
    await pair.b.questions.decide(approval_id, approved=False, by="p-member")  # an own request may be taken back
    with pytest.raises(PermissionRefused):
        await asyncio.wait_for(act, LIMIT_S)


async def test_a_host_that_does_not_answer_is_named(pair: Pair) -> None:
    with_gone = RemoteQuestions(pair.b.requests, pair.b.approvals, lambda: ["east-0001", "gone"])
    with pytest.raises(Overloaded):
        await with_gone.decide("12345678", approved=True, by="owner")
    with pytest.raises(UnknownName):
        await pair.b.questions.decide("12345678", approved=True, by="owner")
