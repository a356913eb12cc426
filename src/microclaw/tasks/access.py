"""The rights to run code and to see tasks. It runs nothing."""

from __future__ import annotations

from typing import Final

from microclaw.auth.people import Person, Roles
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.store.tasks import TaskRow
from microclaw.tasks.live_task import DEVICE
from microclaw.tasks.service import TaskService

MAY_RUN: Final = frozenset({"owner", "member"})
"""Guests look, and behind an automation stands nobody who could be asked what the code is for."""


def check_may_run(roles: Roles, person_id: str) -> Person:
    """The person. Raises PermissionRefused."""
    person = roles.get(person_id)
    if person is None or person.role not in MAY_RUN:
        who = "this person" if person is None else f"{person.name} ({person.role})"
        raise PermissionRefused(f"{who} may not run code on this host", next_step="ask the owner of this host")
    return person


def may_still_run(roles: Roles, person_id: str) -> bool:
    """True if a task of this asker goes on: its person may have been removed or have another role since."""
    person = roles.get(person_id)
    return person_id.startswith(DEVICE) or (person is not None and person.role in MAY_RUN)


def seen_by(roles: Roles, person_id: str) -> str | None:
    """The person whose tasks this one sees: themselves, or None (everybody) for an owner."""
    person = roles.get(person_id)
    return None if person is not None and person.role == "owner" else person_id


async def check_sees(tasks: TaskService, roles: Roles, person_id: str, number: int) -> TaskRow:
    """Its row. Raises UnknownName, also for a task of somebody else."""
    row = await tasks.row(number)
    if seen_by(roles, person_id) not in (None, row.person_id):
        raise UnknownName(f"there is no task {number}", next_step="see yours: microclaw task list")
    return row
