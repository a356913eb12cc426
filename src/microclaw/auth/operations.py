"""The acts of people: who may come in, and by which tokens, passwords and sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

from msgspec import Meta, Struct

from microclaw.auth.codes import SIGN_IN
from microclaw.clock import now_ms
from microclaw.errors import UnknownName
from microclaw.operations.operation import NAME, Access, Call, Effect, Option, Permission, operation
from microclaw.operations.result import Listing, Result, filled
from microclaw.store.people import Role, Scope
from microclaw.text import role_words

if TYPE_CHECKING:
    from microclaw.auth.admission import Admission
    from microclaw.auth.people import Person
    from microclaw.store.sign_ins import SignIn


class PeopleService(Struct, frozen=True):
    """The parts that the acts work with. `push` sends a text to a chat: channel, address, text, `person`."""

    admission: Admission
    push: Callable[..., Awaitable[int]]


class PersonAddress(Struct, frozen=True, kw_only=True):
    channel: str
    id: str


class PersonFacts(Result, frozen=True, kw_only=True):
    document: ClassVar = "person"

    person_id: str
    name: str
    role: Role
    addresses: list[PersonAddress]

    @property
    def is_a(self) -> str:
        return role_words(self.role)

    @property
    def where(self) -> str:
        return ", ".join(f"{one.channel}:{one.id}" for one in self.addresses) or "-"


class AskingPerson(Struct, frozen=True, kw_only=True):
    channel: str
    name: str
    seconds_left: int


class PeopleFacts(Listing, frozen=True, kw_only=True):
    """`asking`: who shows a code and waits to be let in."""

    document: ClassVar = "people"
    columns: ClassVar = {"NAME": "name", "ROLE": "role", "WHERE": "where"}

    people: list[PersonFacts]
    asking: list[AskingPerson]

    @property
    def note(self) -> str:
        asking = (f"{one.name or 'somebody'} in {one.channel}" for one in self.asking)
        return "\n".join(f"{who} asks to be let in: microclaw person pair CODE" for who in asking)


class RemovedAccess(Result, frozen=True, kw_only=True):
    """The name of a person or token that opens nothing any more."""

    document: ClassVar = "removed"

    removed: str


class TokenFacts(Result, frozen=True, kw_only=True):
    document: ClassVar = "token"

    token_id: str
    name: str
    person: str
    role: Role
    scope: Scope
    made_ms: int
    expires_ms: int | None
    used_ms: int | None


class NewToken(TokenFacts, frozen=True, kw_only=True):
    secret: Annotated[str, Meta(description="In this answer alone")]

    def lines(self) -> Iterable[str]:
        yield self.secret  # alone, for TOKEN=$(microclaw person tokens --add NAME)


class Tokens(Listing, frozen=True, kw_only=True):
    document: ClassVar = "tokens"
    columns: ClassVar = {"NAME": "name", "PERSON": "person", "SCOPE": "scope", "USED": "used_ms", "UNTIL": "expires_ms"}
    empty: ClassVar = "no token yet: microclaw person tokens --add NAME"

    tokens: list[TokenFacts]


class SignInFacts(Struct, frozen=True, kw_only=True):
    """`this`: the caller's own."""

    id: str
    person: str
    how: str
    address: str
    browser: str
    made_ms: int
    used_ms: int
    ends_ms: int
    this: bool


class SignInList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "signins"
    columns: ClassVar = {"ID": "id", "PERSON": "person", "BY": "how", "FROM": "address", "USED": "used_ms"}
    empty: ClassVar = "nobody is signed in: microclaw status --open"

    signins: list[SignInFacts]


class EndedSignIns(Result, frozen=True, kw_only=True):
    document: ClassVar = "signins"

    ended: list[str]

    def lines(self) -> Iterable[str]:
        yield f"{len(self.ended)} ended"


class SignInLink(Result, frozen=True, kw_only=True):
    person: str
    role: Role
    path: Annotated[str, Meta(description="Behind the address of this host")]
    expires_s: float


