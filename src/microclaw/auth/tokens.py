"""Tokens by which programs come in over HTTP in a person's name. They are shown once; hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.people import OWNER, RANK, Role, Roles, limited_id
from microclaw.auth.recheck import Freshness, alone
from microclaw.auth.watches import TokenWatch, Watches
from microclaw.errors import ConfigError, Overloaded, UnknownName, over_limit
from microclaw.store.people import PersonTokenTable
from microclaw.store.people import Scope as Scope
from microclaw.store.people import Token as Token
from microclaw.text import role_words

PREFIX: Final = "mc_"
SECRET_BYTES: Final = 32
NOTED_USE_MS: Final = 60_000  # a use is written down at most once a minute
MAX_TOKENS: Final = 256
MAX_SECRET_CHARS: Final = 128
DAY_MS: Final = 86_400_000
SCOPES: Final[Mapping[Scope, Role]] = {"read": "read-only", "chat": "guest", "act": "member", "all": "owner"}
"""The most that a token of this scope is, whoever its person is."""
MAX_NAME_CHARS: Final = 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_RULE: Final = f"letters, digits, spaces, . _ and -, at most {MAX_NAME_CHARS}"


class PersonTokens:
    """`PersonTokens(table, roles)`; a token that expired, or of a removed person, is not valid."""

    def __init__(
        self,
        table: PersonTokenTable,
        roles: Roles,
        *,
        now_s: Callable[[], float] = time.time,
        record: Record = no_record,
        fresh: Freshness = alone,
    ) -> None:
        self.record = record
        self._table = table
        self._roles = roles
        self._now_s = now_s
        self.fresh = fresh
        self._used: dict[str, int] = {}  # when they were last used here, which may not be written yet
        self._watches = Watches()
        table.follow(self.recheck)

    async def recheck(self) -> None:
        """End the connections whose token was removed at another host, or whose person changed."""
        if self._watches:
            self._watches.keep(frozenset(row.token_id for row in await self._table.list()))

    async def create(self, name: str, person_id: str, *, days: int | None = None, scope: Scope = "all") -> str:
        """The secret, shown this once. ConfigError for a name that is none or taken, or a scope above the person's."""
        if len(name) > MAX_NAME_CHARS:
            raise ConfigError(over_limit("the token's name", MAX_NAME_CHARS, "character", len(name)), next_step=_RULE)
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name for a token", next_step=_RULE)
        person = self._roles.get(person_id)
        if person is None:
            raise UnknownName(f"there is no person {person_id[:40]!r}", next_step="microclaw person list")
        if scope != "all" and RANK[SCOPES[scope]] > RANK[person.role]:
            text = f"{person.name} is {role_words(person.role)}, and the scope {scope} is {role_words(SCOPES[scope])}'s"
            raise ConfigError(text, next_step="a smaller --scope, or none: the token is then all that its person is")
        known = await self._table.list()
        if any(row.name == name for row in known):
            raise _name_taken(name)
        if len(known) >= MAX_TOKENS:
            raise Overloaded(f"there are {MAX_TOKENS} tokens already", next_step="microclaw token rm NAME")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now_ms = self._now_ms()
        expires_ms = None if days is None else now_ms + days * DAY_MS
        token_id = f"t-{secrets.token_hex(4)}"
        token = Token(token_id, name, person_id, _digest(secret), now_ms, expires_ms, None, scope)
        if not await self._table.add(token):
            raise _name_taken(name)
        until = "for good" if days is None else f"for {days} day{'' if days == 1 else 's'}"
        less = "" if scope == "all" else f", scope {scope}"
        text = f"acts as {person.name}{less}, {until}"
        self.record(AuditEvent(AuditKind.TOKEN_MADE, text, about=name, by=OWNER.name))
        return secret

    async def who(self, secret: str) -> Token | None:
        """The token of this secret; None when it is not valid."""
        token = self._complete(await self._row(secret))
        if token is None or not self._lets_in(token):
            return None
        now_ms = self._now_ms()
        if token.used_ms is None or now_ms - token.used_ms >= NOTED_USE_MS:
            self._used[token.token_id] = now_ms
            self._table.note_use(token.token_id, now_ms)
        return token

    async def lapsed(self, secret: str) -> str | None:
        """The name of a token that opens nothing any more; None for a secret that never was one, or was removed."""
        row = await self._row(secret)
        return None if row is None else row.name

    @asynccontextmanager
    async def watching(self, token_id: str | None) -> AsyncGenerator[TokenWatch]:
        """The watch of one connection, over already when the token went meanwhile; None or "" is no token."""
        with self._watches.one(token_id or None) as watch:
            if watch.token_id is not None:
                token = self._complete(await self._table.by_id(watch.token_id))
                watch.is_good = lambda: token is not None and self._lets_in(token)
            yield watch

    async def list(self) -> tuple[Token, ...]:
        return tuple(token for row in await self._table.list() if (token := self._complete(row)) is not None)

    async def remove(self, reference: str) -> Token:
        """End the token of this name or id; UnknownName."""
        for token in await self.list():
            if reference in (token.name, token.token_id):
                if not await self._table.delete(token.token_id):
                    break  # another host was faster
                self._used.pop(token.token_id, None)
                text = f"of {token.person.name}"
                self.record(AuditEvent(AuditKind.TOKEN_REVOKED, text, about=token.name, by=OWNER.name))
                self._watches.end(token.token_id)
                return token
        raise UnknownName(f"there is no token {reference[:40]!r}", next_step="microclaw token list")

    async def _row(self, secret: str) -> Token | None:
        if not secret.startswith(PREFIX) or len(secret) > MAX_SECRET_CHARS or not secret.isascii():
            return None
        digest = _digest(secret)
        row = await self._table.by_hash(digest)
        if row is None and await self._table.catch_up():  # another host made it a moment ago
            row = await self._table.by_hash(digest)
        return row if row is not None and hmac.compare_digest(row.hash, digest) else None

    def _lets_in(self, token: Token) -> bool:
        """Whether the token is not over, and its person is who they were when it was read."""
        person = self._roles.get(token.person.person_id)
        if person is None or person.role != token.person.role:
            return False
        return token.expires_ms is None or token.expires_ms > self._now_ms()

    def _complete(self, row: Token | None) -> Token | None:
        """With the person that it comes in as, and its last use; None where there is no such person."""
        if row is None:
            return None
        person, most = self._roles.get(row.person_id), SCOPES[row.scope]
        if person is not None and RANK[most] < RANK[person.role]:
            person = self._roles.get(limited_id(row.person_id, most))
        used = [at_ms for at_ms in (row.used_ms, self._used.get(row.token_id)) if at_ms is not None]
        return None if person is None else replace(row, person=person, used_ms=max(used, default=None))

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _name_taken(name: str) -> ConfigError:
    return ConfigError(
        f"there is a token named {name} already", next_step=f"another name, or: microclaw token rm {name!r}"
    )
