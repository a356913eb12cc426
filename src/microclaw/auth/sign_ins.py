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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from microclaw.addresses import single_address
from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import SIGN_IN, Codes, WrongTokens, digest_of
from microclaw.auth.people import OWNER, People, Person
from microclaw.auth.tokens import SECRET_BYTES, SESSION_PREFIX, Credentials
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.store.database import Database
from microclaw.store.sign_ins import LONGEST_MS, PasswordTable, SignIn, SignInTable
from microclaw.text import clean_text

MAX_OF_PERSON: Final = 32  # sessions; the one that was used longest ago gives way
MAX_AGENT_CHARS: Final = 120
# OWASP, Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane. 60 ms here.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
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
        codes: Codes,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> None:
        super().__init__(SignInTable(database), people, now_s=now_s, record=record)
        self._people = people
        self._codes = codes
        self._passwords = PasswordTable(database)
        limits = (WRONG_OF_ADDRESS, WRONG_OF_NAME, WRONG_OF_ALL)
        self._tries = tuple(WrongTokens(limit, monotonic_s) for limit in limits)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._nobodys: str | None = None

    async def never_used(self) -> bool:
        """Whether nobody has signed in here yet, and no password is set."""
        return not await self._table.list() and not await self._passwords.any()

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
        """None when name or password are wrong; TooManyTries before it is looked at, Overloaded.

        Each try counts before its hash is made, so that many at once are no way round; a right one counts no more.
        A password is checked even where there is none, so that its time tells nothing.
        """
        keys = (single_address(address), name.casefold()[:80], _EVERYBODY)
        counted = tuple(zip(self._tries, keys, strict=True))
        if (wait_s := max(tries.wait_s(key) for tries, key in counted)) > 0:
            self._note(AuditKind.SIGNIN_LOCKED, "too many wrong passwords within a minute", address)
            raise TooManyTries(wait_s)
        for tries, key in counted:
            tries.add(key)
        try:
            person: Person | None = self._people.named(name)
        except UnknownName:
            person = None
        hashed = None if person is None else await self._passwords.get(person.person_id)
        is_right = await self._in_turn(lambda: self._is_right(password, hashed))
        if is_right and person is not None:
            for tries, key in counted:
                tries.take_back(key)
            person = self._people.get(person.person_id)  # as it is now: somebody may have changed it meanwhile
        if not is_right or person is None:
            self._note(AuditKind.SIGNIN_WRONG, "a wrong password, or nobody of that name", address)
            return None
        return await self._open(person, "password", address, agent)

    async def set_password(self, reference: str, password: str) -> Person:
        """Every session of the person ends with the old one. ConfigError for one that is too short or too long, or
        repeats itself."""
        person = self._people.named(reference)
        text = _normal(password)
        fault = None
        if not MIN_CHARS <= len(text) <= MAX_CHARS:
            fault = f"a password has {MIN_CHARS} to {MAX_CHARS} characters, this one {len(text)}"
        elif len(set(text)) < MIN_DIFFERENT:
            fault = f"a password has {MIN_DIFFERENT} different characters or more, this one {len(set(text))}"
        if fault is not None:
            raise ConfigError(fault, next_step="take another one, for example four words")
        hashed = await self._in_turn(lambda: _hash(text))
        await self._passwords.put(person.person_id, hashed, self._now_ms())
        return await self._password_changed(person, "set anew", "a new password")

    async def remove_password(self, reference: str) -> Person:
        """No password opens anything for this person. UnknownName when there is none."""
        person = self._people.named(reference)
        if not await self._passwords.delete(person.person_id):
            raise UnknownName(f"{person.name} has no password", next_step=f"microclaw person password {person.name}")
        return await self._password_changed(person, "removed", "no password any more")

    async def _password_changed(self, person: Person, what: str, why: str) -> Person:
        self.record(AuditEvent(AuditKind.SIGNIN_PASSWORD, what, about=person.name, by=OWNER.name))
        await self.end_all(person.person_id, why, by=OWNER.name)
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
        raise UnknownName(f"there is no session {sign_in_id[:40]!r}", next_step="microclaw person signins")

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
        await self._table.put(one)
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

    def _is_right(self, password: str, hashed: str | None) -> bool:
        """Blocking: a thread's work."""
        if self._nobodys is None:
            self._nobodys = _hash(secrets.token_urlsafe(HASH_BYTES))
        try:
            Argon2id.verify_phc_encoded(_bytes(_normal(password)), hashed or self._nobodys)
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

    def _person_of(self, row: SignIn) -> Person | None:
        return self._people.get(row.person_id)

    def _note(
        self, kind: AuditKind, text: str, address: str, *, about: str | None = None, by: str | None = None
    ) -> None:
        self.record(AuditEvent(kind, text, address=address, about=about, by=by))


def csrf_token(secret: str) -> str:
    """What a page of this session sends in a header with each change: known to who may read our answers alone."""
    return hmac.new(secret.encode(), b"microclaw csrf", hashlib.sha256).hexdigest()


def _normal(password: str) -> str:
    """One form of what can be typed in two (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # JSON can carry half a pair


def _hash(text: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    made = Argon2id(salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return made.derive_phc_encoded(_bytes(text))