Name: TypeAlias = Annotated[str, Meta(pattern=NAME, description="The name, or the id.")]
NewName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=400, description="What it is called.")]
RoleOf: TypeAlias = Annotated[Role, Meta(description="Read-only people look, guests ask, members act, owners decide.")]
Password: TypeAlias = Annotated[str | None, Meta(min_length=1, max_length=512), Option(hidden=True)]
Of: TypeAlias = Annotated[str, Meta(max_length=80, description="In whose name.")]


def _socket(name: str, http: str, **more: Any) -> operation:
    """An owner's at the command line of the host: what it makes outlives a token."""
    return operation(name, http=http, permission=Permission.ACT, access=Access.SOCKET, **more)


@operation("person.list", http="GET /v1/people", access=Access.OWN)
async def list_people(service: PeopleService, call: Call) -> PeopleFacts:
    """List the people of this host, and those who ask to be let in."""
    people = service.admission.people
    asking = [
        AskingPerson(channel=row.place, name=row.about, seconds_left=round((row.until_ms - now_ms()) / 1000))
        for row in await people.asking()
    ]
    return PeopleFacts(people=[_facts(one) for one in people.list()], asking=asking)


@_socket(
    "person.pair",
    "POST /v1/people/pair",
    status=201,
    said="{name} may write now, as {role}",
    words="let people in",  # without the code
)
async def pair(
    service: PeopleService,
    call: Call,
    code: Annotated[str, Meta(min_length=1, max_length=32, description="The 6 digits that the person was shown.")],
    name: Annotated[str | None, Meta(max_length=400, description="What to call them, or somebody known.")] = None,
    role: Annotated[Role | None, Meta(description="owner without --name: you. [default: member]")] = None,
) -> PersonFacts:
    """Let in who shows CODE: read-only people look, guests ask, members act, owners decide."""
    person = await service.admission.people.pair(code, role, name)
    channel, address = person.addresses[-1]
    await service.push(channel, address, _welcome(person), person=person.person_id)
    return _facts(person)


@_socket(
    "person.add",
    "POST /v1/people",
    status=201,
    said="{name} is {is_a}; a link for their browser: microclaw status --open --person {name!r}",
)
async def add(service: PeopleService, call: Call, name: NewName, role: RoleOf = "member") -> PersonFacts:
    """Somebody without a channel: they sign in by a link or a password."""
    return _facts(await service.admission.people.add(name, role))


@_socket("person.role", "PATCH /v1/people/{name}", effect=Effect.IDEMPOTENT, said="{name} is {is_a} from now on")
async def change_role(service: PeopleService, call: Call, name: Name, role: RoleOf) -> PersonFacts:
    """Another role; it counts at once, for open sessions and tokens too."""
    return _facts(await service.admission.people.change_role(name, role))


@_socket(
    "person.rm",
    "DELETE /v1/people/{name}",
    said="{removed} is no longer known here",
    confirm="{name} and every token of theirs will be shut out. Go on?",
)
async def remove(service: PeopleService, call: Call, name: Name) -> RemovedAccess:
    """Forget somebody, with their addresses, tokens, password and sessions."""
    return RemovedAccess(removed=(await service.admission.people.remove(name)).name)


@_socket(
    "person.password",
    "PUT /v1/people/{name}/password",
    said="the password of {name} is changed; older sessions are ended",
    words="set passwords",  # without the password
)
async def set_password(service: PeopleService, call: Call, name: Name, password: Password) -> PersonFacts:
    """A new password, or null for none any more; every session of the person ends."""
    sign_ins = service.admission.sign_ins
    return _facts(await (sign_ins.remove_password(name) if password is None else sign_ins.set_password(name, password)))


@operation("person.tokens", http="GET /v1/tokens", access=Access.OWN)
async def list_tokens(service: PeopleService, call: Call) -> Tokens:
    """Every token for the API, never its secret."""
    found = await service.admission.tokens.list()
    return Tokens(tokens=[filled(TokenFacts, one, person=one.person.name, role=one.person.role) for one in found])


