"""Who somebody is to this host, and what each role may ask for. Keeps no list of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol, TypeAlias

Role: TypeAlias = Literal["owner", "member", "guest"]


class Permission(StrEnum):
    """What a tool or command needs: look, act on a board, or something that cannot be taken back."""

    READ = "read"
    ACT = "act"
    RISKY = "risky"


MAY: Final[Mapping[Role, frozenset[Permission]]] = {
    "owner": frozenset(Permission),
    "member": frozenset(Permission),  # the risky is decided by an owner (policy.approval)
    "guest": frozenset({Permission.READ}),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody this host knows. `person_id` is what messages and tokens carry as their principal."""

    person_id: str
    name: str
    role: Role


OWNER: Final = Person("owner", "owner", "owner")  # who may open the control socket; there from the first start on


class Roles(Protocol):
    """Who is who; policy.people.People is the host's."""

    def get(self, person_id: str) -> Person | None: ...


class OwnerAlone:
    """A host that knows nobody else."""

    def get(self, person_id: str) -> Person | None:
        return OWNER if person_id == OWNER.person_id else None
