"""The people a host knows: their addresses in channels, and codes to let a new person in. It sends no message."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Protocol, cast

from msgspec.structs import replace

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import PERSON, Codes
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, PermissionRefused, StoreError, UnknownName
from microclaw.operations.operation import Permission
from microclaw.store.codes import CodeRow
from microclaw.store.database import Database
from microclaw.store.people import LIMIT_MARK, PeopleTable
from microclaw.store.people import Person as Person
from microclaw.store.people import Role as Role
from microclaw.store.people import person_behind as person_behind
from microclaw.text import MAX_PERSON_NAME, look_alike, person_name, role_words

MAY: Final[Mapping[Role | Literal["automation"], frozenset[Permission]]] = {
    "owner": frozenset(Permission),
    "member": frozenset(Permission),  # the risky is decided by an owner (auth.approvals)
    "guest": frozenset({Permission.READ}),
    "read-only": frozenset({Permission.READ}),  # by the routes of api.access alone: it neither chats nor calls a tool
    "automation": frozenset({Permission.READ, Permission.ACT}),  # nobody is there who could be asked
}


RANK: Final[Mapping[str, int]] = {"read-only": 0, "guest": 1, "member": 2, "owner": 3}


def limited_id(person_id: str, most: Role) -> str:
    """The id of somebody who acts for this person with no more than the role `most`: `owner~guest`.

    It has conversations and a memory of its own, so that what may do less also knows less.
    """
    return f"{person_id}{LIMIT_MARK}{most}"


OWNER: Final = Person("owner", "owner", "owner")  # who may open the control socket; there from the first start on


class Roles(Protocol):
    """The people and their roles; People is the host's."""

    def get(self, person_id: str) -> Person | None: ...


def name_of(people: Roles, person_id: str) -> str:
    """The person's name, as the security log has it; the id of somebody who is gone."""
    person = people.get(person_id)
    return person_id if person is None else person.name


def is_owner(people: Roles, person_id: str) -> bool:
    """False also for somebody who is gone."""
    person = people.get(person_id)
    return person is not None and person.role == "owner"


def may_see(people: Roles, whose: str, person_id: str) -> bool:
    """True for that person's own, and for an owner."""
    return whose == person_id or is_owner(people, person_id)


OWNER_ALONE: Final = {OWNER.person_id: OWNER}
"""The roles of a host that knows its owner alone."""
MQTT: Final = Person("mqtt", "MQTT", "automation")


class WithAutomation:
    """People, and an automation that is nobody: it has a role, and no address, token or approval."""

    def __init__(self, people: Roles, automation: Person) -> None:
        self._people = people
        self._automation = automation

    def get(self, person_id: str) -> Person | None:
        if person_id == self._automation.person_id:
            return self._automation
        return self._people.get(person_id)


MAX_PEOPLE: Final = 256


