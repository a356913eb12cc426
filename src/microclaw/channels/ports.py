"""What a channel needs of the rest of the host, as narrow Protocols. Declarations only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from microclaw.auth.approvals import Listener, Pending


class Person(Protocol):
    @property
    def person_id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...


class People(Protocol):
    """Who may come in (auth.people)."""

    async def find(self, channel: str, external_id: str) -> Person | None: ...

    def owners(self) -> Sequence[Person]: ...

    def addresses(self, person_id: str) -> Sequence[tuple[str, str]]:
        """(channel, external id) of somebody."""
        ...

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        """A code that the owner admits this person with; Overloaded when too many wait."""
        ...


class TokenOwner(Protocol):
    """A bearer token that was found, and whose it is (auth.tokens)."""

    @property
    def token_id(self) -> str: ...

    @property
    def person(self) -> Person: ...


class Tokens(Protocol):
    async def who(self, secret: str) -> TokenOwner | None: ...


class Approvals(Protocol):
    """Acts that wait for a yes or a no (auth.approvals)."""

    def listen(self, listener: Listener) -> Callable[[], None]: ...

    def pending(self) -> tuple[Pending, ...]: ...

    def may_decide(self, pending: Pending, by: str) -> bool:
        """Whether a yes of this person would count."""
        ...

    def decide(self, approval_id: str, *, approved: bool, by: str) -> Pending:
        """PermissionRefused for who may not, UnknownName for what was decided already."""
        ...
