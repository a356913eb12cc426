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

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, PermissionRefused, StoreError, UnknownName
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.codes import PERSON, Codes
from microclaw.host.operations.operation import Permission
from microclaw.host.store.codes import CodeRow
from microclaw.host.store.database import Database
from microclaw.host.store.people import LIMIT_MARK, PeopleTable, Person, Role
from microclaw.text import MAX_PERSON_NAME, look_alike, person_name, role_words

PERMISSIONS_BY_ROLE: Final[Mapping[Role | Literal["automation"], frozenset[Permission]]] = {
    "owner": frozenset(Permission),
    # An owner decides a member's risky acts (auth.approvals).
    "member": frozenset(Permission),
    "guest": frozenset({Permission.READ}),
    # Only by the routes of api.access: this role neither chats nor calls a tool.
    "read-only": frozenset({Permission.READ}),
    # No person is behind an automation, so it cannot be asked for an approval.
    "automation": frozenset({Permission.READ, Permission.ACT}),
}


RANK: Final[Mapping[str, int]] = {"read-only": 0, "guest": 1, "member": 2, "owner": 3}


def limited_id(person_id: str, most: Role) -> str:
    """Return the id for acting as this person with at most the role `most`: `owner~guest`.

    It has its own conversations and memory, so that an identity with fewer rights also knows less.
    """
    return f"{person_id}{LIMIT_MARK}{most}"


# The user who may open the control socket; it exists from the first start on.
OWNER: Final = Person("owner", "owner", "owner")


class Roles(Protocol):
    """A source of people and their roles; People is the host's."""

    def get(self, person_id: str) -> Person | None: ...


def name_of(people: Roles, person_id: str) -> str:
    """Return the person's name for the security log; the id if the person was removed."""
    person = people.get(person_id)
    return person_id if person is None else person.name


def is_owner(people: Roles, person_id: str) -> bool:
    """Return True if the person is an owner; False if the person was removed."""
    person = people.get(person_id)
    return person is not None and person.role == "owner"


def may_see(people: Roles, whose: str, person_id: str) -> bool:
    """Return True for the person's own data, and for an owner."""
    return whose == person_id or is_owner(people, person_id)


ONLY_OWNER: Final = {OWNER.person_id: OWNER}
"""The roles of a host that knows only its owner."""
MQTT: Final = Person("mqtt", "MQTT", "automation")


class WithAutomation:
    """The people, and an automation: it has a role, but no address, token or approval."""

    def __init__(self, people: Roles, automation: Person) -> None:
        self._people = people
        self._automation = automation

    def get(self, person_id: str) -> Person | None:
        if person_id == self._automation.person_id:
            return self._automation
        return self._people.get(person_id)


MAX_PEOPLE: Final = 256


