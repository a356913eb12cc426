"""The gate and its questions: what a role may, who may say yes, the first decision counts, silence is a no."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import msgspec
import pytest
from msgspec.structs import replace
from tests.host.auth.conftest import asked

from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.events import AskedProgram
from microclaw.host.auth.approvals import MAX_DETAIL_CHARS, MAX_DETAIL_LINES, MAX_PENDING_A_PERSON, Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, Outcome, PendingApproval
from microclaw.host.auth.gate import TAINTED_NOTE, Gate
from microclaw.host.auth.people import MQTT, OWNER, WithAutomation
from microclaw.host.cluster.questions import ClusterQuestions
from microclaw.host.operations.operation import Permission
from microclaw.host.store.people import Person
from microclaw.host.store.schedules import AllowedAction

ADA = Person("p-ada", "Ada", "member")
BOB = Person("p-bob", "Bob", "member")
GUEST = Person("p-g", "Gus", "guest")
READ = Permission.READ
ACT = Permission.ACT
RISKY = Permission.RISKY


@pytest.fixture
def circle() -> dict[str, Person]:
    """The known people."""
    return {person.person_id: person for person in (OWNER, ADA, BOB, GUEST)}


@pytest.fixture
def approvals(circle: dict[str, Person]) -> Approvals:
    return Approvals(timeout_s=60, roles=circle)


@pytest.fixture
def gate(circle: dict[str, Person], approvals: Approvals) -> Gate:
    return Gate(circle, approvals)


async def admit(gate: Gate, who: str, permission: Permission, *, tainted: bool = False) -> None:
    async with asyncio.timeout(60):
        await gate.admit(who, permission, "do it", tainted=tainted, detail=("pin: 4",), channel="t", chat_id="1")


def ask(approvals: Approvals, detail: tuple[str, ...] = ()) -> asyncio.Task[ApprovalOutcome]:
    return asyncio.create_task(approvals.ask("owner", "do it", detail, channel="t", chat_id="1"))


async def test_what_a_role_may_is_not_asked_for_and_what_it_may_not_is_refused_without_a_question(
    gate: Gate, approvals: Approvals
) -> None:
    heard: list[object] = []
    approvals.listen(heard.append)
    for who, permission, tainted in (("owner", READ, True), ("owner", ACT, False), ("p-ada", ACT, False)):
        await admit(gate, who, permission, tainted=tainted)
    await admit(gate, "p-g", READ, tainted=True)
    for who, permission in (("p-g", ACT), ("p-g", RISKY), ("mallory", READ), ("", RISKY)):
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


async def test_always_asks_for_every_act_and_where_nobody_can_be_asked_it_is_refused(
    circle: dict[str, Person], approvals: Approvals
) -> None:
    gate = Gate(circle, approvals, always_ask=True)
    await admit(gate, "owner", READ)
    waiting = asyncio.ensure_future(admit(gate, "p-ada", ACT))
    (pending,) = await asked(approvals)
    del circle["p-ada"]  # a yes for somebody who was removed meanwhile counts nothing
    approvals.decide(pending.approval_id, approved=True, by="owner")
    with pytest.raises(PermissionRefused):
        await waiting
    await admit(Gate(), "owner", ACT)
    with pytest.raises(PermissionRefused):
        await admit(Gate(), "owner", RISKY)


async def test_an_automation_acts_and_is_refused_whatever_needs_a_yes_or_an_owner(circle: dict[str, Person]) -> None:
    gate, always = (Gate(WithAutomation(circle, MQTT), always_ask=ask) for ask in (False, True))
    await admit(gate, MQTT.person_id, READ)
    await admit(gate, MQTT.person_id, ACT)
    for its, permission, tainted in ((gate, RISKY, False), (gate, ACT, True), (always, ACT, False)):
        with pytest.raises(PermissionRefused):
            await admit(its, MQTT.person_id, permission, tainted=tainted)
    for who in (MQTT.person_id, "p-ada", "p-g", "mallory"):
        with pytest.raises(PermissionRefused):
            gate.check_owner(who, "make a token")
    gate.check_owner("owner", "make a token")
    with pytest.raises(PermissionRefused):  # no other gate knows it
        Gate(circle).check(MQTT.person_id, READ, "look")


@pytest.mark.parametrize("end", ["time", "cancelled", "withdrawn", "host stops"])
async def test_who_hears_no_decision_does_nothing_and_nothing_stays(end: str) -> None:
    approvals = Approvals(timeout_s=0.01 if end == "time" else 60)
    heard: list[PendingApproval | ApprovalOutcome] = []
    approvals.listen(heard.append)
    task = ask(approvals)
    (pending,) = await asked(approvals)
    if end == "cancelled":
        task.cancel()
    elif end == "withdrawn":
        approvals.withdraw(pending.approval_id)
    elif end == "host stops":
        approvals.close()
    with pytest.raises(asyncio.CancelledError if end == "cancelled" else PermissionRefused):
        await task
    assert approvals.pending() == ()
    outcome: Outcome = "withdrawn" if end in ("cancelled", "withdrawn") else "expired"
    assert heard == [pending, ApprovalOutcome(pending, outcome, None)]


async def test_one_person_cannot_fill_the_list_and_the_first_decision_counts(approvals: Approvals) -> None:
    tasks = [ask(approvals) for _ in range(MAX_PENDING_A_PERSON)]
    await asked(approvals, MAX_PENDING_A_PERSON)
    with pytest.raises(Overloaded):
        await ask(approvals)
    for pending in approvals.pending():
        approvals.decide(pending.approval_id, approved=True, by="owner")
        with pytest.raises(UnknownName):
            approvals.decide(pending.approval_id, approved=False, by="owner")
    await asyncio.gather(*tasks)


async def test_what_cannot_be_shown_whole_is_not_asked_for(approvals: Approvals) -> None:
    for detail in (("x",) * (MAX_DETAIL_LINES + 1), ("x" * (MAX_DETAIL_CHARS + 1),), ("x\n" * 1001,)):
        with pytest.raises(PermissionRefused):
            await ask(approvals, detail)
    assert approvals.pending() == ()


async def test_a_question_and_the_diff_of_its_program_hold_nothing_that_draws_over_them(approvals: Approvals) -> None:
    program = AskedProgram("lamp", "blink", "b" * 64, (2,), (), 10.0, "a" * 64, ("-a", "+\u202eevil\x1b[A"))
    odd = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # no line ends for compilers
    detail = ("a\nb\x1b[A", "\u202eevil", "x\ty", *(f"// spare:{one}  go();\r\nstop();\rend();" for one in odd))
    asking = approvals.ask("owner", "tell\x1b[2K\rnothing", detail, channel="t", chat_id="1", program=program)
    task = asyncio.create_task(asking)
    (pending,) = await asked(approvals)
    shown = ("// spare:?  go();", "stop();", "end();") * len(odd)
    assert (pending.action, pending.detail) == ("tell?[2K nothing", ("a", "b?[A", "?evil", "x y", *shown))
    assert pending.program == replace(program, diff=("-a", "+?evil?[A"))
    task.cancel()


@pytest.mark.parametrize(("address_chars", "may_stand"), [(40, True), (1_000, False)])
async def test_a_yes_for_all_runs_shows_what_was_read_and_is_refused_if_that_is_long(
    approvals: Approvals, address_chars: int, may_stand: bool
) -> None:
    source = f"web-fetch {'a' * address_chars}"
    standing = AllowedAction(3, "do it", (), (source,))
    task = asyncio.create_task(approvals.ask("owner", "do it", (), channel="t", chat_id="1", standing=standing))
    (pending,) = await asked(approvals)
    assert (f"it has read: {source}" in pending.detail) is may_stand
    if not may_stand:
        with pytest.raises(PermissionRefused):
            approvals.decide(pending.approval_id, approved=True, by="owner", always=True)
    approvals.decide(pending.approval_id, approved=True, by="owner", always=may_stand)
    assert (await task).always is may_stand


async def test_only_a_question_without_a_person_says_that_nobody_was_there_also_at_another_host(
    circle: dict[str, Person], approvals: Approvals
) -> None:
    requests = Mock()
    ClusterQuestions(requests, approvals, circle)
    doors = {call.args[0]: call.args[1:] for call in requests.answer.call_args_list}
    kind, decide_here = doors["decide"]
    for is_there, why in ((True, "it was stopped before a person answered"), (False, "no person was there to answer")):
        task = ask(approvals)
        (pending,) = await asked(approvals)
        if is_there:
            approvals.withdraw(pending.approval_id)
        else:
            sent = msgspec.convert((pending.approval_id, False, "owner", False, True), kind)
            assert [done async for done in decide_here(sent)] == [True]
        with pytest.raises(PermissionRefused, match=why):
            await task
