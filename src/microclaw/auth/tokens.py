"""Tokens by which programs come in over HTTP in a person's name, and what a browser's session shares with them.

A secret is shown once, and its hash is kept; its use is noted, and each connection that it opened is watched.
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

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import digest_of
from microclaw.auth.people import OWNER, RANK, People, Person, Role, limited_id
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, Overloaded, UnknownName, over_limit
from microclaw.store.people import CredentialTable
from microclaw.store.people import Scope as Scope
from microclaw.store.people import Token as Token
from microclaw.store.sign_ins import SignIn
from microclaw.text import role_words

MAX_SECRET_CHARS: Final = 128
SECRET_BYTES: Final = 32
NOTED_USE_MS: Final = 60_000  # a use is written down at most once a minute
SESSION_PREFIX: Final = "s-"  # of a session's id; a token's begins with t-
RECHECK_S: Final = 1.0  # what an open connection came in with is looked at again
PREFIX: Final = "mc_"
MAX_TOKENS: Final = 256
DAY_MS: Final = 86_400_000
SCOPES: Final[Mapping[Scope, Role]] = {"read": "read-only", "chat": "guest", "act": "member", "all": "owner"}
"""The most that a token of this scope is, whoever its person is."""
MAX_NAME_CHARS: Final = 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_RULE: Final = f"letters, digits, spaces, . _ and -, at most {MAX_NAME_CHARS}"


IDENTITY: Final = frozenset({"people", "person_addresses", "person_tokens", "sign_ins"})

C = TypeVar("C", Token, SignIn)


class TokenWatch:
    """True while an open connection may stay: its token or session is there and not over, and its person has the role
    they had.

    Made by `Credentials.watching`. The watch of a connection that needed neither never ends.
    """

    def __init__(self, token_id: str | None) -> None:
        self.token_id = token_id
        self.is_good: Callable[[], bool] = lambda: True
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    def check(self) -> bool:
        """Look at it again, in memory."""
        if not self.is_good():
            self.end()
        return not self._ended.is_set()

    async def until_ended(self) -> None:
        """Return at once when the token is removed; when it expires or its person changes, within RECHECK_S."""
        pause_s = None if self.token_id is None else RECHECK_S
        while self.check():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ended.wait()


class Credentials(Generic[C]):
    """Those of one kind. A secret is shown once, and its hash is kept."""

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
        self._used: dict[str, int] = {}  # when they were last used here, which may not be written yet
        self._watches: set[TokenWatch] = set()
        table.follow(self.recheck)

    async def who(self, secret: str) -> C | None:
        """The one of this secret, which is a use of it; None when it lets nobody in."""
        row = await self._row(secret)
        if row is None:
            return None
        await self._people.look_up(row.person_id)
        one = self._complete(row)
        now_ms = self._now_ms()
        if one is None or not self._lets_in(one):
            return None
        if one.used_ms is None or now_ms - one.used_ms >= NOTED_USE_MS:
            self._used[one.number] = now_ms
            self._table.note_use(one.number, now_ms)
        return one

    async def recheck(self) -> None:
        """End the connections whose token or session ended at another host, or whose person changed."""
        if self._watches:
            good = {None, *(row.number for row in await self._table.list())}
        else:
            good = set[str | None]()
        for watch in self._watches:
            if watch.token_id not in good:
                watch.end()
            watch.check()

    @asynccontextmanager
    async def watching(self, number: str | None) -> AsyncGenerator[TokenWatch]:
        """The watch of one connection, over already when what it came in with went meanwhile; None or "": nothing."""
        watch = TokenWatch(number or None)
        self._watches.add(watch)
        try:
            if number:
                one = self._complete(await self._table.get(number))
                watch.is_good = lambda: one is not None and self._lets_in(one)
            yield watch
        finally:
            self._watches.discard(watch)

    def _person_of(self, row: C) -> Person | None:
        """The person of the credential."""
        return self._people.get(row.person_id)

    async def _row(self, secret: str) -> C | None:
        if not 0 < len(secret) <= MAX_SECRET_CHARS:
            return None
        digest = digest_of(secret)
        row = await self._table.by_hash(digest)
        return row if row is not None and hmac.compare_digest(row.hash, digest) else None

    def _complete(self, row: C | None) -> C | None:
        """With its person, and its last use; None where there is no such person."""
        if row is None or (person := self._person_of(row)) is None:
            return None
        used_ms = max(row.used_ms or 0, self._used.get(row.number, 0))
        return replace(row, person=person, used_ms=used_ms or row.used_ms)

    def _lets_in(self, one: C) -> bool:
        """True if it is not over, and its person is who they were when it was read."""
        person = self._people.get(one.person.person_id)
        return person is not None and person.role == one.person.role and not one.is_over(self._now_ms())

    async def _end_one(self, number: str) -> None:
        await self._table.delete(number)
        self._used.pop(number, None)
        for watch in self._watches:
            if watch.token_id == number:
                watch.end()


class PersonTokens(Credentials[Token]):
    """`PersonTokens(PersonTokenTable(database), people)`; one that expired, or of a removed person, is not valid."""

    async def fresh(self) -> None:
        """Return once this host knows what any host ended before. StoreError where that cannot be known."""
        await self._table.database.catch_up_with(IDENTITY)

    async def create(self, name: str, reference: str, *, days: int | None = None, scope: Scope = "all") -> str:
        """The secret, shown this once. ConfigError for a name that is none or taken, or a scope above the person's."""
        person = self._people.named(reference)
        if len(name) > MAX_NAME_CHARS:
            raise ConfigError(over_limit("the token's name", MAX_NAME_CHARS, "character", len(name)), next_step=_RULE)
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name for a token", next_step=_RULE)
        if scope != "all" and RANK[SCOPES[scope]] > RANK[person.role]:
            text = f"{person.name} is {role_words(person.role)}, and the scope {scope} is {role_words(SCOPES[scope])}'s"
            raise ConfigError(text, next_step="a smaller --scope, or none: the token is then all that its person is")
        if len(await self._table.list()) >= MAX_TOKENS:
            raise Overloaded(f"there are {MAX_TOKENS} tokens already", next_step="microclaw person tokens --rm NAME")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now_ms = self._now_ms()
        if days is None:
            expires_ms = None
        else:
            expires_ms = now_ms + days * DAY_MS
        token_id = f"t-{secrets.token_hex(4)}"
        token = Token(token_id, name, person.person_id, digest_of(secret), now_ms, expires_ms, None, scope)
        if not await self._table.add_new(token):
            step = f"another name, or: microclaw person tokens --rm {name!r}"
            raise ConfigError(f"there is a token named {name} already", next_step=step)
        if days is None:
            until = "for good"
        else:
            until = f"for {days} day{'' if days == 1 else 's'}"
        if scope == "all":
            less = ""
        else:
            less = f", scope {scope}"
        text = f"acts as {person.name}{less}, {until}"
        self.record(AuditEvent(AuditKind.TOKEN_MADE, text, about=name, by=OWNER.name))
        return secret

    async def lapsed(self, secret: str) -> str | None:
        """The name of a token that opens nothing any more; None for a secret that never was one, or was removed."""
        row = await self._row(secret)
        return None if row is None else row.name

    async def list(self) -> tuple[Token, ...]:
        return tuple(token for row in await self._table.list() if (token := self._complete(row)) is not None)

    async def remove(self, reference: str) -> Token:
        """End the token of this name or id; UnknownName."""
        for token in await self.list():
            if reference in (token.name, token.token_id):
                await self._end_one(token.token_id)
                text = f"of {token.person.name}"
                self.record(AuditEvent(AuditKind.TOKEN_REVOKED, text, about=token.name, by=OWNER.name))
                return token
        raise UnknownName(f"there is no token {reference[:40]!r}", next_step="microclaw person tokens")

    def _person_of(self, row: Token) -> Person | None:
        person = self._people.get(row.person_id)
        most = SCOPES[row.scope]
        is_less = person is not None and RANK[most] < RANK[person.role]
        if is_less:
            return self._people.get(limited_id(row.person_id, most))
        return person
