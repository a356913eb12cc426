"""People's passwords: kept as Argon2id hashes, checked one at a time. It opens no session."""

from __future__ import annotations

import asyncio
import secrets
import time
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from microclaw.addresses import single_address
from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.people import OWNER, People, Person
from microclaw.auth.wrong_tokens import WrongTokens
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.store.database import Database
from microclaw.store.sign_ins import PasswordTable

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


class Passwords:
    """`Passwords(database, people)`. A password is checked even where there is none, so that its time tells nothing."""

    def __init__(
        self,
        database: Database,
        people: People,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> None:
        self._table = PasswordTable(database)
        self._people = people
        self._now_s = now_s
        self._record = record
        limits = (WRONG_OF_ADDRESS, WRONG_OF_NAME, WRONG_OF_ALL)
        self._tries = tuple(WrongTokens(limit, monotonic_s) for limit in limits)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._nobodys: str | None = None

    async def set(self, reference: str, password: str) -> Person:
        """The person's password from now on. ConfigError for one that is too short or too long, or repeats itself."""
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
        await self._table.put(person.person_id, hashed, int(self._now_s() * 1000))
        self._note(AuditKind.SIGNIN_PASSWORD, "set anew", person)
        return person

    async def remove(self, reference: str) -> Person:
        """No password opens anything for this person. UnknownName when there is none."""
        person = self._people.named(reference)
        if not await self._table.delete(person.person_id):
            raise UnknownName(f"{person.name} has no password", next_step=f"microclaw person password {person.name}")
        self._note(AuditKind.SIGNIN_PASSWORD, "removed", person)
        return person

    async def any_set(self) -> bool:
        return await self._table.any()

    async def check(self, name: str, password: str, address: str) -> Person | None:
        """The person of this name and password; None when it is wrong, TooManyTries before it is looked at.

        Each try counts before its hash is made, so that many at once are no way round; a right one counts no more.
        """
        keys = (single_address(address), name.casefold()[:80], _EVERYBODY)
        counted = tuple(zip(self._tries, keys, strict=True))
        wait_s = max(tries.wait_s(key) for tries, key in counted)
        if wait_s > 0:
            raise TooManyTries(wait_s)
        for tries, key in counted:
            tries.add(key)
        try:
            person: Person | None = self._people.named(name)
        except UnknownName:
            person = None
        hashed = None if person is None else await self._table.get(person.person_id)
        is_right = await self._in_turn(lambda: self._is_right(password, hashed))
        if not is_right or person is None:
            return None
        for tries, key in counted:
            tries.take_back(key)
        return self._people.get(person.person_id)  # as it is now: somebody may have changed it meanwhile

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

    def _note(self, kind: AuditKind, text: str, person: Person) -> None:
        self._record(AuditEvent(kind, text, about=person.name, by=OWNER.name))


def _normal(password: str) -> str:
    """One form of what can be typed in two (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # JSON can carry half a pair


def _hash(text: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    made = Argon2id(salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return made.derive_phc_encoded(_bytes(text))