class People:
    """Made by `People.opened`. They are kept in memory, and read again when another host changed them."""

    def __init__(self, database: Database, codes: Codes, record: Record) -> None:
        self._table = PeopleTable(database)
        self._record = record
        self._known: dict[str, Person] = {}
        self._codes = codes
        self._told: dict[bytes, str] = {}  # the codes that this host told accounts, which get the same again
        self._asking = asyncio.Lock()  # two messages of one sender get one code
        self._listeners: list[Callable[[], Awaitable[object]]] = []
        self._changing = asyncio.Lock()  # of people, here and in the store

    @classmethod
    async def opened(
        cls,
        database: Database,
        *,
        now_ms: Callable[[], int] = now_ms,
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> People:
        """Read everybody; the owner is added to a store without one."""
        people = cls(database, Codes(database, now_ms=now_ms, clock_s=clock_s), record)
        people._table.follow(people._refresh)
        await people._read()
        if people.get(OWNER.person_id) is None:
            await people._add(replace(OWNER, created_ms=now_ms()))
        return people

    def listen(self, listener: Callable[[], Awaitable[object]]) -> None:
        """It is awaited whenever somebody has another role or is removed, before that is answered."""
        self._listeners.append(listener)

    def get(self, person_id: str) -> Person | None:
        """Also of a `limited_id`: the person with the lower one of both roles."""
        base, _, most = person_id.partition(LIMIT_MARK)
        person = self._known.get(base)
        if person is None or (most and most not in RANK):
            return None
        is_less = bool(most) and RANK[most] < RANK[person.role]
        return replace(person, person_id=person_id, role=cast(Role, most) if is_less else person.role)

    def named(self, reference: str) -> Person:
        """The person of this name or id; UnknownName."""
        person = self._find(reference)
        if person is None:
            names = ", ".join(known.name for known in self.list())
            raise UnknownName(f"nobody here is named {reference[:40]!r}", next_step=f"people: {names}")
        return person

    def list(self) -> tuple[Person, ...]:
        return tuple(self._known.values())

    async def look_up(self, person_id: str) -> Person | None:
        """As `get`; before it says None it looks what other hosts wrote."""
        if self.get(person_id) is None and self._table.is_shared:
            await self._refresh()
        return self.get(person_id)

    async def find(self, channel: str, external_id: str) -> Person | None:
        """The person at this address; None for an unknown sender."""
        return next((person for person in self.list() if (channel, external_id) in person.addresses), None)

    async def asking(self) -> tuple[CodeRow, ...]:
        """Codes whose holders wait for the owner, the oldest first. A holder is an account, the place its channel."""
        return await self._codes.list(PERSON)

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that an unknown sender shows the owner: one an account, the same one while it lasts.

        Accounts have no address that could be shared out by range. So where every place is taken, the oldest that is
        older than `kept_s` gives way, and Overloaded is raised only where none is. After a restart, and at another host
        of a cluster, an account gets a new code, which ends the one before.
        """
        async with self._asking:
            rows = await self._codes.list(PERSON)
            self._told = {row.hash: self._told[row.hash] for row in rows if row.hash in self._told}
            here = [row for row in rows if row.place == channel]
            own = tuple(row for row in here if row.holder == external_id)
            told = next((self._told[row.hash] for row in own if row.hash in self._told), None)
            if told:
                return told
            gone = own or PERSON.giving_way(here, external_id, channel, self._codes.now_ms())
            if gone is None:
                text = f"{PERSON.of_place} people of {channel} wait to be let in already"
                self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=external_id))
                left_s = math.ceil(PERSON.kept_s - (self._codes.now_ms() - here[0].made_ms) / 1000)
                raise Overloaded(text, next_step=f"write again in {left_s} s")
            for row in (row for row in gone if row.holder != external_id):
                text = f"every place of {channel} is taken: the oldest code gave way to a newer one"
                self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=row.holder))
            shown = " ".join(display_name.split())[:40]
            code, row = await self._codes.give(PERSON, external_id, channel, shown, instead_of=gone)
            self._told[row.hash] = code
            text = f"{shown or 'somebody'} in {channel}"
            self._record(AuditEvent(AuditKind.PAIRING_ASKED, text, about=external_id))
            return code

    async def pair(self, code: str, role: Role | None = None, name: str | None = None) -> Person:
        """Let in the sender with this code, as a known person or a new one (a member unless `role` is given).

        Raises UnknownName for a wrong code, PermissionRefused after many of them, ConfigError for a name that is none.
        """
        wait_s = self._codes.locked_s(PERSON)
        if wait_s > 0:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "people's codes, after too many wrong ones", by=OWNER.name))
            text = f"{PERSON.wrong_tries} wrong codes within a minute: no code is looked at for a while"
            raise PermissionRefused(text, next_step=f"wait {wait_s:.0f} s")
        gone = UnknownName(
            "this code is wrong, was used, or its ten minutes are over",
            next_step="write to the bot again: it answers with a code",
        )
        asked = await self._codes.find(PERSON, code)
        if asked is None:
            self._codes.wrong(PERSON)
            self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a person in", by=OWNER.name))
            raise gone
        person = self._meant(asked, role, name)
        if not await self._codes.table.spend(asked):  # at whichever host
            raise gone
        is_new = person.person_id not in self._known
        paired = replace(person, addresses=(*person.addresses, (asked.place, asked.holder)))
        await (self._add(paired) if is_new else self._change(person, paired))
        place = f"{person.name}, at {asked.place}"
        self._record(AuditEvent(AuditKind.PAIRING_DONE, place, about=asked.holder, by=OWNER.name))
        self._note(f"{person.role}, {'new here' if is_new else f'at one more address ({asked.place})'}", person)
        return paired

    async def add(self, name: str, role: Role) -> Person:
        """Somebody without an address in a channel: they come in by a link or a password."""
        person = self._new(self._checked(name), role)
        await self._add(person)
        self._note(f"{role}, new here", person)
        return person

    async def change_role(self, reference: str, role: Role) -> Person:
        """It counts from the next request on; the owner stays the owner."""
        person = self.named(reference)
        if person.person_id == OWNER.person_id and role != OWNER.role:
            raise ConfigError("the owner stays the owner", next_step="microclaw person list")
        if person.role != role:
            await self._change(person, replace(person, role=role))
            self._note(f"{role}, before {person.role}", person)
            await self._announce()
        return self._known[person.person_id]

    def _new(self, name: str, role: Role) -> Person:
        if len(self._known) >= MAX_PEOPLE:
            raise Overloaded(f"this host knows {MAX_PEOPLE} people already", next_step="microclaw person rm NAME")
        return Person(f"p-{secrets.token_hex(4)}", name, role, self._codes.now_ms())

    def _note(self, text: str, person: Person) -> None:
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=person.name, by=OWNER.name))

    async def _announce(self) -> None:
        for listener in self._listeners:
            await listener()

    async def remove(self, reference: str) -> Person:
        """Forget somebody, their addresses and tokens; the owner stays."""
        person = self.named(reference)
        if person.person_id == OWNER.person_id:
            raise ConfigError("the owner cannot be removed", next_step="microclaw person list")
        async with self._changing:
            await self._table.delete(person.person_id)
            self._known.pop(person.person_id, None)
        self._note(f"{person.role}, removed with every token", person)
        await self._announce()
        return person

    def _meant(self, asked: CodeRow, role: Role | None, name: str | None) -> Person:
        """The person that the address becomes."""
        if name is None and role == "owner":
            return self._known[OWNER.person_id]
        if name is not None and (known := self._find(name)) is not None:
            if role not in (None, known.role):
                text = f"{known.name} is {role_words(known.role)} already"
                raise ConfigError(text, next_step="leave --role out, or give another --name")
            return known
        return self._new(self._free_name(asked.about) if name is None else self._checked(name), role or "member")

    def _free_name(self, wanted: str) -> str:
        base = person_name(wanted) or "somebody"
        names = (base, *(f"{base[:36]} {number}" for number in range(2, MAX_PEOPLE + 2)))
        return next(name for name in names if self._alike(name) is None)

    def _checked(self, name: str) -> str:
        """A new person's name. Raises ConfigError for none, for a taken one, and one that looks like another's."""
        tidy = person_name(name)
        if tidy is None:
            rule = f"letters, digits, spaces and .'-_ , at most {MAX_PERSON_NAME}, a letter first"
            raise ConfigError(f"{name[:MAX_PERSON_NAME]!r} is no name for a person", next_step=rule)
        alike = self._alike(tidy)
        if alike is not None:
            text = f"{tidy} would be taken for {alike.name}, who is here already"
            raise ConfigError(text, next_step="another name, or: microclaw person list")
        return tidy

    def _alike(self, name: str) -> Person | None:
        """Somebody whose name people could take for this one."""
        wanted = look_alike(name)
        return self._find(name) or next((one for one in self.list() if look_alike(one.name) == wanted), None)

    def _find(self, reference: str) -> Person | None:
        wanted = unicodedata.normalize("NFC", reference).casefold()
        return next((one for one in self.list() if wanted in (one.name.casefold(), one.person_id)), None)

    async def _add(self, person: Person) -> None:
        async with self._changing:
            try:
                await self._table.put(person, self._codes.now_ms())
            except StoreError:  # another host may have been faster
                await self._read()
                self._checked(person.name)
                raise
            await self._read()

    async def _change(self, before: Person, after: Person) -> None:
        async with self._changing:
            is_same = await self._table.replace(before, after, self._codes.now_ms())
            await self._read()
            if not is_same:
                text = f"{before.name} was changed or removed meanwhile, at another host of the cluster"
                raise ConfigError(text, next_step="see it, then do it again: microclaw person list")

    async def _refresh(self) -> None:
        """Take over what another host changed."""
        async with self._changing:
            before = self._known
            await self._read()
        if any(self._known.get(person_id) != person for person_id, person in before.items()):
            await self._announce()

    async def _read(self) -> None:
        self._known = {person.person_id: person for person in await self._table.list()}
