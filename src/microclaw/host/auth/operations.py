"""The operations on people: who may enter, and with which tokens, passwords and sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

from msgspec import Meta, Struct

from microclaw.clock import now_ms
from microclaw.errors import UnknownName
from microclaw.host.auth.codes import SIGN_IN
from microclaw.host.operations.forms import NO_COMMAND, CommandForm, HttpAnswer
from microclaw.host.operations.operation import NAME, Access, Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Listing, Result, filled
from microclaw.host.store.people import Role, Scope
from microclaw.text import role_words

if TYPE_CHECKING:
    from microclaw.host.auth.admission import Admission
    from microclaw.host.store.people import Person
    from microclaw.host.store.sign_ins import SignIn


class PeopleService(Struct, frozen=True):
    """The parts that the operations use. `push` sends a text to a chat: channel, address, text, `person`."""

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
        return ", ".join(f"{address.channel}:{address.id}" for address in self.addresses) or "-"


class AskingPerson(Struct, frozen=True, kw_only=True):
    channel: str
    name: str
    seconds_left: int


class PeopleFacts(Listing, frozen=True, kw_only=True):
    """The people. `list_waiting_codes`: people who were shown a code and wait to be let in."""

    document: ClassVar = "people"
    columns: ClassVar = {"NAME": "name", "ROLE": "role", "WHERE": "where"}

    people: list[PersonFacts]
    asking: list[AskingPerson]

    @property
    def note(self) -> str:
        lines = []
        for person in self.asking:
            name = person.name or "a person"
            lines.append(f"{name} in {person.channel} asks to be let in: microclaw person pair CODE")
        return "\n".join(lines)


class RemovedAccess(Result, frozen=True, kw_only=True):
    """The name of a person or token that is not valid any more."""

    document: ClassVar = "removed"

    removed: str


class TokenFacts(Result, frozen=True, kw_only=True):
    document: ClassVar = "token"

    token_id: str
    name: str
    person: str
    role: Role
    scope: Scope
    page: Annotated[str, Meta(description="The one program's page that it opens; empty for the API.")]
    made_ms: int
    expires_ms: int | None
    used_ms: int | None


class NewToken(TokenFacts, frozen=True, kw_only=True):
    secret: Annotated[str, Meta(description="Only in this answer")]

    def lines(self) -> Iterable[str]:
        # It is the only line, for TOKEN=$(microclaw person tokens --add NAME).
        yield self.secret


class Tokens(Listing, frozen=True, kw_only=True):
    document: ClassVar = "tokens"
    columns: ClassVar = {
        "NAME": "name",
        "PERSON": "person",
        "SCOPE": "scope",
        "PAGE": "page",
        "USED": "used_ms",
        "UNTIL": "expires_ms",
    }
    empty: ClassVar = "no token yet: microclaw person tokens --add NAME"

    tokens: list[TokenFacts]


class SignInFacts(Struct, frozen=True, kw_only=True):
    """A session. `this`: the caller's own session."""

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
    empty: ClassVar = "no browser is signed in: microclaw status --open"

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
    """Declare an operation that only an owner may do, on the host's command line, as its result outlives a token."""
    return operation(name, http=http, permission=Permission.ACT, access=Access.SOCKET, **more)


@operation("person.list", http="GET /v1/people", access=Access.OWN)
async def list_people(service: PeopleService, call: OperationCall) -> PeopleFacts:
    """List the people of this host, and those who ask to be let in."""
    people = service.admission.people
    asking = []
    for row in await people.list_waiting_codes():
        seconds_left = round((row.until_ms - now_ms()) / 1000)
        asking.append(AskingPerson(channel=row.place, name=row.about, seconds_left=seconds_left))
    return PeopleFacts(people=list(map(_facts, people.list())), asking=asking)


@_socket(
    "person.pair",
    "POST /v1/people/pair",
    answer=HttpAnswer(201),
    command=CommandForm(said="{name} may write now, as {role}"),
    # The words must not contain the code.
    words="let people in",
)
async def pair(
    service: PeopleService,
    call: OperationCall,
    code: Annotated[str, Meta(min_length=1, max_length=32, description="The 6 digits that the person was shown.")],
    name: Annotated[str | None, Meta(max_length=400, description="Their name, or the name of a person here.")] = None,
    role: Annotated[Role | None, Meta(description="owner without --name: you. [default: member]")] = None,
) -> PersonFacts:
    """Let in the person who shows CODE: read-only people look, guests ask, members act, owners decide."""
    person = await service.admission.people.pair(code, role, name)
    channel, address = person.addresses[-1]
    await service.push(channel, address, _welcome(person), person=person.person_id)
    return _facts(person)


@_socket(
    "person.add",
    "POST /v1/people",
    answer=HttpAnswer(201),
    command=CommandForm(said="{name} is {is_a}; a link for their browser: microclaw status --open --person {name!r}"),
)
async def add(service: PeopleService, call: OperationCall, name: NewName, role: RoleOf = "member") -> PersonFacts:
    """Add a person without a channel: they sign in by a link or a password."""
    return _facts(await service.admission.people.add(name, role))


@_socket(
    "person.role",
    "PATCH /v1/people/{name}",
    effect=Effect.IDEMPOTENT,
    command=CommandForm(said="{name} is {is_a} from now on"),
)
async def change_role(service: PeopleService, call: OperationCall, name: Name, role: RoleOf) -> PersonFacts:
    """Change a person's role; it counts at once, for open sessions and tokens too."""
    return _facts(await service.admission.people.change_role(name, role))


