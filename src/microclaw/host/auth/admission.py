"""Joins what decides who may enter: people, tokens, sessions, approvals and the gate. Opens no store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from msgspec import Struct

from microclaw.host.audit.event import Record
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import People
from microclaw.host.auth.sign_ins import SignIns
from microclaw.host.auth.tokens import SESSION_PREFIX, PersonTokens, TokenWatch
from microclaw.host.config.settings import Settings
from microclaw.host.store.database import Database
from microclaw.host.store.people import PersonTokenTable
from microclaw.host.store.schedules import ScheduleTable


class Admission(Struct, frozen=True):
    """Everything that checks who a caller is and what they may do."""

    people: People
    tokens: PersonTokens
    approvals: Approvals
    gate: Gate
    sign_ins: SignIns

    def watch(self, credential_id: str | None) -> AbstractAsyncContextManager[TokenWatch]:
        """Watch a connection by the id of its token or session; None if it used neither."""
        if credential_id is not None and credential_id.startswith(SESSION_PREFIX):
            return self.sign_ins.watch(credential_id)
        return self.tokens.watch(credential_id)


async def open_admission(settings: Settings, database: Database, record: Record) -> Admission:
    """Build the admission of a store; `record` receives the events of the security log."""
    people = await People.open(database, record=record)

    approvals = Approvals(timeout_s=settings.agent.approval_s, roles=people, record=record)
    always_ask = settings.agent.approvals == "always"
    schedules = ScheduleTable(database)
    gate = Gate(people, approvals, always_ask=always_ask, record=record, schedules=schedules)
    tokens = PersonTokens(PersonTokenTable(database), people, record=record)
    sign_ins = SignIns(database, people, record=record)
    people.listen(tokens.recheck)
    people.listen(sign_ins.recheck)
    return Admission(people, tokens, approvals, gate, sign_ins)
