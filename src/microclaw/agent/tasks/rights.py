"""Who may run code as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microclaw.errors import PermissionRefused

if TYPE_CHECKING:
    from microclaw.host.auth.people import Roles
    from microclaw.host.store.people import Person


# The beginning of the id of a caller that is a device.
DEVICE: Final = "device:"


MAY_RUN: Final = frozenset({"owner", "member"})
"""Guests and automations cannot run code."""


def check_may_run(roles: Roles, person_id: str) -> Person:
    """Return the person. Raises PermissionRefused if they may not run code."""
    person = roles.get(person_id)
    if person is not None and person.role in MAY_RUN:
        return person
    name = "this person"
    if person is not None:
        name = f"{person.name} ({person.role})"
    raise PermissionRefused(f"{name} may not run code on this host", next_step="ask the owner of this host")


def may_still_run(roles: Roles, person_id: str) -> bool:
    """Return True if a task of this asker continues: its person may be removed or have another role now."""
    person = roles.get(person_id)
    return person_id.startswith(DEVICE) or (person is not None and person.role in MAY_RUN)