@_socket(
    "person.rm",
    "DELETE /v1/people/{name}",
    command=CommandForm(
        said="{removed} is no longer known here", confirm="{name} and every token of theirs will be shut out. Go on?"
    ),
)
async def remove(service: PeopleService, call: OperationCall, name: Name) -> RemovedAccess:
    """Forget a person, with their addresses, tokens, password and sessions."""
    person = await service.admission.people.remove(name)
    return RemovedAccess(removed=person.name)


@_socket(
    "person.password",
    "PUT /v1/people/{name}/password",
    command=CommandForm(said="the password of {name} is changed; older sessions are ended"),
    # The words must not contain the password.
    words="set passwords",
)
async def set_password(service: PeopleService, call: OperationCall, name: Name, password: Password) -> PersonFacts:
    """Set a password, or remove it with null; every session of the person ends."""
    sign_ins = service.admission.sign_ins
    if password is None:
        person = await sign_ins.remove_password(name)
    else:
        person = await sign_ins.set_password(name, password)
    return _facts(person)


@operation("person.tokens", http="GET /v1/tokens", access=Access.OWN)
async def list_tokens(service: PeopleService, call: OperationCall) -> Tokens:
    """List every token for the API, never its secret."""
    tokens = []
    for token in await service.admission.tokens.list():
        tokens.append(filled(TokenFacts, token, person=token.person.name, role=token.person.role))
    return Tokens(tokens=tokens)


@_socket("person.add-token", "POST /v1/tokens", answer=HttpAnswer(201), command=CommandForm("tokens"))
async def add_token(
    service: PeopleService,
    call: OperationCall,
    *,
    name: Annotated[NewName, Option("--add", metavar="NAME")],
    person: Of = "owner",
    days: Annotated[int | None, Meta(ge=1, le=3650, description="It ends after this many days.")] = None,
    scope: Annotated[Scope, Meta(description="read: look; chat: ask, too; act: as a member; all: as its person.")] = (
        "all"
    ),
) -> NewToken:
    """Make a token for the API and print it: it is shown this once, keep it secret."""
    secret = await service.admission.tokens.create(name, person, days=days, scope=scope)
    tokens = await service.admission.tokens.list()
    token = next(token for token in tokens if token.name == name)
    return filled(NewToken, token, person=token.person.name, role=token.person.role, secret=secret)


@_socket(
    "person.rm-token", "DELETE /v1/tokens/{name}", command=CommandForm("tokens", said="{removed} is not valid any more")
)
async def remove_token(
    service: PeopleService, call: OperationCall, name: Annotated[Name, Option("--rm", metavar="NAME")]
) -> RemovedAccess:
    """End a token: it is not valid from now on."""
    token = await service.admission.tokens.remove(name)
    return RemovedAccess(removed=token.name)


@operation("person.signins", http="GET /v1/signins", access=Access.LOOK)
async def list_sign_ins(service: PeopleService, call: OperationCall) -> SignInList:
    """List the browsers that are signed in: your own, for an owner all."""
    sessions = []
    for session in await _sign_ins(service, call):
        facts = filled(
            SignInFacts,
            session,
            id=session.number,
            person=session.person.name,
            browser=session.agent,
            this=session.number == call.chat_id,
        )
        sessions.append(facts)
    return SignInList(signins=sessions)


@operation(
    "person.end-signin",
    http="DELETE /v1/signins/{session}",
    access=Access.LOOK,
    effect=Effect.IDEMPOTENT,
    command=CommandForm("signins"),
)
async def end_sign_in(
    service: PeopleService,
    call: OperationCall,
    session: Annotated[
        str, Meta(pattern=NAME, description="Its id in the list, or all."), Option("--end", metavar="ID|all")
    ],
) -> EndedSignIns:
    """End a session at once, or all that the list shows."""
    sessions = await _sign_ins(service, call)
    ids = [sign_in.sign_in_id for sign_in in sessions if session in ("all", sign_in.sign_in_id)]
    if not ids and session != "all":
        raise UnknownName(f"there is no session {session[:40]!r}", next_step="microclaw person signins")
    caller_name = service.admission.gate.name_of(call.person_id)
    for sign_in_id in ids:
        await service.admission.sign_ins.end(sign_in_id, by=caller_name)
    return EndedSignIns(ended=ids)


@_socket("person.link", "POST /v1/signin/links", answer=HttpAnswer(201), command=NO_COMMAND)
async def link(service: PeopleService, call: OperationCall, person: Of = "owner") -> SignInLink:
    """Make a code that signs a browser in once."""
    owner = service.admission.people.find_by_name(person)
    code = await service.admission.sign_ins.new_code(owner.person_id)
    return SignInLink(person=owner.name, role=cast(Role, owner.role), path=f"/signin#{code}", expires_s=SIGN_IN.life_s)


async def _sign_ins(service: PeopleService, call: OperationCall) -> list[SignIn]:
    """Return the sessions that the caller may see and end."""
    caller = service.admission.people.get(call.person_id)
    sessions = await service.admission.sign_ins.list()
    if caller is None:
        return []
    if caller.role == "owner":
        return list(sessions)
    return [session for session in sessions if session.person.person_id == caller.person_id]


def _facts(person: Person) -> PersonFacts:
    addresses = [PersonAddress(channel=channel, id=address) for channel, address in person.addresses]
    return filled(PersonFacts, person, addresses=addresses)


def _welcome(person: Person) -> str:
    """Return the first message to a person who was let in.

    The id of a private chat is the person's (Telegram Bot API, Chat), so the message can be sent to their address.
    """
    if person.role == "read-only":
        return f"Welcome, {person.name}: you may look at the boards, in a browser or with a token, and not chat here."
    permission = "look at the boards" if person.role == "guest" else "work with the boards"
    return f"Welcome, {person.name}: you may {permission} now. Say what you want, for example: what can you do?"
