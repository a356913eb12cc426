"""Browsers that are signed in: single-use links, sessions and how each ends. It sets no cookie and checks no password.

A session's secret is a cookie, and its hash is in the store, as a link's is.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.addresses import single_address
from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import SIGN_IN, Codes, digest_of
from microclaw.auth.passwords import Passwords, TooManyTries
from microclaw.auth.people import OWNER, People, Person
from microclaw.auth.tokens import SECRET_BYTES, SESSION_PREFIX, Credentials
from microclaw.errors import UnknownName
from microclaw.store.database import Database
from microclaw.store.sign_ins import LONGEST_MS, SignIn, SignInTable
from microclaw.text import clean_text

MAX_OF_PERSON: Final = 32  # sessions; the one that was used longest ago gives way
MAX_AGENT_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session, with the secret for its browser's cookie."""

    secret: str
    sign_in: SignIn


class SignIns(Credentials[SignIn]):
    """Made by `open_admission`. A session of a removed person, or one that is over, opens nothing."""

    def __init__(
        self,
        database: Database,
        people: People,
        passwords: Passwords,
        codes: Codes,
        *,
        now_s: Callable[[], float] = time.time,
        record: Record = no_record,
    ) -> None:
        super().__init__(SignInTable(database), people, now_s=now_s, record=record)
        self._people = people
        self._passwords = passwords
        self._codes = codes

    async def never_used(self) -> bool:
        """Whether nobody has signed in here yet, and no password is set."""
        return not await self._table.list() and not await self._passwords.any_set()

    async def new_code(self, reference: str = OWNER.person_id) -> str:
        """A code for one sign-in of this person within its ten minutes."""
        person = self._people.named(reference)
        waiting = await self._codes.list(SIGN_IN)
        oldest = waiting[: max(0, len(waiting) - SIGN_IN.in_all + 1)]
        code, _ = await self._codes.give(SIGN_IN, person.person_id, instead_of=oldest)
        text = f"for {SIGN_IN.life_s / 60:.0f} minutes"
        self.record(AuditEvent(AuditKind.SIGNIN_LINK, text, about=person.name, by=OWNER.name))
        return code

    async def with_code(self, code: str, *, address: str, agent: str) -> OpenedSession | None:
        """Use a code up; None when it is wrong, over or used. TooManyTries after many such, never for a right one."""
        row = await self._codes.take(SIGN_IN, code)
        person = None if row is None else await self._people.look_up(row.holder)
        if person is not None:
            return await self._open(person, "link", address, agent)
        source = single_address(address)
        if (wait_s := self._codes.locked_s(SIGN_IN, source)) > 0:
            self._note(AuditKind.SIGNIN_LOCKED, "too many wrong links within a minute", address)
            raise TooManyTries(wait_s)
        self._codes.wrong(SIGN_IN, source)
        self._note(AuditKind.SIGNIN_WRONG, "a link that is wrong, over or used", address)
        return None

    async def with_password(self, name: str, password: str, *, address: str, agent: str) -> OpenedSession | None:
        """None when name or password are wrong; TooManyTries, Overloaded."""
        try:
            person = await self._passwords.check(name, password, address)
        except TooManyTries:
            self._note(AuditKind.SIGNIN_LOCKED, "too many wrong passwords within a minute", address)
            raise
        if person is None:
            self._note(AuditKind.SIGNIN_WRONG, "a wrong password, or nobody of that name", address)
            return None
        return await self._open(person, "password", address, agent)

    async def set_password(self, reference: str, password: str) -> Person:
        """Every session of the person ends with the old one."""
        person = await self._passwords.set(reference, password)
        await self.end_all(person.person_id, "a new password", by=OWNER.name)
        return person

    async def remove_password(self, reference: str) -> Person:
        person = await self._passwords.remove(reference)
        await self.end_all(person.person_id, "no password any more", by=OWNER.name)
        return person

    async def who(self, secret: str) -> SignIn | None:
        """The session of this cookie; None when it opens nothing."""
        row = await self._row(secret)
        if row is not None:
            await self._people.look_up(row.person_id)
        return self._shown(row)

    async def list(self) -> tuple[SignIn, ...]:
        """Those that open something."""
        found = (self._complete(row) for row in await self._table.list())
        return tuple(one for one in found if one is not None and self._lets_in(one))

    async def end(self, sign_in_id: str, why: str = "signed out", *, by: str | None = None) -> SignIn:
        """`by` None: its person ends it. UnknownName when there is no such session."""
        for one in await self.list():
            if one.sign_in_id == sign_in_id and await self._end((one,), why, by):
                return one
        raise UnknownName(f"there is no session {sign_in_id[:40]!r}", next_step="microclaw signin list")

    async def end_all(self, person_id: str, why: str, *, by: str | None = None) -> int:
        """Every session of this person; returns how many."""
        theirs = [one for one in await self.list() if one.person.person_id == person_id]
        return await self._end(theirs, why, by)

    async def _open(self, person: Person, how: str, address: str, agent: str) -> OpenedSession:
        await self._make_room(person)
        secret, now_ms = secrets.token_urlsafe(SECRET_BYTES), self._now_ms()
        shown = clean_text(agent, one_line=True, limit=MAX_AGENT_CHARS)
        sign_in_id = f"{SESSION_PREFIX}{secrets.token_hex(4)}"
        one = SignIn(sign_in_id, person.person_id, digest_of(secret), how, address, shown, now_ms, now_ms, person)
        await self._table.add(one)
        self._note(AuditKind.SIGNIN_OPENED, f"by {how}", address, about=sign_in_id, by=person.name)
        return OpenedSession(secret, one)

    async def _make_room(self, person: Person) -> None:
        """Forget what is over for good, and the least used of too many."""
        now_ms, theirs = self._now_ms(), []
        for row in await self._table.list():
            if now_ms - row.made_ms >= LONGEST_MS:
                await self._table.delete(row.sign_in_id)
            elif row.person_id == person.person_id and (one := self._complete(row)) is not None:
                theirs.append(one)
        oldest_first = sorted(theirs, key=lambda one: one.used_ms)
        await self._end(oldest_first[: max(0, len(theirs) - MAX_OF_PERSON + 1)], "gave way to a newer one")

    async def _end(self, sessions: Sequence[SignIn], why: str, by: str | None = None) -> int:
        """How many there were; another host may end them, too."""
        ended = 0
        for one in sessions:
            if not await self._end_one(one.sign_in_id):
                continue
            ended += 1
            whose = one.person.name
            text = why if by in (None, whose) else f"{why}: {whose}'s session"
            self.record(AuditEvent(AuditKind.SIGNIN_ENDED, text, about=one.sign_in_id, by=by or whose))
        return ended

    def _person_of(self, row: SignIn) -> Person | None:
        return self._people.get(row.person_id)

    def _note(
        self, kind: AuditKind, text: str, address: str, *, about: str | None = None, by: str | None = None
    ) -> None:
        self.record(AuditEvent(kind, text, address=address, about=about, by=by))


def csrf_token(secret: str) -> str:
    """What a page of this session sends in a header with each change: known to who may read our answers alone."""
    return hmac.new(secret.encode(), b"microclaw csrf", hashlib.sha256).hexdigest()
