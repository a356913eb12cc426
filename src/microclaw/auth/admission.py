"""Joins who may come in and what is asked for first: people, tokens, sessions, approvals, the gate. Opens no store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.codes import Codes
from microclaw.auth.gate import Gate
from microclaw.auth.passwords import Passwords
from microclaw.auth.people import People
from microclaw.auth.recheck import Freshness, alone
from microclaw.auth.sign_ins import SignIns
from microclaw.auth.tokens import PersonTokens
from microclaw.auth.watches import SESSION_PREFIX, TokenWatch
from microclaw.config.settings import Settings
from microclaw.store.database import Database
from microclaw.store.people import PersonTokenTable


@dataclass(frozen=True, slots=True)
class Admission:
    people: People
    tokens: PersonTokens
    approvals: Approvals
    gate: Gate
    sign_ins: SignIns

    def watching(self, credential_id: str | None) -> AbstractAsyncContextManager[TokenWatch]:
        """The watch of a connection by its token's or session's id; None is neither."""
        if credential_id is not None and credential_id.startswith(SESSION_PREFIX):
            return self.sign_ins.watching(credential_id)
        return self.tokens.watching(credential_id)


async def open_admission(
    settings: Settings, database: Database, record: Record, *, fresh: Freshness = alone
) -> Admission:
    """`record` takes the events of the security log, `fresh` sees to it that what other hosts ended is known."""
    codes = Codes(database)
    people = await People.opened(database, record=record, codes=codes)

    def refused(pending: PendingApproval, by: str, approved: bool) -> None:
        record(_refusal(pending, by, people, approved=approved))

    approvals = Approvals(timeout_s=settings.agent.approval_s, roles=people, on_refused=refused)
    approvals.listen(lambda news: record(_event(news, people)))
    gate = Gate(people, approvals, always_ask=settings.agent.approvals == "always", record=record)
    tokens = PersonTokens(PersonTokenTable(database), people, record=record, fresh=fresh)
    passwords = Passwords(database, people, record=record)
    sign_ins = SignIns(database, people, passwords, codes, record=record)
    people.listen(tokens.recheck)
    people.listen(sign_ins.recheck)
    return Admission(people, tokens, approvals, gate, sign_ins)


def _event(news: PendingApproval | ApprovalOutcome, people: People) -> AuditEvent:
    """A question or its end. Of the act only its tool, or its first word: the rest may be a person's words."""
    pending = news if isinstance(news, PendingApproval) else news.pending
    asked_by, text = _name(pending.person_id, people), _about(pending, people)
    if isinstance(news, PendingApproval):
        return AuditEvent(AuditKind.APPROVAL_ASKED, text, about=pending.approval_id, by=asked_by)
    if news.by is None:
        return AuditEvent(AuditKind.APPROVAL_EXPIRED, text, about=pending.approval_id, by=asked_by)
    return AuditEvent(AuditKind.APPROVAL_DECIDED, f"{news.outcome}: {text}", about=pending.approval_id, by=news.by)


def _refusal(pending: PendingApproval, by: str, people: People, *, approved: bool) -> AuditEvent:
    """Somebody decided what is not theirs to decide."""
    text = f"{'yes' if approved else 'no'} does not count: {_about(pending, people)}"
    return AuditEvent(AuditKind.APPROVAL_REFUSED, text, about=pending.approval_id, by=_name(by, people))


def _about(pending: PendingApproval, people: People) -> str:
    verb = pending.tool or (pending.action.split() or ["?"])[0]
    risky = ", risky" if pending.risky else ""
    return f"{verb}{risky}, asked by {_name(pending.person_id, people)} {pending.where}"


def _name(person_id: str, people: People) -> str:
    person = people.get(person_id)
    return person_id if person is None else person.name