@_socket("person.add-token", "POST /v1/tokens", status=201, command="tokens")
async def add_token(
    service: PeopleService,
    call: Call,
    name: Annotated[NewName, Option("--add", metavar="NAME")],
    person: Of = "owner",
    days: Annotated[int | None, Meta(ge=1, le=3650, description="It ends after so many days.")] = None,
    scope: Annotated[Scope, Meta(description="read: look; chat: ask, too; act: as a member; all: as its person.")] = (
        "all"
    ),
) -> NewToken:
    """Make a token for the API and print it: it is shown this once, keep it secret."""
    secret = await service.admission.tokens.create(name, person, days=days, scope=scope)
    made = next(one for one in await service.admission.tokens.list() if one.name == name)
    return filled(NewToken, made, person=made.person.name, role=made.person.role, secret=secret)


@_socket("person.rm-token", "DELETE /v1/tokens/{name}", said="{removed} opens nothing any more", command="tokens")
async def remove_token(
    service: PeopleService, call: Call, name: Annotated[Name, Option("--rm", metavar="NAME")]
) -> RemovedAccess:
    """End a token: it opens nothing from now on."""
    return RemovedAccess(removed=(await service.admission.tokens.remove(name)).name)


@operation("person.signins", http="GET /v1/signins", access=Access.LOOK)
async def list_sign_ins(service: PeopleService, call: Call) -> SignInList:
    """Browsers that are signed in: the own ones, for an owner everybody's."""
    signins = [
        filled(
            SignInFacts, one, id=one.number, person=one.person.name, browser=one.agent, this=one.number == call.chat_id
        )
        for one in await _sign_ins(service, call)
    ]
    return SignInList(signins=signins)


@operation(
    "person.end-signin",
    http="DELETE /v1/signins/{session}",
    access=Access.LOOK,
    effect=Effect.IDEMPOTENT,
    command="signins",
)
async def end_sign_in(
    service: PeopleService,
    call: Call,
    session: Annotated[
        str, Meta(pattern=NAME, description="Its id in the list, or all."), Option("--end", metavar="ID|all")
    ],
) -> EndedSignIns:
    """End a session at once, or all that the list shows."""
    ended = [one.sign_in_id for one in await _sign_ins(service, call) if session in ("all", one.sign_in_id)]
    if not ended and session != "all":
        raise UnknownName(f"there is no session {session[:40]!r}", next_step="microclaw person signins")
    for one in ended:
        await service.admission.sign_ins.end(one, by=service.admission.gate.name_of(call.person_id))
    return EndedSignIns(ended=ended)


@_socket("person.link", "POST /v1/signin/links", status=201, is_command=False)
async def link(service: PeopleService, call: Call, person: Of = "owner") -> SignInLink:
    """A code that signs a browser in once."""
    who = service.admission.people.named(person)
    code = await service.admission.sign_ins.new_code(who.person_id)
    return SignInLink(person=who.name, role=cast(Role, who.role), path=f"/signin#{code}", expires_s=SIGN_IN.life_s)


async def _sign_ins(service: PeopleService, call: Call) -> list[SignIn]:
    """Those that the caller may see and end."""
    by = service.admission.people.get(call.person_id)
    found = await service.admission.sign_ins.list()
    return [one for one in found if by is not None and (by.role == "owner" or one.person.person_id == by.person_id)]


def _facts(person: Person) -> PersonFacts:
    addresses = [PersonAddress(channel=channel, id=address) for channel, address in person.addresses]
    return filled(PersonFacts, person, addresses=addresses)


def _welcome(person: Person) -> str:
    """The first words to somebody who was let in: a private chat's id is its person's (Telegram Bot API, Chat)."""
    if person.role == "read-only":
        return f"Welcome, {person.name}: you may look at the boards, in a browser or with a token, and not chat here."
    may = "look at the boards" if person.role == "guest" else "work with the boards"
    return f"Welcome, {person.name}: you may {may} now. Say what you want, for example: what can you do?"
