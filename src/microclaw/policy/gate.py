"""The one gate that every act passes: who may do what. It decides and refuses; it asks nobody and does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from microclaw.errors import PermissionRefused


class Permission(StrEnum):
    """What a tool or command needs: look, act on a board, or something that cannot be taken back."""

    READ = "read"
    ACT = "act"
    RISKY = "risky"


class Effect(StrEnum):
    """What becomes of a second run: nothing changed at all, the same state again, or the effect twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may ask for things."""

    name: str
    may: frozenset[Permission]


OWNER = Principal("owner", frozenset({Permission.READ, Permission.ACT}))


class Gate:
    """Knows the principals; a name it does not know may do nothing."""

    def __init__(self, principals: Iterable[Principal] = (OWNER,)) -> None:
        self._principals = {principal.name: principal for principal in principals}

    def check(self, principal: str, permission: Permission, action: str) -> None:
        """Raise PermissionRefused unless `principal` may do `action` ("deploy blink to virtual-1")."""
        known = self._principals.get(principal)
        if known is None:
            names = ", ".join(sorted(self._principals))
            raise PermissionRefused(
                f"{principal!r} is nobody this host knows, refused: {action}", next_step=f"known principals: {names}"
            )
        if permission in known.may:
            return
        if permission is Permission.RISKY:
            raise PermissionRefused(
                f"{action} is risky and needs an approval",
                next_step="approvals come with a later version; do it by hand at the board if you must",
            )
        raise PermissionRefused(
            f"{principal} may not {permission}, refused: {action}", next_step="ask the owner of this host"
        )
