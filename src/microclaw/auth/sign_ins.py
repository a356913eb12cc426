"""Browsers that are signed in: single-use links, passwords, sessions and how each ends. It sets no cookie.

A session's secret is a cookie, and its hash is in the store, as a link's is. Passwords are kept as Argon2id hashes.
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
from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import SIGN_IN, Codes, WrongTokens, digest_of
from microclaw.auth.people import OWNER, People, Person
from microclaw.auth.tokens import SECRET_BYTES, SESSION_PREFIX, Credentials
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.store.database import Database
from microclaw.store.sign_ins import LONGEST_MS, PasswordRow, PasswordTable, SignIn, SignInTable
from microclaw.text import clean_text

MAX_OF_PERSON: Final = 32  # sessions; the one that was used longest ago gives way
MAX_AGENT_CHARS: Final = 120
# OWASP, Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane. 60 ms here.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
NOBODYS: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"  # no password has it
MIN_CHARS: Final = 12
MAX_CHARS: Final = 128
MIN_DIFFERENT: Final = 5
MAX_WAITING: Final = 8  # for their turn to be hashed; more are refused at once
WRONG_OF_ADDRESS: Final = 10  # within a minute, then that address has to wait
WRONG_OF_NAME: Final = 10  # likewise for one person's name, from wherever they come
WRONG_OF_ALL: Final = 60  # likewise for everybody: at most 4 seconds of work a minute
_EVERYBODY: Final = "*"
_T = TypeVar("_T")


class TooManyTries(Exception):
    """This address, or this name, has to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class OpenedSession(Struct, frozen=True):
    """A new session, with the secret for its browser's cookie."""

    secret: str
    sign_in: SignIn


