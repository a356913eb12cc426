"""The people a host knows: their addresses in channels, and codes to let a new person in. It sends no message."""

from __future__ import annotations

import math
import re
import secrets
import time
import unicodedata
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, Protocol, TypeAlias, cast

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.errors import ConfigError, Overloaded, PermissionRefused, UnknownName, over_limit
from microclaw.store.people import PeopleTable, PersonRow
from microclaw.text import MAX_PERSON_NAME, look_alike, person_name, role_words

Role: TypeAlias = Literal["owner", "member", "guest", "read-only"]


class Permission(StrEnum):
    """What a tool or command needs: look, act on a board, or something that cannot be taken back."""

    READ = "read"
    ACT = "act"
    RISKY = "risky"


MAY: Final[Mapping[Role | Literal["automation"], frozenset[Permission]]] = {
    "owner": frozenset(Permission),
    "member": frozenset(Permission),  # the risky is decided by an owner (auth.approvals)
    "guest": frozenset({Permission.READ}),
    "read-only": frozenset({Permission.READ}),  # by the routes of api.access alone: it neither chats nor calls a tool
    "automation": frozenset({Permission.READ, Permission.ACT}),  # nobody is there who could be asked
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody this host knows. `person_id` is what messages and tokens carry; an automation is no person."""

    person_id: str
    name: str
    role: Role | Literal["automation"]


RANK: Final[Mapping[str, int]] = {"read-only": 0, "guest": 1, "member": 2, "owner": 3}
_LIMIT_MARK: Final = "~"  # in no id: those are "owner" and p-XXXXXXXX


def limited_id(person_id: str, most: Role) -> str:
    """The id of somebody who acts for this person with no more than the role `most`: `owner~guest`.

    It has conversations and a memory of its own, so that what may do less also knows less.
    """
    return f"{person_id}{_LIMIT_MARK}{most}"


def person_behind(person_id: str) -> str:
    """Whose budget and name it is: the person's own id, also of a limited one."""
    return person_id.partition(_LIMIT_MARK)[0]


OWNER: Final = Person("owner", "owner", "owner")  # who may open the control socket; there from the first start on


class Roles(Protocol):
    """Who is who; People is the host's."""

    def get(self, person_id: str) -> Person | None: ...


class OwnerAlone:
    """The roles of a host that knows its owner alone."""

    def get(self, person_id: str) -> Person | None:
        return OWNER if person_id == OWNER.person_id else None


MQTT: Final = Person("mqtt", "MQTT", "automation")


class WithAutomation:
    """People, and an automation that is nobody: it has a role, and no address, token or approval."""

    def __init__(self, people: Roles, automation: Person) -> None:
        self._people, self._automation = people, automation

    def get(self, person_id: str) -> Person | None:
        return self._automation if person_id == self._automation.person_id else self._people.get(person_id)


CODE_DIGITS: Final = 6
CODE_S: Final = 600.0
CODES_A_CHANNEL: Final = 64
KEPT_S: Final = 120.0  # an account keeps its place at least so long; then the oldest gives way where all are taken
WRONG_CODES: Final = 5  # in WRONG_CODES_S, then none is looked at
WRONG_CODES_S: Final = 60.0
MAX_PEOPLE: Final = 256


@dataclass(frozen=True, slots=True)
class WaitingPerson:
    """An unknown sender who got a code and waits for the owner. The code itself is not in it."""

    channel: str
    external_id: str
    display_name: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class _Code:
    code: str
    channel: str
    external_id: str
    display_name: str
    until_s: float


class People:
    """Made by `People.opened`. The rows are kept in memory: the host alone owns the store."""

    def __init__(
        self,
        table: PeopleTable,
        *,
        now_s: Callable[[], float] = time.time,
        new_code: Callable[[], str] | None = None,
        record: Record = no_record,
    ) -> None:
        self._table = table
        self._record = record
        self._now_s = now_s
        self._new_code = new_code or _random_code
        self._rows: dict[str, PersonRow] = {}
        self._at: dict[tuple[str, str], str] = {}
        self._codes: list[_Code] = []
        self._wrong: deque[float] = deque(maxlen=WRONG_CODES)
        self._listeners: list[Callable[[], Awaitable[object]]] = []

    @classmethod
    async def opened(
        cls,
        table: PeopleTable,
        *,
        now_s: Callable[[], float] = time.time,
        new_code: Callable[[], str] | None = None,
        record: Record = no_record,
    ) -> People:
        """Read the rows; the owner is added to a store without one."""
        people = cls(table, now_s=now_s, new_code=new_code, record=record)
        for row in await table.list():
            people._hold(row)
        if people.get(OWNER.person_id) is None:
            await people._keep(PersonRow(OWNER.person_id, OWNER.name, OWNER.role, people._now_ms()))
        return people

    def listen(self, listener: Callable[[], Awaitable[object]]) -> None:
        """It is awaited whenever somebody has another role or is removed, before that is answered."""
        self._listeners.append(listener)

    async def _tell(self) -> None:
        for listener in self._listeners:
            await listener()

    def get(self, person_id: str) -> Person | None:
        """Also of a `limited_id`: the person with the lower one of both roles."""
        base, _, most = person_id.partition(_LIMIT_MARK)
        row = self._rows.get(base)
        if row is None or (most and most not in RANK):
            return None
        person = _person(row)
        if not most or RANK[most] >= RANK[person.role]:
            return replace(person, person_id=person_id)
        return Person(person_id, person.name, cast(Role, most))

    def named(self, reference: str) -> Person:
        """The person of this name or id; UnknownName."""
        return _person(self._row(reference))

    def list(self) -> tuple[Person, ...]:
        return tuple(_person(row) for row in self._rows.values())

    def addresses(self, person_id: str) -> tuple[tuple[str, str], ...]:
        """(channel, external id) of somebody, oldest first: where a message reaches them."""
        row = self._rows.get(person_id)
        return () if row is None else row.addresses

    def owners(self) -> tuple[Person, ...]:
        return tuple(person for person in self.list() if person.role == "owner")

    def asking(self) -> tuple[WaitingPerson, ...]:
        now_s = self._now_s()
        return tuple(
            WaitingPerson(code.channel, code.external_id, code.display_name, code.until_s - now_s)
            for code in self._alive()
        )

    async def find(self, channel: str, external_id: str) -> Person | None:
        """The person at this address; None for an unknown sender."""
        person_id = self._at.get((channel, external_id))
        return None if person_id is None else self.get(person_id)

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that an unknown sender shows the owner: one an account, the same one while it lasts.

        Accounts have no address that could be shared out by range. So where every place is taken, the oldest that is
        older than KEPT_S gives way, and Overloaded is raised only where none is.
        """
        alive = self._alive()
        for code in alive:
            if (code.channel, code.external_id) == (channel, external_id):
                return code.code
        self._make_room(channel, external_id)
        taken = {code.code for code in alive}
        fresh = self._new_code()
        while fresh in taken:
            fresh = self._new_code()
        shown = " ".join(display_name.split())[:40]
        self._codes.append(_Code(fresh, channel, external_id, shown, self._now_s() + CODE_S))
        self._record(AuditEvent(AuditKind.PAIRING_ASKED, f"{shown or 'somebody'} in {channel}", about=external_id))
        return fresh

    def _make_room(self, channel: str, external_id: str) -> None:
        here = [code for code in self._codes if code.channel == channel]  # the oldest first
        if len(here) < CODES_A_CHANNEL:
            return
        kept_s = here[0].until_s - CODE_S + KEPT_S - self._now_s()
        if kept_s > 0:
            text = f"{CODES_A_CHANNEL} people of {channel} wait to be let in already"
            self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=external_id))
            raise Overloaded(text, next_step=f"write again in {math.ceil(kept_s)} s")
        self._codes.remove(here[0])
        text = f"every place of {channel} is taken: the oldest code gave way to a newer one"
        self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=here[0].external_id))

    async def pair(self, code: str, role: Role | None = None, name: str | None = None) -> Person:
        """Let in the sender with this code, as a known person or a new one (a member unless `role` is given).

        Raises UnknownName for a wrong code, PermissionRefused after many of them, ConfigError for a name that is none.
        """
        asked = self._take(code)
        row = self._meant(asked, role, name)
        self._codes.remove(asked)
        row = replace(row, addresses=(*row.addresses, (asked.channel, asked.external_id)))
        known = self.get(row.person_id)
        await self._keep(row)
        self._note_pairing(asked, _person(row), known)
        return _person(row)

    async def add(self, name: str, role: Role) -> Person:
        """Somebody without an address in a channel: they come in by a link or a password."""
        self._check_room()
        checked = self._checked(name)
        if self._find(checked) is not None:
            raise ConfigError(
                f"there is somebody named {checked} already", next_step="another name, or: microclaw person list"
            )
        row = PersonRow(f"p-{secrets.token_hex(4)}", checked, role, self._now_ms())
        await self._keep(row)
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, f"{role}, new here", about=checked, by=OWNER.name))
        return _person(row)

    async def change_role(self, reference: str, role: Role) -> Person:
        """It counts from the next request on; the owner stays the owner."""
        row = self._row(reference)
        if row.person_id == OWNER.person_id and role != OWNER.role:
            raise ConfigError("the owner stays the owner", next_step="microclaw person list")
        if row.role != role:
            await self._keep(replace(row, role=role))
            text = f"{role}, before {row.role}"
            self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=row.name, by=OWNER.name))
            await self._tell()
        return _person(self._rows[row.person_id])

    def _check_room(self) -> None:
        if len(self._rows) >= MAX_PEOPLE:
            raise Overloaded(f"this host knows {MAX_PEOPLE} people already", next_step="microclaw person rm NAME")

    def _note_pairing(self, asked: _Code, person: Person, known: Person | None) -> None:
        place = f"{person.name}, at {asked.channel}"
        self._record(AuditEvent(AuditKind.PAIRING_DONE, place, about=asked.external_id, by=OWNER.name))
        text = f"{person.role}, new here" if known is None else f"{person.role}, at one more address ({asked.channel})"
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=person.name, by=OWNER.name))

    async def remove(self, reference: str) -> Person:
        """Forget somebody, their addresses and tokens; the owner stays."""
        row = self._row(reference)
        if row.person_id == OWNER.person_id:
            raise ConfigError("the owner cannot be removed", next_step="microclaw person list")
        await self._table.delete(row.person_id)
        del self._rows[row.person_id]
        self._at = {address: person_id for address, person_id in self._at.items() if person_id != row.person_id}
        text = f"{row.role}, removed with every token"
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=row.name, by=OWNER.name))
        await self._tell()
        return _person(row)

    def _alive(self) -> Sequence[_Code]:
        now_s = self._now_s()
        self._codes = [code for code in self._codes if code.until_s > now_s]
        return self._codes

    def _take(self, code: str) -> _Code:
        now_s = self._now_s()
        if len(self._wrong) == WRONG_CODES and now_s - self._wrong[0] < WRONG_CODES_S:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "people's codes, after too many wrong ones"))
            raise PermissionRefused(
                f"{WRONG_CODES} wrong codes within a minute: no code is looked at for a while",
                next_step=f"wait {WRONG_CODES_S - (now_s - self._wrong[0]):.0f} s",
            )
        digits = re.sub(r"[\s-]", "", code)
        for known in self._alive():
            if secrets.compare_digest(known.code.encode(), digits.encode()):
                return known
        self._wrong.append(now_s)
        self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a person in"))
        raise UnknownName(
            "this code is wrong, or its ten minutes are over",
            next_step="write to the bot again: it answers with a code",
        )

    def _meant(self, asked: _Code, role: Role | None, name: str | None) -> PersonRow:
        """The row that the address goes to."""
        if name is None and role == "owner":
            return self._rows[OWNER.person_id]
        if name is not None and (known := self._find(name)) is not None:
            if role not in (None, known.role):
                raise ConfigError(
                    f"{known.name} is {role_words(known.role)} already",
                    next_step="leave --role out, or give another --name",
                )
            return known
        self._check_room()
        chosen = self._free_name(asked.display_name) if name is None else self._checked(name)
        return PersonRow(f"p-{secrets.token_hex(4)}", chosen, role or "member", self._now_ms())

    def _free_name(self, wanted: str) -> str:
        base = person_name(wanted) or "somebody"
        names = (base, *(f"{base[:36]} {number}" for number in range(2, MAX_PEOPLE + 2)))
        return next(name for name in names if self._alike(name) is None)

    def _checked(self, name: str) -> str:
        """A new person's name. Raises ConfigError for none, and for one that looks like another person's."""
        tidy = person_name(name)
        if tidy is None:
            length, shown = len(unicodedata.normalize("NFC", " ".join(name.split()))), repr(name[:MAX_PERSON_NAME])
            wrong = f"{shown} is no name for a person"
            if length > MAX_PERSON_NAME:
                wrong = over_limit(f"the person's name {shown[:-1]}…'", MAX_PERSON_NAME, "character", length)
            rule = f"letters, digits, spaces and .'-_ , at most {MAX_PERSON_NAME}, a letter first"
            raise ConfigError(wrong, next_step=rule)
        alike = self._alike(tidy)
        if alike is not None and self._find(tidy) is None:
            text = f"{tidy} looks like {alike.name}, who is here already"
            raise ConfigError(text, next_step="another name, which differs more")
        return tidy

    def _alike(self, name: str) -> PersonRow | None:
        """Somebody whose name people could take for this one."""
        wanted = look_alike(name)
        return self._find(name) or next((row for row in self._rows.values() if look_alike(row.name) == wanted), None)

    def _find(self, reference: str) -> PersonRow | None:
        wanted = unicodedata.normalize("NFC", reference).casefold()
        named = (row for row in self._rows.values() if wanted in (row.name.casefold(), row.person_id))
        return next(named, None)

    def _row(self, reference: str) -> PersonRow:
        row = self._find(reference)
        if row is None:
            names = ", ".join(known.name for known in self._rows.values())
            raise UnknownName(f"nobody here is named {reference[:40]!r}", next_step=f"people: {names}")
        return row

    async def _keep(self, row: PersonRow) -> None:
        await self._table.put(row, self._now_ms())
        self._hold(row)

    def _hold(self, row: PersonRow) -> None:
        self._rows[row.person_id] = row
        for address in row.addresses:
            before = self._at.get(address, row.person_id)
            self._at[address] = row.person_id
            if before != row.person_id:
                old = self._rows[before]
                self._rows[before] = replace(old, addresses=tuple(kept for kept in old.addresses if kept != address))

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


def _person(row: PersonRow) -> Person:
    return Person(row.person_id, row.name, cast(Role, row.role))


def _random_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
