"""Joins who may come in and what is asked for first: people, tokens, approvals, the gate. Opens no store."""

from __future__ import annotations

from dataclasses import dataclass

from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Gate
from microclaw.auth.people import People
from microclaw.auth.tokens import PersonTokens
from microclaw.config.settings import Settings
from microclaw.store.database import Database
from microclaw.store.people import PeopleTable, PersonTokenTable


@dataclass(frozen=True, slots=True)
class Admission:
    people: People
    tokens: PersonTokens
    approvals: Approvals
    gate: Gate


async def open_admission(settings: Settings, database: Database) -> Admission:
    people = await People.opened(PeopleTable(database))
    approvals = Approvals(timeout_s=settings.agent.approval_s, roles=people)
    gate = Gate(people, approvals, always_ask=settings.agent.approvals == "always")
    return Admission(people, PersonTokens(PersonTokenTable(database), people), approvals, gate)