class SignIns(Credentials[SignIn]):
    """Made by `open_admission`. A session of a removed person, or one that is over, opens nothing."""

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
        """True if nobody has signed in here yet, and no password is set."""
        return not await self._table.list() and not await self._passwords.list()

    async def new_code(self, reference: str = OWNER.person_id) -> str:
        """A code for one sign-in of this person within its ten minutes."""
        person = self._people.named(reference)
        oldest = (await self._codes.list(SIGN_IN))[: 1 - SIGN_IN.in_all]
        code, _ = await self._codes.give(SIGN_IN, person.person_id, instead_of=oldest)
        text = f"for {SIGN_IN.life_s / 60:.0f} minutes"
        self.record(AuditEvent(AuditKind.SIGNIN_LINK, text, about=person.name, by=OWNER.name))
        return code

    async def with_code(self, code: str, *, address: str, agent: str) -> OpenedSession | None:
        """Use a code up; None when it is wrong, over or used. TooManyTries after many such, never for a right one."""
        row = await self._codes.take(SIGN_IN, code)
        if row is None:
            person = None
        else:
            person = await self._people.look_up(row.holder)
        if person is not None:
            return await self._open(person, "link", address, agent)
        source = single_address(address)
        wait_s = self._codes.locked_s(SIGN_IN, source)
        if wait_s > 0:
            self.record(AuditEvent(AuditKind.SIGNIN_LOCKED, "too many wrong links within a minute", address=address))
            raise TooManyTries(wait_s)
        self._codes.wrong(SIGN_IN, source)
        self.record(AuditEvent(AuditKind.SIGNIN_WRONG, "a link that is wrong, over or used", address=address))
        return None

    async def with_password(self, name: str, password: str, *, address: str, agent: str) -> OpenedSession | None:
        """None when name or password are wrong; TooManyTries before it is looked at, Overloaded.

        Each try counts before its hash is made, so that many at once are no way round; a right one counts no more.
        A password is checked even where there is none, so that its time tells nothing.
        """
        keys = (single_address(address), name.casefold()[:80], _EVERYBODY)
        counted = tuple(zip(self._tries, keys, strict=True))
        wait_s = max(tries.wait_s(key) for tries, key in counted)
        if wait_s > 0:
            self.record(AuditEvent(AuditKind.SIGNIN_LOCKED, "too many wrong passwords in a minute", address=address))
            raise TooManyTries(wait_s)
        for tries, key in counted:
            tries.add(key)
        try:
            person: Person | None = self._people.named(name)
        except UnknownName:
            person = None
        if person is None:
            row = None
        else:
            row = await self._passwords.get(person.person_id)
        is_right = await self._in_turn(lambda: self._is_right(password, None if row is None else row.hash))
        if is_right and person is not None:
            for tries, key in counted:
                tries.take_back(key)
            person = self._people.get(person.person_id)  # as it is now: somebody may have changed it meanwhile
        if not is_right or person is None:
            self.record(AuditEvent(AuditKind.SIGNIN_WRONG, "a wrong password, or an unknown name", address=address))
            return None
        return await self._open(person, "password", address, agent)

    async def set_password(self, reference: str, password: str) -> Person:
        """Every session of the person ends with the old one. ConfigError for one that is too short or too long, or
        repeats itself."""
        person = self._people.named(reference)
        text = _normal(password)
        different = len(set(_normal(password)))
        if not MIN_CHARS <= len(text) <= MAX_CHARS or different < MIN_DIFFERENT:
            fault = f"a password has {MIN_CHARS} to {MAX_CHARS} characters, {MIN_DIFFERENT} of them different"
            step = "take another one, for example four words"
            raise ConfigError(f"{fault}; this one {len(text)}, {different} different", next_step=step)
        salt = secrets.token_bytes(SALT_BYTES)
        made = Argon2id(salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
        hashed = await self._in_turn(lambda: made.derive_phc_encoded(_bytes(text)))
        await self._passwords.put(PasswordRow(person.person_id, hashed, self._now_ms()))
        return await self._password_changed(person, "set again", "a new password")

    async def remove_password(self, reference: str) -> Person:
        """No password opens anything for this person. UnknownName when there is none."""
        person = self._people.named(reference)
        if not await self._passwords.delete(person.person_id):
            raise UnknownName(f"{person.name} has no password", next_step=f"microclaw person password {person.name}")
        return await self._password_changed(person, "removed", "no password any more")

    async def _password_changed(self, person: Person, what: str, why: str) -> Person:
        self.record(AuditEvent(AuditKind.SIGNIN_PASSWORD, what, about=person.name, by=OWNER.name))
        theirs = [one for one in await self.list() if one.person.person_id == person.person_id]
        await self._end(theirs, why, OWNER.name)
        return person

    async def list(self) -> tuple[SignIn, ...]:
        """Those that open something."""
        found = (self._complete(row) for row in await self._table.list())
        return tuple(one for one in found if one is not None and self._lets_in(one))

    async def end(self, sign_in_id: str, why: str = "signed out", *, by: str | None = None) -> SignIn:
        """`by` None: its person ends it. UnknownName when there is no such session."""
        one = self._complete(await self._table.get(sign_in_id))
        if one is None or not self._lets_in(one):
            raise UnknownName(f"there is no session {sign_in_id[:40]!r}", next_step="microclaw person signins")
        await self._end((one,), why, by)
        return one

    async def _open(self, person: Person, how: str, address: str, agent: str) -> OpenedSession:
        await self._make_room(person)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        now_ms = self._now_ms()
        shown = clean_text(agent, one_line=True, limit=MAX_AGENT_CHARS)
        sign_in_id = f"{SESSION_PREFIX}{secrets.token_hex(4)}"
        one = SignIn(sign_in_id, person.person_id, digest_of(secret), how, address, shown, now_ms, now_ms, person)
        await self._table.put(one)
        self.record(AuditEvent(AuditKind.SIGNIN_OPENED, f"by {how}", address=address, about=sign_in_id, by=person.name))
        return OpenedSession(secret, one)

    async def _make_room(self, person: Person) -> None:
        """Forget what is over for good, and the least used of too many."""
        rows = await self._table.list()
        begun_ms = self._now_ms() - LONGEST_MS
        for row in (row for row in rows if row.made_ms <= begun_ms):
            await self._table.delete(row.sign_in_id)
        known = [self._complete(row) for row in rows if row.made_ms > begun_ms and row.person_id == person.person_id]
        theirs = sorted((one for one in known if one is not None), key=lambda one: one.used_ms)
        await self._end(theirs[: 1 - MAX_OF_PERSON], "gave way to a newer one")

    async def _end(self, sessions: Iterable[SignIn], why: str, by: str | None = None) -> None:
        for one in sessions:
            await self._end_one(one.sign_in_id)
            whose = one.person.name
            if by in (None, whose):
                text = why
            else:
                text = f"{why}: {whose}'s session"
            self.record(AuditEvent(AuditKind.SIGNIN_ENDED, text, about=one.sign_in_id, by=by or whose))

    def _is_right(self, password: str, hashed: str | None) -> bool:
        """Blocking: a thread's work."""
        try:
            Argon2id.verify_phc_encoded(_bytes(_normal(password)), hashed or NOBODYS)
        except InvalidKey:
            return False
        return hashed is not None

    async def _in_turn(self, work: Callable[[], _T]) -> _T:
        """In a thread, one at a time: 19 MiB and one core at the most, whoever asks."""
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many passwords are checked at once", next_step="try again in a few seconds")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def csrf_token(secret: str) -> str:
    """The token that a page of this session sends with each change: known to who may read our answers alone."""
    return hmac.new(secret.encode(), b"microclaw csrf", hashlib.sha256).hexdigest()


def _normal(password: str) -> str:
    """One form of what can be typed in two (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # JSON can carry half a pair
