"""Checks every action: who may do it, and whether it needs an approval first. It carries out nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Unpack

from microclaw.errors import PermissionRefused
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import QuestionContext, current_approval_id
from microclaw.host.auth.people import ONLY_OWNER, PERMISSIONS_BY_ROLE, Roles, is_owner, name_of
from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import ScheduleTable
from microclaw.text import role_words

TAINTED_NOTE: Final = "why it asks: text from outside (a page, a log, a name) was read in this chat"
_NEEDS: Final = {Permission.READ: "look", Permission.ACT: "act", Permission.RISKY: "do what needs a person's yes"}
_BY_A_PERSON: Final = "let a person do it, or first stop the program that is in its way: microclaw app stop NAME"


class Gate:
    """The check of every action of the agent, the API and MCP.

    Without `approvals`, an action that needs an approval is refused.
    """

    def __init__(
        self,
        roles: Roles | None = None,
        approvals: Approvals | None = None,
        *,
        always_ask: bool = False,
        record: Record = no_record,
        schedules: ScheduleTable | None = None,
    ) -> None:
        self._record = record
        self._schedules = schedules
        self._roles = roles or ONLY_OWNER
        self._approvals = approvals
        self._always_ask = always_ask

    def check(self, person_id: str, permission: Permission, action: str) -> None:
        """Raise PermissionRefused unless the role of `person_id` allows `action` ("deploy blink to virtual-1")."""
        person = self._roles.get(person_id)
        if person is None:
            text = f"{person_id[:80]!r} is not known to this host, refused: {action}"
            raise PermissionRefused(text, next_step="who may come in: microclaw person list")
        if permission not in PERMISSIONS_BY_ROLE[person.role]:
            text = f"{person.name} is {role_words(person.role)} and may not {_NEEDS[permission]}, refused: {action}"
            step = _BY_A_PERSON if person.role == "automation" else "ask the owner of this host"
            raise PermissionRefused(text, next_step=step)

    def check_owner(self, person_id: str, action: str) -> None:
        """Raise PermissionRefused unless `person_id` is an owner; only owners change people, tokens and settings."""
        if not is_owner(self._roles, person_id):
            self.note(AuditKind.TOKEN_MISUSED, f"tried to {action}: only an owner may", person_id)
            text = f"{self.name_of(person_id)[:80]} may not {action}: only an owner may"
            raise PermissionRefused(text, next_step="ask the owner of this host")

    def note(self, kind: AuditKind, text: str, person_id: str, *, about: str | None = None) -> None:
        """Write a line of the security log about this person's act, with its approval if it has one."""
        self._record(
            AuditEvent(kind, text, about=about, by=name_of(self._roles, person_id), approval=current_approval_id())
        )

    def name_of(self, person_id: str) -> str:
        """Return the person's name for the security log; the id if the person was removed."""
        return name_of(self._roles, person_id)

    def needs_approval(self, permission: Permission, *, tainted: bool) -> bool:
        """Return True if a person must approve first. `tainted`: the turn has read untrusted text."""
        if permission is Permission.RISKY:
            return True
        return permission is Permission.ACT and (tainted or self._always_ask)

    async def admit(
        self,
        person_id: str,
        permission: Permission,
        action: str,
        *,
        tainted: bool = False,
        detail: Iterable[str] = (),
        channel: str,
        chat_id: str,
        asks: bool = False,
        **context: Unpack[QuestionContext],
    ) -> None:
        """Return when the action may be done, after an approval if it needs one; raises PermissionRefused otherwise.

        If `asks`, it needs one whatever the permission. A `standing` in `context` is what a person may allow, or has
        allowed, for all runs of its schedule.
        """
        self.check(person_id, permission, action)
        if not asks and not self.needs_approval(permission, tainted=tainted):
            return
        if self._approvals is None:
            text = f"{action} needs an approval, and no person can be asked here"
            raise PermissionRefused(text, next_step="run it through the host")
        standing = context.get("standing")
        if self._schedules is not None and standing is not None and await self._schedules.allows(standing):
            return
        is_risky = permission is Permission.RISKY
        lines = tuple(detail)
        if tainted and not is_risky:
            lines += (TAINTED_NOTE,)
        outcome = await self._approvals.ask(
            person_id, action, lines, channel=channel, chat_id=chat_id, risky=is_risky, **context
        )
        # The person may have been removed or got another role meanwhile.
        self.check(person_id, permission, action)
        if self._schedules is not None and standing is not None and outcome.always:
            await self._schedules.allow(standing)
