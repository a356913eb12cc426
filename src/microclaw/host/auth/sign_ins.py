"""Browsers that are signed in: single-use links, passwords, sessions and how each ends. It sets no cookie.

A session's secret is a cookie. The store has its hash and the hash of a link, and Argon2id hashes of passwords.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from microclaw.addresses import single_address
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.codes import SIGN_IN, Codes, WrongTokens, digest_of
from microclaw.host.auth.people import OWNER, People
from microclaw.host.auth.tokens import SECRET_BYTES, SESSION_PREFIX, Credentials
from microclaw.host.store.database import Database
from microclaw.host.store.people import Person
from microclaw.host.store.sign_ins import LONGEST_MS, PasswordRow, PasswordTable, SignIn, SignInTable
from microclaw.text import clean_text

# Sessions of one person; a newer session ends the least recently used one.
MAX_OF_PERSON: Final = 32
MAX_AGENT_CHARS: Final = 120
# OWASP, Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane. 60 ms here.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
# No password has this hash; it is checked if a person has none, so that the time is the same.
DUMMY_HASH: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"
MIN_CHARS: Final = 12
MAX_CHARS: Final = 128
MIN_DIFFERENT: Final = 5
# Passwords that wait for their turn to be hashed; more are refused at once.
MAX_WAITING: Final = 8
# Wrong passwords of an address within a minute; then that address has to wait.
WRONG_OF_ADDRESS: Final = 10
# The same for one person's name, from any address.
WRONG_OF_NAME: Final = 10
# The same for all together: at most 4 seconds of work a minute.
WRONG_OF_ALL: Final = 60
_EVERYBODY: Final = "*"
_T = TypeVar("_T")


class TooManyTries(Exception):
    """The error for an address or a name that has to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class OpenedSession(Struct, frozen=True):
    """A new session, with the secret for its browser's cookie."""

    secret: str
    sign_in: SignIn


