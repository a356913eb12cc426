"""Approvals: the first decision counts, silence is a no, and the list is bounded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.auth.conftest import asked

from microclaw.auth.approvals import (
    MAX_DETAIL_CHARS,
    MAX_DETAIL_LINES,
    MAX_PENDING_A_PERSON,
    ApprovalOutcome,
    Approvals,
    PendingApproval,
)
from microclaw.auth.approved_acts import approval_now, approved_act
from microclaw.errors import Overloaded, PermissionRefused, UnknownName
from microclaw.events import AskedProgram


def ask(approvals: Approvals, action: str = "do it", detail: tuple[str, ...] = ()) -> asyncio.Task[None]:
    return asyncio.create_task(approvals.ask("owner", action, detail, channel="t", chat_id="1"))


async def test_an_acts_approval_is_its_own_last_one_or_of_the_act_around_it() -> None:
    ids = iter("abc")
    approvals = Approvals(timeout_s=60, new_id=lambda: next(ids))

    async def asking(*, approved: bool) -> str | None:
        decided = asyncio.create_task(decide(approved=approved))
        with suppress(PermissionRefused):
            await approvals.ask("owner", "do it", (), channel="t", chat_id="1")
        await decided
        return approval_now()

    async def decide(*, approved: bool) -> None:
        (pending,) = await asked(approvals)
        approvals.decide(pending.approval_id, approved=approved, by="owner")

    async def later() -> str | None:
        await release.wait()
        return approval_now()

    release = asyncio.Event()
    assert approval_now() is None
    with approved_act():
        assert await asking(approved=True) == "a"
        background = asyncio.create_task(later())
        with approved_act():
            assert approval_now() == "a"
            assert await asking(approved=True) == "b"
        assert approval_now() == "a"
    assert approval_now() is None
    with approved_act():
        assert approval_now() is None
        assert await asking(approved=False) is None
    release.set()
    assert await background == "a"


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
    assert heard == [pending, ApprovalOutcome(pending, "expired", None)]


async def test_one_person_cannot_fill_the_list() -> None:
    approvals = Approvals(timeout_s=5)
    tasks = [ask(approvals, f"act {number}") for number in range(MAX_PENDING_A_PERSON)]
    await asked(approvals, MAX_PENDING_A_PERSON)
    with pytest.raises(Overloaded):
        await ask(approvals)
    for pending in approvals.pending():
        approvals.decide(pending.approval_id, approved=True, by="owner")
        with pytest.raises(UnknownName):  # the first decision counts
            approvals.decide(pending.approval_id, approved=False, by="owner")
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("detail", [("x",) * (MAX_DETAIL_LINES + 1), ("x" * (MAX_DETAIL_CHARS + 1),), ("x\n" * 1001,)])
async def test_what_cannot_be_shown_whole_is_not_asked_for(detail: tuple[str, ...]) -> None:
    approvals = Approvals(timeout_s=5)
    with pytest.raises(PermissionRefused):
        await approvals.ask("owner", "do it", detail, channel="t", chat_id="1")
    assert approvals.pending() == ()


async def test_a_question_and_the_diff_of_its_program_hold_nothing_that_draws_over_them() -> None:
    approvals = Approvals(timeout_s=5)
    program = AskedProgram("lamp", "blink", "b" * 64, (2,), (), 10.0, "a" * 64, ("-a", "+\u202eevil\x1b[A"))
    odd = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # no line ends for compilers
    detail = ("a\nb\x1b[A", "\u202eevil", "x\ty", *(f"// spare:{one}  go();\r\nstop();\rend();" for one in odd))
    asking = approvals.ask("owner", "tell\x1b[2K\rnothing", detail, channel="t", chat_id="1", program=program)
    task = asyncio.create_task(asking)
    (pending,) = await asked(approvals)
    shown = ("// spare:?  go();", "stop();", "end();") * len(odd)
    assert (pending.action, pending.detail) == ("tell?[2K nothing", ("a", "b?[A", "?evil", "x y", *shown))
    assert pending.program == replace(program, diff=("-a", "+?evil?[A"))
    approvals.decide(pending.approval_id, approved=False, by="owner")
    with pytest.raises(PermissionRefused):
        await task
