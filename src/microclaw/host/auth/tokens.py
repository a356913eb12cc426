"""Tokens by which programs use HTTP in a person's name, and the code that they share with browsers' sessions.

A secret is shown once, and only its hash is stored. Its last use is stored, and each connection that it opened is
watched.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, TypeVar

from msgspec.structs import replace

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, UnknownName, over_limit
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.codes import digest_of
from microclaw.host.auth.people import OWNER, RANK, People, limited_id
from microclaw.host.store.people import AccessToken, CredentialTable, Person, Role
from microclaw.host.store.people import Scope as Scope
from microclaw.host.store.sign_ins import SignIn
from microclaw.text import role_words

MAX_SECRET_CHARS: Final = 128
SECRET_BYTES: Final = 32
# A use is stored at most once a minute.
USE_WRITE_INTERVAL_MS: Final = 60_000
# The id of a session begins with it; a token's begins with t-.
SESSION_PREFIX: Final = "s-"
# The credential of an open connection is checked again after this time.
RECHECK_S: Final = 1.0
PREFIX: Final = "mc_"
MAX_TOKENS: Final = 256
DAY_MS: Final = 86_400_000
SCOPES: Final[Mapping[Scope, Role]] = {"read": "read-only", "chat": "guest", "act": "member", "all": "owner"}
"""The highest role of a token of this scope, whatever the role of its person."""
MAX_NAME_CHARS: Final = 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_RULE: Final = f"letters, digits, spaces, . _ and -, at most {MAX_NAME_CHARS}"


IDENTITY: Final = frozenset({"people", "person_addresses", "person_tokens", "sign_ins"})

C = TypeVar("C", AccessToken, SignIn)


class TokenWatch:
    """True while an open connection may stay.

    Its token or session must exist and be valid, and its person must have the same role as before. It is made by
    `Credentials.watch`. The watch of a connection that needed no credential never ends.
    """

    def __init__(self, token_id: str | None) -> None:
        self.token_id = token_id
        self.is_good: Callable[[], bool] = lambda: True
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    def check(self) -> bool:
        """Check it again, in memory."""
        if not self.is_good():
            self.end()
        return not self._ended.is_set()

    async def until_ended(self) -> None:
        """Return at once after the token is removed; within RECHECK_S after it expires or its person changes."""
        pause_s = None if self.token_id is None else RECHECK_S
        while self.check():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ended.wait()


class Credentials(Generic[C]):
    """The credentials of one kind. A secret is shown once, and only its hash is stored."""

    def __init__(
        self,
        table: CredentialTable[C],
        people: People,
        *,
        now_ms: Callable[[], int] = now_ms,
        record: Record = no_record,
    ) -> None:
        self._table: CredentialTable[C] = table
        self._people = people
        self._now_ms = now_ms
        self.record = record
        # The last use here of each credential, which may not be stored yet.
        self._used: dict[str, int] = {}
        self._watches: set[TokenWatch] = set()
        table.follow(self.recheck)

    async def authenticate(self, secret: str) -> C | None:
        """Return the credential of this secret, and count it as a use; None if it is not valid."""
        return await self._admit(await self._row(secret))

    async def _admit(self, row: C | None) -> C | None:
        """Return the credential of a row whose secret was right, and count it as a use; None if it is over."""
        if row is None:
            return None
        await self._people.look_up(row.person_id)
        credential = self._complete(row)
        now_ms = self._now_ms()
        if credential is None or not self._lets_in(credential):
            return None
        if credential.used_ms is None or now_ms - credential.used_ms >= USE_WRITE_INTERVAL_MS:
            self._used[credential.number] = now_ms
            self._table.note_use(credential.number, now_ms)
        return credential

    async def recheck(self) -> None:
        """End the connections whose token or session ended at another host, or whose person changed."""
        if not self._watches:
            return
        numbers = {row.number for row in await self._table.list()}
        for watch in self._watches:
            if watch.token_id is not None and watch.token_id not in numbers:
                watch.end()
            watch.check()

    @asynccontextmanager
    async def watch(self, number: str | None) -> AsyncGenerator[TokenWatch]:
        """Watch one connection by its credential's id; with None or "" the watch never ends.

        It has ended already if the credential was removed meanwhile.
        """
        watch = TokenWatch(number or None)
        self._watches.add(watch)
        try:
            if number:
                credential = self._complete(await self._table.get(number))
                watch.is_good = lambda: credential is not None and self._lets_in(credential)
            yield watch
        finally:
            self._watches.discard(watch)

    def _person_of(self, row: C) -> Person | None:
        """Return the person that the credential acts as."""
        return self._people.get(row.person_id)

    async def _row(self, secret: str) -> C | None:
        if not 0 < len(secret) <= MAX_SECRET_CHARS:
            return None
        digest = digest_of(secret)
        row = await self._table.by_hash(digest)
        if row is None or not hmac.compare_digest(row.hash, digest):
            return None
        return row

    def _complete(self, row: C | None) -> C | None:
        """Return the row with its person and its last use; None if the person does not exist."""
        if row is None:
            return None
        person = self._person_of(row)
        if person is None:
            return None
        used_ms = max(row.used_ms or 0, self._used.get(row.number, 0))
        return replace(row, person=person, used_ms=used_ms or row.used_ms)

    def _lets_in(self, credential: C) -> bool:
        """Return True if it is not over, and its person still has the role of when it was read."""
        person = self._people.get(credential.person.person_id)
        if person is None or person.role != credential.person.role:
            return False
        return not credential.is_over(self._now_ms())

    async def _end_one(self, number: str) -> None:
        await self._table.delete(number)
        self._used.pop(number, None)
        for watch in self._watches:
            if watch.token_id == number:
                watch.end()


class PersonTokens(Credentials[AccessToken]):
    """The tokens of a store: `PersonTokens(PersonTokenTable(database), people)`.

    A token that expired, or whose person was removed, is not valid.
    """

    async def catch_up(self) -> None:
        """Return once this host knows all tokens that any host ended before; raises StoreError if it cannot know."""
        await self._table.database.catch_up_with(IDENTITY)

    async def authenticate(self, secret: str, page: str = "") -> AccessToken | None:
        """Return the token of this secret, and count it as a use; None if it is not valid, or for another page."""
        row = await self._row(secret)
        if row is None or row.page != page:
            return None
        return await self._admit(row)

    async def create(
        self, name: str, reference: str, *, days: int | None = None, scope: Scope = "all", page: str = ""
    ) -> str:
        """Make a token and return its secret, which is shown only here. With a `page` it opens nothing else.

        Raises ConfigError for an invalid or taken name, and for a scope above the person's role.
        """
        person = self._people.find_by_name(reference)
        _check_name(name)
        _check_scope(scope, person)
        if len(await self._table.list()) >= MAX_TOKENS:
            raise Overloaded(f"there are {MAX_TOKENS} tokens already", next_step="microclaw person tokens --rm NAME")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now_ms = self._now_ms()
        expires_ms = None
        text = f"acts as {person.name}"
        if page:
            text += f", only for the page of {page}"
        elif scope != "all":
            text += f", scope {scope}"
        if days is None:
            text += ", for good"
        else:
            expires_ms = now_ms + days * DAY_MS
            plural = "" if days == 1 else "s"
            text += f", for {days} day{plural}"
        token_id = f"t-{secrets.token_hex(4)}"
        token = AccessToken(token_id, name, person.person_id, digest_of(secret), now_ms, expires_ms, None, scope, page)
        if not await self._table.add_new(token):
            step = f"another name, or: microclaw person tokens --rm {name!r}"
            raise ConfigError(f"there is a token named {name} already", next_step=step)
        self.record(AuditEvent(AuditKind.TOKEN_MADE, text, about=name, by=OWNER.name))
        return secret

    async def find_expired_name(self, secret: str) -> str | None:
        """Return the name of a token that is not valid any more.

        None for a secret that was never a token, or was removed.
        """
        row = await self._row(secret)
        return None if row is None else row.name

    async def list(self) -> tuple[AccessToken, ...]:
        tokens = map(self._complete, await self._table.list())
        return tuple(token for token in tokens if token is not None)

    async def remove(self, reference: str) -> AccessToken:
        """End the token of this name or id; raises UnknownName if there is none."""
        for token in await self.list():
            if reference in (token.name, token.token_id):
                await self._end_one(token.token_id)
                text = f"of {token.person.name}"
                self.record(AuditEvent(AuditKind.TOKEN_REVOKED, text, about=token.name, by=OWNER.name))
                return token
        raise UnknownName(f"there is no token {reference[:40]!r}", next_step="microclaw person tokens")

    def _person_of(self, row: AccessToken) -> Person | None:
        person = self._people.get(row.person_id)
        most = SCOPES[row.scope]
        if person is not None and RANK[most] < RANK[person.role]:
            return self._people.get(limited_id(row.person_id, most))
        return person


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise ConfigError(over_limit("the token's name", MAX_NAME_CHARS, "character", len(name)), next_step=_RULE)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a valid name for a token", next_step=_RULE)


def _check_scope(scope: Scope, person: Person) -> None:
    role = SCOPES[scope]
    if scope != "all" and RANK[role] > RANK[person.role]:
        text = f"{person.name} is {role_words(person.role)}, and the scope {scope} is {role_words(role)}'s"
        raise ConfigError(text, next_step="a smaller --scope, or none: the token then has its person's role")
