"""Joins who may come in and what is asked for first: people, tokens, sessions, approvals, the gate. Opens no store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.approved_acts import ActEnd
from microclaw.auth.codes import Codes
from microclaw.auth.gate import Gate
from microclaw.auth.passwords import Passwords
from microclaw.auth.people import People, name_of
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


async def open_admission(settings: Settings, database: Database, record: Record) -> Admission:
    """`record` takes the events of the security log."""
    codes = Codes(database)
    people = await People.opened(database, record=record, codes=codes)

    def note(kind: AuditKind, pending: PendingApproval, text: str, by: str) -> None:
        record(AuditEvent(kind, f"{text}{pending.told(people)}", about=pending.approval_id, by=by))

    def refused(pending: PendingApproval, by: str, approved: bool) -> None:
        text = f"{'yes' if approved else 'no'} does not count: "
        note(AuditKind.APPROVAL_REFUSED, pending, text, name_of(people, by))

    def changed(news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            note(AuditKind.APPROVAL_ASKED, news, "", name_of(people, news.person_id))
        elif news.by is None:
            note(AuditKind.APPROVAL_EXPIRED, news.pending, "", name_of(people, news.pending.person_id))
        else:
            note(AuditKind.APPROVAL_DECIDED, news.pending, f"{news.outcome}: ", news.by)

    def ended(pending: PendingApproval, end: ActEnd) -> None:
        """Of a failure only its code."""
        state = f"{end.state} ({end.code})" if end.code else end.state
        note(AuditKind.APPROVAL_DECIDED, pending, f"approved, then {state}: ", name_of(people, pending.person_id))

    approvals = Approvals(timeout_s=settings.agent.approval_s, roles=people, on_refused=refused)
    approvals.listen(changed)
    approvals.ends.listen(ended)
    gate = Gate(people, approvals, always_ask=settings.agent.approvals == "always", record=record)
    tokens = PersonTokens(PersonTokenTable(database), people, record=record)
    passwords = Passwords(database, people, record=record)
    sign_ins = SignIns(database, people, passwords, codes, record=record)
    people.listen(tokens.recheck)
    people.listen(sign_ins.recheck)
    return Admission(people, tokens, approvals, gate, sign_ins)