class SignIns(Credentials[SignIn]):
    """The sessions of a store, made by `open_admission`. An ended session, or one of a removed person, is not valid."""

    def __init__(
        self,
        database: Database,
        people: People,
        *,
        now_ms: Callable[[], int] = now_ms,
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> None:
        super().__init__(SignInTable(database), people, now_ms=now_ms, record=record)
        self._codes = Codes(database, now_ms=now_ms, clock_s=clock_s)
        self._passwords = PasswordTable(database)
        limits = (WRONG_OF_ADDRESS, WRONG_OF_NAME, WRONG_OF_ALL)
        self._tries = tuple(WrongTokens(limit, clock_s) for limit in limits)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def never_used(self) -> bool:
        """Return True if no person has signed in here yet, and no password is set."""
        return not await self._table.list() and not await self._passwords.list()

    async def page_ticket(self, sign_in_id: str, page: str) -> str:
        """Return what opens one program's page in the name of a session, until that session ends.

        Raises UnknownName if there is no such session.
        """
        row = await self._table.get(sign_in_id)
        if row is None:
            raise UnknownName("this session is over", next_step="sign in again")
        return f"{sign_in_id}.{_ticket_digest(row, page)}"

    async def with_ticket(self, ticket: str, page: str) -> SignIn | None:
        """Return the session of a ticket for this page; None if it is not valid."""
        sign_in_id, _, digest = ticket.partition(".")
        row = await self._table.get(sign_in_id)
        if row is None or not hmac.compare_digest(digest.encode(), _ticket_digest(row, page).encode()):
            return None
        return await self._admit(row)

    async def new_code(self, reference: str = OWNER.person_id) -> str:
        """Make a code for one sign-in of this person; it is valid for ten minutes."""
        person = self._people.find_by_name(reference)
        oldest = (await self._codes.list(SIGN_IN))[: 1 - SIGN_IN.in_all]
        code, _ = await self._codes.create(SIGN_IN, person.person_id, instead_of=oldest)
        text = f"for {SIGN_IN.life_s / 60:.0f} minutes"
        self.record(AuditEvent(AuditKind.SIGNIN_LINK, text, about=person.name, by=OWNER.name))
        return code

    async def with_code(self, code: str, *, address: str, agent: str) -> OpenedSession | None:
        """Use a code up and open a session; None if it is wrong, expired or used.

        Raises TooManyTries after many such codes, but never for a right one.
        """
        person = await self._person_of_code(code)
        if person is not None:
            return await self._open(person, "link", address, agent)
        source = single_address(address)
        wait_s = self._codes.locked_s(SIGN_IN, source)
        if wait_s > 0:
            self.record(AuditEvent(AuditKind.SIGNIN_LOCKED, "too many wrong links within a minute", address=address))
            raise TooManyTries(wait_s)
        self._codes.count_wrong(SIGN_IN, source)
        self.record(AuditEvent(AuditKind.SIGNIN_WRONG, "a link that is wrong, over or used", address=address))
        return None

    async def with_password(self, name: str, password: str, *, address: str, agent: str) -> OpenedSession | None:
        """Open a session; None if the name or the password is wrong.

        Raises TooManyTries before the password is looked at, and Overloaded. Each try counts before its hash is made,
        so that many tries at once do not avoid the limit; a right one does not count. A password is checked even if the
        person has none, so that the time shows nothing.
        """
        keys = (single_address(address), name.casefold()[:80], _EVERYBODY)
        counters = tuple(zip(self._tries, keys, strict=True))
        wait_s = max(tries.wait_s(key) for tries, key in counters)
        if wait_s > 0:
            self.record(AuditEvent(AuditKind.SIGNIN_LOCKED, "too many wrong passwords in a minute", address=address))
            raise TooManyTries(wait_s)
        for tries, key in counters:
            tries.add(key)
        person = await self._check_password(name, password)
        if person is not None:
            for tries, key in counters:
                tries.take_back(key)
            # The person may have been changed or removed during the check.
            person = self._people.get(person.person_id)
        if person is None:
            self.record(AuditEvent(AuditKind.SIGNIN_WRONG, "a wrong password, or an unknown name", address=address))
            return None
        return await self._open(person, "password", address, agent)

    async def set_password(self, reference: str, password: str) -> Person:
        """Set a person's password, and end every session of the person.

        Raises ConfigError if it is too short, too long, or repeats itself.
        """
        person = self._people.find_by_name(reference)
        text = _normal(password)
        different_count = len(set(text))
        if not MIN_CHARS <= len(text) <= MAX_CHARS or different_count < MIN_DIFFERENT:
            rule = f"a password has {MIN_CHARS} to {MAX_CHARS} characters, {MIN_DIFFERENT} of them different"
            step = "take another one, for example four words"
            raise ConfigError(f"{rule}; this one {len(text)}, {different_count} different", next_step=step)
        salt = secrets.token_bytes(SALT_BYTES)
        hasher = Argon2id(salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
        hashed = await self._in_turn(lambda: hasher.derive_phc_encoded(_bytes(text)))
        await self._passwords.put(PasswordRow(person.person_id, hashed, self._now_ms()))
        return await self._password_changed(person, "set again", "a new password")

    async def remove_password(self, reference: str) -> Person:
        """Remove a person's password, and end every session; raises UnknownName if there is no password."""
        person = self._people.find_by_name(reference)
        if not await self._passwords.delete(person.person_id):
            raise UnknownName(f"{person.name} has no password", next_step=f"microclaw person password {person.name}")
        return await self._password_changed(person, "removed", "no password any more")

    async def list(self) -> tuple[SignIn, ...]:
        """Return the valid sessions."""
        sessions = map(self._complete, await self._table.list())
        return tuple(session for session in sessions if session is not None and self._lets_in(session))

    async def end(self, sign_in_id: str, why: str = "signed out", *, by: str | None = None) -> SignIn:
        """End a session; `by` is None if its person ends it. Raises UnknownName if there is no such session."""
        session = self._complete(await self._table.get(sign_in_id))
        if session is None or not self._lets_in(session):
            raise UnknownName(f"there is no session {sign_in_id[:40]!r}", next_step="microclaw person signins")
        await self._end((session,), why, by)
        return session

    async def _password_changed(self, person: Person, what: str, why: str) -> Person:
        self.record(AuditEvent(AuditKind.SIGNIN_PASSWORD, what, about=person.name, by=OWNER.name))
        sessions = [session for session in await self.list() if session.person.person_id == person.person_id]
        await self._end(sessions, why, OWNER.name)
        return person

    async def _person_of_code(self, code: str) -> Person | None:
        row = await self._codes.use(SIGN_IN, code)
        if row is None:
            return None
        return await self._people.look_up(row.holder)

    async def _check_password(self, name: str, password: str) -> Person | None:
        """Return the person if the password is right. An unknown name takes the same time."""
        try:
            person: Person | None = self._people.find_by_name(name)
        except UnknownName:
            person = None
        hashed = None
        if person is not None:
            row = await self._passwords.get(person.person_id)
            hashed = None if row is None else row.hash
        is_right = await self._in_turn(lambda: self._is_right(password, hashed))
        return person if is_right else None

    async def _open(self, person: Person, how: str, address: str, agent: str) -> OpenedSession:
        await self._make_room(person)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        now_ms = self._now_ms()
        browser = clean_text(agent, one_line=True, limit=MAX_AGENT_CHARS)
        number = f"{SESSION_PREFIX}{secrets.token_hex(4)}"
        session = SignIn(number, person.person_id, digest_of(secret), how, address, browser, now_ms, now_ms, person)
        await self._table.put(session)
        self.record(AuditEvent(AuditKind.SIGNIN_OPENED, f"by {how}", address=address, about=number, by=person.name))
        return OpenedSession(secret, session)

    async def _make_room(self, person: Person) -> None:
        """Forget the sessions that are over for good, and end the least used ones of too many."""
        begun_ms = self._now_ms() - LONGEST_MS
        sessions = []
        for row in await self._table.list():
            if row.made_ms <= begun_ms:
                await self._table.delete(row.sign_in_id)
            elif row.person_id == person.person_id:
                session = self._complete(row)
                if session is not None:
                    sessions.append(session)
        sessions.sort(key=lambda session: session.used_ms)
        await self._end(sessions[: 1 - MAX_OF_PERSON], "gave way to a newer one")

    async def _end(self, sessions: Iterable[SignIn], why: str, by: str | None = None) -> None:
        for session in sessions:
            await self._end_one(session.sign_in_id)
            name = session.person.name
            text = why
            if by not in (None, name):
                text += f": {name}'s session"
            self.record(AuditEvent(AuditKind.SIGNIN_ENDED, text, about=session.sign_in_id, by=by or name))

    def _is_right(self, password: str, hashed: str | None) -> bool:
        """Compare a password with its hash. Blocks, so it runs in a thread."""
        try:
            Argon2id.verify_phc_encoded(_bytes(_normal(password)), hashed or DUMMY_HASH)
        except InvalidKey:
            return False
        return hashed is not None

    async def _in_turn(self, work: Callable[[], _T]) -> _T:
        """Run `work` in a thread, one at a time, so that all callers use at most 19 MiB and one core.

        Raises Overloaded if MAX_WAITING callers wait.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many passwords are checked at once", next_step="try again in a few seconds")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def csrf_token(secret: str) -> str:
    """Return the token that a page of this session sends with each change; only readers of our answers know it."""
    return hmac.new(secret.encode(), b"microclaw csrf", hashlib.sha256).hexdigest()


def _ticket_digest(session: SignIn, page: str) -> str:
    return hmac.new(session.hash, b"microclaw page " + page.encode(errors="replace"), hashlib.sha256).hexdigest()


def _normal(password: str) -> str:
    """Convert a password that can be typed in two ways to one form (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(text: str) -> bytes:
    # JSON can contain half a surrogate pair.
    return text.encode(errors="surrogatepass")
