"""The people a host knows: their addresses in channels, and codes to let a new person in. It sends no message."""

from __future__ import annotations

import asyncio
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, Protocol, TypeAlias, cast

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.one_time_codes import MemoryCodes, OneTimeCodes
from microclaw.auth.people_codes import PairingCode, PairingCodes, WaitingPerson
from microclaw.errors import ConfigError, Overloaded, StoreError, UnknownName, over_limit
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


MAX_PEOPLE: Final = 256


class People:
    """Made by `People.opened`. The rows are kept in memory, and read anew when another host changed them."""

    def __init__(
        self,
        table: PeopleTable,
        *,
        now_s: Callable[[], float] = time.time,
        new_code: Callable[[], str] | None = None,
        record: Record = no_record,
        codes: OneTimeCodes | None = None,
    ) -> None:
        self._table = table
        self._record = record
        self._now_s = now_s
        self._rows: dict[str, PersonRow] = {}
        self._at: dict[tuple[str, str], str] = {}
        self._codes = PairingCodes(codes or MemoryCodes(), now_s, new_code, record)
        self._listeners: list[Callable[[], Awaitable[object]]] = []
        self._changing = asyncio.Lock()  # of rows, here and in the store

    @classmethod
    async def opened(
        cls,
        table: PeopleTable,
        *,
        now_s: Callable[[], float] = time.time,
        new_code: Callable[[], str] | None = None,
        record: Record = no_record,
        codes: OneTimeCodes | None = None,
    ) -> People:
        """Read the rows; the owner is added to a store without one. Without `codes` they are in memory."""
        people = cls(table, now_s=now_s, new_code=new_code, record=record, codes=codes)
        table.follow(people._refresh)
        await people._read()
        if people.get(OWNER.person_id) is None:
            await people._add(PersonRow(OWNER.person_id, OWNER.name, OWNER.role, people._now_ms()))
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

    async def asking(self) -> tuple[WaitingPerson, ...]:
        return await self._codes.waiting()

    async def look_up(self, person_id: str) -> Person | None:
        """As `get`; before it says None it looks what other hosts wrote."""
        if self.get(person_id) is None and self._table.is_shared:
            await self._refresh()
        return self.get(person_id)

    async def find(self, channel: str, external_id: str) -> Person | None:
        """The person at this address; None for an unknown sender."""
        person_id = self._at.get((channel, external_id))
        return None if person_id is None else self.get(person_id)

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that an unknown sender shows the owner, as PairingCodes.ask."""
        return await self._codes.ask(channel, external_id, display_name)

    async def pair(self, code: str, role: Role | None = None, name: str | None = None) -> Person:
        """Let in the sender with this code, as a known person or a new one (a member unless `role` is given).

        Raises UnknownName for a wrong code, PermissionRefused after many of them, ConfigError for a name that is none.
        """
        asked = await self._codes.find(code)
        row = self._meant(asked, role, name)
        await self._codes.spend(asked)
        known = self.get(row.person_id)
        with_address = replace(row, addresses=(*row.addresses, (asked.channel, asked.external_id)))
        await (self._add(with_address) if known is None else self._change(row, with_address))
        self._note_pairing(asked, _person(row), known)
        return _person(row)

    async def add(self, name: str, role: Role) -> Person:
        """Somebody without an address in a channel: they come in by a link or a password."""
        self._check_room()
        checked = self._checked(name)
        self._check_free(checked)
        row = PersonRow(f"p-{secrets.token_hex(4)}", checked, role, self._now_ms())
        await self._add(row)
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, f"{role}, new here", about=checked, by=OWNER.name))
        return _person(row)

    async def change_role(self, reference: str, role: Role) -> Person:
        """It counts from the next request on; the owner stays the owner."""
        row = self._row(reference)
        if row.person_id == OWNER.person_id and role != OWNER.role:
            raise ConfigError("the owner stays the owner", next_step="microclaw person list")
        if row.role != role:
            await self._change(row, replace(row, role=role))
            text = f"{role}, before {row.role}"
            self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=row.name, by=OWNER.name))
            await self._tell()
        return _person(self._rows[row.person_id])

    def _check_free(self, name: str) -> None:
        if self._find(name) is not None:
            raise ConfigError(
                f"there is somebody named {name} already", next_step="another name, or: microclaw person list"
            )

    def _check_room(self) -> None:
        if len(self._rows) >= MAX_PEOPLE:
            raise Overloaded(f"this host knows {MAX_PEOPLE} people already", next_step="microclaw person rm NAME")

    def _note_pairing(self, asked: PairingCode, person: Person, known: Person | None) -> None:
        place = f"{person.name}, at {asked.channel}"
        self._record(AuditEvent(AuditKind.PAIRING_DONE, place, about=asked.external_id, by=OWNER.name))
        text = f"{person.role}, new here" if known is None else f"{person.role}, at one more address ({asked.channel})"
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=person.name, by=OWNER.name))

    async def remove(self, reference: str) -> Person:
        """Forget somebody, their addresses and tokens; the owner stays."""
        row = self._row(reference)
        if row.person_id == OWNER.person_id:
            raise ConfigError("the owner cannot be removed", next_step="microclaw person list")
        async with self._changing:
            is_gone = not await self._table.delete(row.person_id)
            self._rows.pop(row.person_id, None)
            self._at = {address: person_id for address, person_id in self._at.items() if person_id != row.person_id}
        if is_gone:  # another host was faster
            raise self._nobody(reference)
        text = f"{row.role}, removed with every token"
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=row.name, by=OWNER.name))
        await self._tell()
        return _person(row)

    def _meant(self, asked: PairingCode, role: Role | None, name: str | None) -> PersonRow:
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
            raise self._nobody(reference)
        return row

    def _nobody(self, reference: str) -> UnknownName:
        names = ", ".join(known.name for known in self._rows.values())
        return UnknownName(f"nobody here is named {reference[:40]!r}", next_step=f"people: {names}")

    async def _add(self, row: PersonRow) -> None:
        async with self._changing:
            try:
                await self._table.put(row, self._now_ms())
            except StoreError:
                await self._read()  # another host may have been faster
                self._check_free(row.name)
                raise
            self._hold(row)

    async def _change(self, before: PersonRow, after: PersonRow) -> None:
        async with self._changing:
            if not await self._table.replace(before, after, self._now_ms()):
                await self._read()
                raise ConfigError(
                    f"{before.name} was changed or removed meanwhile, at another host of the cluster",
                    next_step="see it, then do it again: microclaw person list",
                )
            self._hold(after)

    async def _refresh(self) -> None:
        """Take over what another host changed."""
        async with self._changing:
            before = {person_id: row.role for person_id, row in self._rows.items()}
            await self._read()
        if any(person_id not in self._rows or self._rows[person_id].role != role for person_id, role in before.items()):
            await self._tell()

    async def _read(self) -> None:
        rows = await self._table.list()
        self._rows, self._at = {}, {}
        for row in rows:
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
