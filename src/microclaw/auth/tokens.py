"""Tokens by which programs come in over HTTP in a person's name. They are shown once; hashes are kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final

from microclaw.audit import AuditEvent, AuditKind
from microclaw.auth.codes import digest_of
from microclaw.auth.people import OWNER, RANK, Person, Role, limited_id
from microclaw.auth.watches import SECRET_BYTES, Credentials
from microclaw.errors import ConfigError, Overloaded, UnknownName, over_limit
from microclaw.store.people import Scope as Scope
from microclaw.store.people import Token as Token
from microclaw.text import role_words

PREFIX: Final = "mc_"
MAX_TOKENS: Final = 256
DAY_MS: Final = 86_400_000
SCOPES: Final[Mapping[Scope, Role]] = {"read": "read-only", "chat": "guest", "act": "member", "all": "owner"}
"""The most that a token of this scope is, whoever its person is."""
MAX_NAME_CHARS: Final = 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_RULE: Final = f"letters, digits, spaces, . _ and -, at most {MAX_NAME_CHARS}"


IDENTITY: Final = frozenset({"people", "person_addresses", "person_tokens", "sign_ins"})


class PersonTokens(Credentials[Token]):
    """`PersonTokens(PersonTokenTable(database), people)`; one that expired, or of a removed person, is not valid."""

    async def fresh(self) -> None:
        """Return once this host knows what any host ended before. StoreError where that cannot be known."""
        await self._table.catch_up_with(IDENTITY)

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
        token = Token(token_id, name, person_id, digest_of(secret), now_ms, expires_ms, None, scope)
        if not await self._table.add(token):
            raise _name_taken(name)
        until = "for good" if days is None else f"for {days} day{'' if days == 1 else 's'}"
        less = "" if scope == "all" else f", scope {scope}"
        text = f"acts as {person.name}{less}, {until}"
        self.record(AuditEvent(AuditKind.TOKEN_MADE, text, about=name, by=OWNER.name))
        return secret

    async def who(self, secret: str) -> Token | None:
        """The token of this secret; None when it is not valid."""
        return self._shown(await self._row(secret) if secret.startswith(PREFIX) else None)

    async def lapsed(self, secret: str) -> str | None:
        """The name of a token that opens nothing any more; None for a secret that never was one, or was removed."""
        row = await self._row(secret) if secret.startswith(PREFIX) else None
        return None if row is None else row.name

    async def list(self) -> tuple[Token, ...]:
        return tuple(token for row in await self._table.list() if (token := self._complete(row)) is not None)

    async def remove(self, reference: str) -> Token:
        """End the token of this name or id; UnknownName."""
        for token in await self.list():
            if reference in (token.name, token.token_id):
                if not await self._end_one(token.token_id):
                    break  # another host was faster
                text = f"of {token.person.name}"
                self.record(AuditEvent(AuditKind.TOKEN_REVOKED, text, about=token.name, by=OWNER.name))
                return token
        raise UnknownName(f"there is no token {reference[:40]!r}", next_step="microclaw token list")

    def _person_of(self, row: Token) -> Person | None:
        person, most = self._roles.get(row.person_id), SCOPES[row.scope]
        is_less = person is not None and RANK[most] < RANK[person.role]
        return self._roles.get(limited_id(row.person_id, most)) if is_less else person

    def _is_over(self, one: Token, now_ms: int) -> bool:
        return one.expires_ms is not None and one.expires_ms <= now_ms


def _name_taken(name: str) -> ConfigError:
    return ConfigError(
        f"there is a token named {name} already", next_step=f"another name, or: microclaw token rm {name!r}"
    )