class People:
    """The people of a store, made by `People.open`.

    They are in memory, and read again after another host changed them.
    """

    def __init__(self, database: Database, codes: Codes, record: Record) -> None:
        self._table = PeopleTable(database)
        self._record = record
        self._known: dict[str, Person] = {}
        self._codes = codes
        # The codes that this host has sent to accounts by their hashes: an account gets the same code again.
        self._sent_codes: dict[bytes, str] = {}
        # With the lock, two messages of one sender get one code.
        self._asking = asyncio.Lock()
        self._listeners: list[Callable[[], Awaitable[object]]] = []
        # Held for each change of people, here and in the store.
        self._changing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        now_ms: Callable[[], int] = now_ms,
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> People:
        """Read all people; add the owner to a store without one."""
        people = cls(database, Codes(database, now_ms=now_ms, clock_s=clock_s), record)
        people._table.follow(people._refresh)
        await people._read()
        if people.get(OWNER.person_id) is None:
            await people._add(replace(OWNER, created_ms=now_ms()))
        return people

    def listen(self, listener: Callable[[], Awaitable[object]]) -> None:
        """Call and await `listener` after a role change or a removal, before that request returns."""
        self._listeners.append(listener)

    def get(self, person_id: str) -> Person | None:
        """Return the person of this id; for a `limited_id` with the lower one of both roles."""
        base, _, most = person_id.partition(LIMIT_MARK)
        person = self._known.get(base)
        if person is None or (most and most not in RANK):
            return None
        if most and RANK[most] < RANK[person.role]:
            return replace(person, person_id=person_id, role=cast(Role, most))
        return replace(person, person_id=person_id)

    def find_by_name(self, reference: str) -> Person:
        """Return the person of this name or id; raises UnknownName if there is none."""
        person = self._find(reference)
        if person is None:
            names = ", ".join(person.name for person in self.list())
            raise UnknownName(f"there is no person {reference[:40]!r}", next_step=f"people: {names}")
        return person

    def list(self) -> tuple[Person, ...]:
        return tuple(self._known.values())

    async def look_up(self, person_id: str) -> Person | None:
        """Return the same as `get`, but read the changes of other hosts before it returns None."""
        if self.get(person_id) is None and self._table.is_shared:
            await self._refresh()
        return self.get(person_id)

    async def find(self, channel: str, external_id: str) -> Person | None:
        """Return the person at this address; None for an unknown sender."""
        for person in self.list():
            if (channel, external_id) in person.addresses:
                return person
        return None

    async def list_waiting_codes(self) -> tuple[CodeRow, ...]:
        """Return the codes that wait for the owner, the oldest first.

        The holder of a code is an account, its place the channel.
        """
        return await self._codes.list(PERSON)

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        """Return the code that an unknown sender shows the owner: one an account, the same while it is valid.

        Accounts cannot be shared out by ranges of addresses. So if every place is taken, the oldest code that is older
        than `protected_s` is replaced; raises Overloaded if there is none. After a restart, and at another host of a
        cluster, an account gets a new code, which ends the one before.
        """
        async with self._asking:
            rows = await self._codes.list(PERSON)
            self._sent_codes = {row.hash: self._sent_codes[row.hash] for row in rows if row.hash in self._sent_codes}
            channel_rows = [row for row in rows if row.place == channel]
            own_rows = tuple(row for row in channel_rows if row.holder == external_id)
            for row in own_rows:
                if row.hash in self._sent_codes:
                    return self._sent_codes[row.hash]
            replaced_rows = own_rows or PERSON.select_replaced(channel_rows, external_id, channel, self._codes.now_ms())
            if replaced_rows is None:
                raise self._no_place(channel, external_id, channel_rows[0])
            self._record_replaced(replaced_rows, external_id)
            name = " ".join(display_name.split())[:40]
            code, row = await self._codes.create(PERSON, external_id, channel, name, instead_of=replaced_rows)
            self._sent_codes[row.hash] = code
            text = f"{name or 'a person'} in {channel}"
            self._record(AuditEvent(AuditKind.PAIRING_ASKED, text, about=external_id))
            return code

    async def pair(self, code: str, role: Role | None = None, name: str | None = None) -> Person:
        """Let in the sender with this code, as a known person or a new one (a member unless `role` is set).

        Raises UnknownName for a wrong code, PermissionRefused after many of them, ConfigError for an invalid name.
        """
        self._check_lock()
        row = await self._codes.find(PERSON, code)
        if row is None:
            self._codes.count_wrong(PERSON)
            self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a person in", by=OWNER.name))
            raise _wrong_code()
        person = self._choose_person(row, role, name)
        # Another host may have used the code meanwhile.
        if not await self._codes.table.spend(row):
            raise _wrong_code()
        paired = replace(person, addresses=(*person.addresses, (row.place, row.holder)))
        if person.person_id in self._known:
            await self._change(person, paired)
            change = f"at one more address ({row.place})"
        else:
            await self._add(paired)
            change = "new here"
        place = f"{person.name}, at {row.place}"
        self._record(AuditEvent(AuditKind.PAIRING_DONE, place, about=row.holder, by=OWNER.name))
        self._note(f"{person.role}, {change}", person)
        return paired

    async def add(self, name: str, role: Role) -> Person:
        """Add a person without an address in a channel: they sign in by a link or a password."""
        person = self._new(self._checked(name), role)
        await self._add(person)
        self._note(f"{role}, new here", person)
        return person

    async def change_role(self, reference: str, role: Role) -> Person:
        """Change a person's role from the next request on; the owner stays the owner."""
        person = self.find_by_name(reference)
        if person.person_id == OWNER.person_id and role != OWNER.role:
            raise ConfigError("the owner stays the owner", next_step="microclaw person list")
        if person.role != role:
            await self._change(person, replace(person, role=role))
            self._note(f"{role}, before {person.role}", person)
            await self._announce()
        return self._known[person.person_id]

    async def remove(self, reference: str) -> Person:
        """Forget a person, their addresses and tokens; the owner stays."""
        person = self.find_by_name(reference)
        if person.person_id == OWNER.person_id:
            raise ConfigError("the owner cannot be removed", next_step="microclaw person list")
        async with self._changing:
            await self._table.delete(person.person_id)
            self._known.pop(person.person_id, None)
        self._note(f"{person.role}, removed with every token", person)
        await self._announce()
        return person

    def _new(self, name: str, role: Role) -> Person:
        if len(self._known) >= MAX_PEOPLE:
            raise Overloaded(f"this host knows {MAX_PEOPLE} people already", next_step="microclaw person rm NAME")
        return Person(f"p-{secrets.token_hex(4)}", name, role, self._codes.now_ms())

    def _note(self, text: str, person: Person) -> None:
        self._record(AuditEvent(AuditKind.ROLE_CHANGED, text, about=person.name, by=OWNER.name))

    async def _announce(self) -> None:
        for listener in self._listeners:
            await listener()

    def _no_place(self, channel: str, external_id: str, oldest: CodeRow) -> Overloaded:
        text = f"{PERSON.of_place} people of {channel} wait to be let in already"
        self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=external_id))
        age_s = (self._codes.now_ms() - oldest.made_ms) / 1000
        left_s = math.ceil(PERSON.protected_s - age_s)
        return Overloaded(text, next_step=f"write again in {left_s} s")

    def _record_replaced(self, rows: tuple[CodeRow, ...], external_id: str) -> None:
        """Record the codes of other accounts that are replaced."""
        for row in rows:
            if row.holder != external_id:
                text = f"every place of {row.place} is taken: a newer code replaced the oldest"
                self._record(AuditEvent(AuditKind.PAIRING_REFUSED, text, about=row.holder))

    def _check_lock(self) -> None:
        """Raise PermissionRefused after too many wrong codes."""
        wait_s = self._codes.locked_s(PERSON)
        if wait_s > 0:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "people's codes, after too many wrong ones", by=OWNER.name))
            text = f"{PERSON.wrong_tries} wrong codes within a minute: no code is looked at for a while"
            raise PermissionRefused(text, next_step=f"wait {wait_s:.0f} s")

    def _choose_person(self, row: CodeRow, role: Role | None, name: str | None) -> Person:
        """Return the person that gets the address: the owner, a known person, or a new one."""
        if name is None and role == "owner":
            return self._known[OWNER.person_id]
        if name is None:
            return self._new(self._free_name(row.about), role or "member")
        person = self._find(name)
        if person is None:
            return self._new(self._checked(name), role or "member")
        if role not in (None, person.role):
            text = f"{person.name} is {role_words(person.role)} already"
            raise ConfigError(text, next_step="leave --role out, or give another --name")
        return person

    def _free_name(self, display_name: str) -> str:
        """Return a free name like this one, with a number if it is taken."""
        base = person_name(display_name) or "somebody"
        names = (base, *(f"{base[:36]} {number}" for number in range(2, MAX_PEOPLE + 2)))
        return next(name for name in names if self._alike(name) is None)

    def _checked(self, name: str) -> str:
        """Return a new person's name; raises ConfigError if it is invalid, taken, or looks like another's."""
        tidy = person_name(name)
        if tidy is None:
            rule = f"letters, digits, spaces and .'-_ , at most {MAX_PERSON_NAME}, a letter first"
            raise ConfigError(f"{name[:MAX_PERSON_NAME]!r} is not a valid name for a person", next_step=rule)
        person = self._alike(tidy)
        if person is not None:
            text = f"{tidy} looks like {person.name}, who is here already"
            raise ConfigError(text, next_step="another name, or: microclaw person list")
        return tidy

    def _alike(self, name: str) -> Person | None:
        """Return a person whose name people could confuse with this one."""
        person = self._find(name)
        if person is not None:
            return person
        shape = look_alike(name)
        return next((person for person in self.list() if look_alike(person.name) == shape), None)

    def _find(self, reference: str) -> Person | None:
        key = unicodedata.normalize("NFC", reference).casefold()
        return next((person for person in self.list() if key in (person.name.casefold(), person.person_id)), None)

    async def _add(self, person: Person) -> None:
        async with self._changing:
            try:
                await self._table.put(person, self._codes.now_ms())
            except StoreError:
                # Another host may have added a person of this name first.
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
        """Read the changes of another host, and announce them if a person changed."""
        async with self._changing:
            before = self._known
            await self._read()
        if any(self._known.get(person_id) != person for person_id, person in before.items()):
            await self._announce()

    async def _read(self) -> None:
        self._known = {person.person_id: person for person in await self._table.list()}


def _wrong_code() -> UnknownName:
    return UnknownName(
        "this code is wrong, was used, or its ten minutes are over",
        next_step="write to the bot again: it answers with a code",
    )
