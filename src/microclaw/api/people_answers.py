"""The forms of answers about people: who is known, signed in, remembered, and talks. As in answers.py."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.auth.people import Role
from microclaw.auth.tokens import Scope
from microclaw.store.usage import UsageGroup


class PersonAddress(TypedDict):
    channel: str
    id: str


class PersonFacts(TypedDict):
    person_id: str
    name: str
    role: Role
    addresses: list[PersonAddress]


class AskingPerson(TypedDict):
    channel: str
    name: str
    seconds_left: int


class PeopleFacts(TypedDict):
    """`asking`: who shows a code and waits to be let in."""

    people: list[PersonFacts]
    asking: list[AskingPerson]


class PasswordSet(TypedDict):
    person: str


class TokenFacts(TypedDict):
    token_id: str
    name: str
    person: str
    role: Role
    scope: Scope
    made_ms: int
    expires_ms: int | None
    used_ms: int | None


class Tokens(TypedDict):
    tokens: list[TokenFacts]


class NewToken(TokenFacts):
    secret: Annotated[str, Field(description="In this answer alone")]


class OpenedSignIn(TypedDict):
    """`csrf` goes with each change; the cookie is in `Set-Cookie`."""

    name: str
    role: Role
    id: str
    ends_ms: int
    csrf: str


class Myself(TypedDict):
    """`may`: the least access that this role has (x-access of the routes); `by`: how the caller came in."""

    person_id: str
    name: str
    role: Role
    may: str
    by: Literal["socket", "session", "token"]
    id: str
    csrf: str | None


class EndedSignIn(TypedDict):
    ended: str


class SignInFacts(TypedDict):
    """`this`: the caller's own."""

    id: str
    person: str
    role: Role
    how: str
    address: str
    browser: str
    made_ms: int
    used_ms: int
    ends_ms: int
    this: bool


class SignInList(TypedDict):
    signins: list[SignInFacts]


class SignInLink(TypedDict):
    person: str
    role: Role
    path: Annotated[str, Field(description="Behind the address of this host")]
    expires_s: float


class UsageCounts(TypedDict):
    """`estimated` requests reported no tokens; the price of `unpriced` ones is not known."""

    requests: int
    failed: int
    estimated: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float


class UsageRow(UsageCounts):
    """Of what `by` says: one of these five."""

    day: NotRequired[str | None]
    person: NotRequired[str | None]
    chat: NotRequired[str | None]
    model: NotRequired[str | None]
    task: NotRequired[str | None]


class BudgetFacts(TypedDict):
    """null: no limit."""

    day_usd: float | None
    day_tokens: int | None
    person_day_usd: float | None
    person_day_tokens: int | None
    resets_at: str


class Usage(TypedDict):
    by: UsageGroup
    days: int
    since: str
    groups: list[UsageRow]
    total: UsageCounts
    today: UsageCounts
    budget: BudgetFacts
