"""The gate: what a role may, what is asked for first, and who may say yes."""

from __future__ import annotations

import asyncio

import pytest
from tests.auth.conftest import asked

from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import TAINTED_NOTE, Gate, Permission
from microclaw.auth.people import MQTT, OWNER, Person, WithAutomation
from microclaw.errors import PermissionRefused

ADA, BOB, GUEST = Person("p-ada", "Ada", "member"), Person("p-bob", "Bob", "member"), Person("p-g", "Gus", "guest")
READ, ACT, RISKY = Permission.READ, Permission.ACT, Permission.RISKY


class Circle:
    """Four people."""

    def get(self, person_id: str) -> Person | None:
        return next((p for p in (OWNER, ADA, BOB, GUEST) if p.person_id == person_id), None)


@pytest.fixture
def approvals() -> Approvals:
    return Approvals(timeout_s=5, roles=Circle())


@pytest.fixture
def gate(approvals: Approvals) -> Gate:
    return Gate(Circle(), approvals)


async def admit(gate: Gate, who: str, permission: Permission, *, tainted: bool = False) -> None:
    async with asyncio.timeout(60):
        await gate.admit(who, permission, "do it", tainted=tainted, detail=("pin: 4",), channel="t", chat_id="1")


@pytest.mark.parametrize(
    ("who", "permission", "tainted"),
    [("owner", READ, True), ("owner", ACT, False), ("p-ada", ACT, False), ("p-g", READ, True)],
)
async def test_what_a_role_may_is_not_asked_for(gate: Gate, who: str, permission: Permission, tainted: bool) -> None:
    await admit(gate, who, permission, tainted=tainted)


@pytest.mark.parametrize(("who", "permission"), [("p-g", ACT), ("p-g", RISKY), ("mallory", READ), ("", RISKY)])
async def test_what_a_role_may_not_is_refused_without_a_question(
    gate: Gate, approvals: Approvals, who: str, permission: Permission
) -> None:
    heard: list[object] = []
    approvals.listen(heard.append)
    with pytest.raises(PermissionRefused) as caught:
        await admit(gate, who, permission, tainted=True)
    assert caught.value.next_step
    assert heard == []


@pytest.mark.parametrize(
    ("who", "permission", "tainted", "decider", "counts"),
    [
        ("owner", RISKY, False, "owner", True),
        ("owner", ACT, True, "owner", True),
        ("p-ada", ACT, True, "p-ada", True),
        ("p-ada", ACT, True, "owner", True),
        ("p-ada", RISKY, False, "owner", True),
        ("p-ada", RISKY, True, "p-ada", False),
        ("p-ada", ACT, True, "p-bob", False),
        ("p-ada", ACT, True, "p-g", False),
        ("owner", ACT, True, "p-ada", False),
        ("owner", RISKY, True, "mallory", False),
    ],
)
async def test_only_a_yes_of_who_may_decide_counts_and_everybody_may_take_the_own_question_back(
    gate: Gate, approvals: Approvals, who: str, permission: Permission, tainted: bool, decider: str, counts: bool
) -> None:
    waiting = asyncio.ensure_future(admit(gate, who, permission, tainted=tainted))
    (pending,) = await asked(approvals)
    why = (TAINTED_NOTE,) if tainted and permission is ACT else ()
    assert (pending.action, pending.detail, pending.channel, pending.chat_id) == ("do it", ("pin: 4", *why), "t", "1")
    if counts:
        approvals.decide(pending.approval_id, approved=True, by=decider)
        await waiting
        return
    with pytest.raises(PermissionRefused):
        approvals.decide(pending.approval_id, approved=True, by=decider)
    assert approvals.pending() == (pending,)
    approvals.decide(pending.approval_id, approved=False, by=who)
    with pytest.raises(PermissionRefused):
        await waiting


async def test_always_asks_for_every_act_and_where_nobody_can_be_asked_it_is_refused(approvals: Approvals) -> None:
    gate = Gate(Circle(), approvals, always_ask=True)
    await admit(gate, "owner", READ)
    waiting = asyncio.ensure_future(admit(gate, "owner", ACT))
    approvals.decide((await asked(approvals))[0].approval_id, approved=True, by="owner")
    await waiting
    await admit(Gate(), "owner", ACT)
    with pytest.raises(PermissionRefused):
        await admit(Gate(), "owner", RISKY)


async def test_a_yes_for_somebody_who_was_removed_meanwhile_counts_nothing() -> None:
    people = {person.person_id: person for person in (OWNER, ADA)}
    approvals = Approvals(timeout_s=5, roles=people)
    asking = asyncio.create_task(admit(Gate(people, approvals), "p-ada", RISKY))
    (pending,) = await asked(approvals)
    del people["p-ada"]
    approvals.decide(pending.approval_id, approved=True, by="owner")
    with pytest.raises(PermissionRefused):
        await asking


async def test_an_automation_acts_and_is_refused_whatever_needs_a_yes_or_an_owner() -> None:
    gate = Gate(WithAutomation(Circle(), MQTT))
    await admit(gate, MQTT.person_id, READ)
    await admit(gate, MQTT.person_id, ACT)
    always = Gate(WithAutomation(Circle(), MQTT), always_ask=True)
    for its, permission, tainted in ((gate, RISKY, False), (gate, ACT, True), (always, ACT, False)):
        with pytest.raises(PermissionRefused):
            await admit(its, MQTT.person_id, permission, tainted=tainted)
    for who in (MQTT.person_id, "p-ada", "p-g", "mallory"):
        with pytest.raises(PermissionRefused):
            gate.check_owner(who, "make a token")
    gate.check_owner("owner", "make a token")
    with pytest.raises(PermissionRefused):  # no other gate knows it
        Gate(Circle()).check(MQTT.person_id, READ, "look")
