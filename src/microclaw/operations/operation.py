"""The declaration of an act, from which its route, command, tool and call by a client are derived. It runs nothing.

    @operation("schedule.rm", http="DELETE /v1/schedules/{schedule}", permission=Permission.ACT)
    async def remove(schedules: Schedules, call: Call, schedule: Annotated[int, Meta(description="...")]) -> Removed:

The first parameter is the room's own service, the second who asks; the others are what a caller gives. Their types are
msgspec's, their `Meta` is the help of the command and the schema of route and tool alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from enum import IntEnum, StrEnum
from functools import cached_property, reduce
from importlib import import_module
from operator import attrgetter, or_
from string import Formatter
from types import NoneType, SimpleNamespace
from typing import (
    Annotated,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from microclaw.errors import ConfigError, PermissionRefused
from microclaw.events import AskedProgram, Report
from microclaw.operations.operation_modules import MODULES
from microclaw.operations.result import OnMany

P = ParamSpec("P")
R = TypeVar("R")


class Permission(StrEnum):
    """An act's need: to look, to act on a board, or a person's yes, as it cannot be undone."""

    READ = "read"
    ACT = "act"
    RISKY = "risky"


class Effect(StrEnum):
    """The effect of a second run: it changes nothing, it gives the same state again, or it acts twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Access(IntEnum):
    """The least that a caller must be; each has all that is before it."""

    OPEN = 0  # no token and no session
    LOOK = 1  # read-only: status, devices, logs, telemetry
    ASK = 2  # guest: chats, and calls tools that read
    ACT = 3  # member
    OWN = 4  # owner
    SOCKET = 5  # the command line of the host's own account: no token and no session


NAME: Final = r"^(?=.*\S)[^/]+$"
"""The pattern of a name that stands in a path."""
_ACCESS: Final = {Permission.READ: Access.ASK, Permission.ACT: Access.ACT, Permission.RISKY: Access.OWN}


class Approve(Protocol):
    """Returns when it may be done; raises PermissionRefused for a no.

    `text` and `detail` say what would happen, `needs` what that needs where it is not the act's own permission.
    """

    def __call__(
        self, text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None, /
    ) -> Awaitable[None]: ...


async def approve_all(*_: object) -> None:
    """For a call that needs no approval, or has one."""


async def approve_none(*_: object) -> None:
    """For a call that says nothing of approvals."""
    raise PermissionRefused("nobody can be asked", next_step="ask for it in a chat or at a terminal")


class OperationCall(Struct, frozen=True):
    """The caller of an act. `device` is the one that is meant where the parameters name none.

    `channel` and `chat_id` are the person's chat. `direct`: at the command line of this machine. `asks`: a person may
    have to say yes yet; else it is said already. `on_begin` is called before the first change: from then on the act is
    not cancelled.
    """

    person_id: str
    report: Report
    device: str | None = None
    channel: str = "terminal"
    chat_id: str = "terminal"
    approve: Approve = approve_none
    direct: bool = False
    asks: bool = True
    on_begin: Callable[[], None] = lambda: None


class Option(Struct, frozen=True):
    """A parameter's form on the command line.

    It is the option `flag` ("-n/--newest"), an `argument` that may be left out, all words that follow (`rest`), or not
    there at all (`hidden`).

    `told` is the type that callers are told, where those inside the host may give more. `reads` makes the value of the
    option's text: of a file's name its content, of "10m" a time.
    """

    flag: str = ""
    metavar: str | None = None
    rest: bool = False
    argument: bool = False
    hidden: bool = False
    told: Any = None
    reads: Callable[[str], Any] | None = None


class Parameter(Struct, frozen=True):
    """`default` is msgspec.NODEFAULT where it must be given."""

    name: str
    annotation: Any
    default: Any

    @property
    def kind(self) -> Any:
        """Its type, without what is said of it."""
        if hasattr(self.annotation, "__metadata__"):
            return get_args(self.annotation)[0]
        return self.annotation

    @property
    def meta(self) -> Meta:
        return self._said(Meta)

    @property
    def option(self) -> Option:
        return self._said(Option)

    @property
    def told(self) -> Any:
        """The type that callers are told, with its Meta."""
        kind: Any = self.option.told or self.kind
        if NoneType not in get_args(kind):
            return Annotated[kind, self.meta]
        # The bounds are for these types: None has no bounds.
        kinds = [part for part in get_args(kind) if part is not NoneType]
        return Annotated[Annotated[reduce(or_, kinds), self.meta] | None, Meta(description=self.meta.description)]

    def _said(self, kind: type[R]) -> R:
        for item in getattr(self.annotation, "__metadata__", ()):
            if isinstance(item, kind):
                return item
        return kind()


@dataclass(frozen=True, eq=False)
class operation:
    """The declaration of an act; the function becomes its Operation.

    `name` is "noun.verb", `http` the method and path of its route, `tool` the name of its tool.

    `said` is its result in a sentence, with the result's fields in braces: the command prints it, a tool gives it as
    evidence. `words` is what a person is asked, and `confirm` what the command asks first, with the parameters in
    braces, or by a function of them; `shows` is the parameter whose items a question about many devices has besides.
    `before` is awaited before a model's call is asked about: it raises what `run` would refuse, or returns the
    permission that these values need. An act that `previews` awaits `call.approve` itself, when it can show what would
    happen.
    `place` is the path of what it made, with the result's fields in braces.
    `asks`: a person is asked where the settings say so of an ACT; of a RISKY act somebody always is.
    `steps`: its route answers with its steps as JSON lines; a `cancellable` one calls `call.on_begin`.
    `many` is the route that does it on many devices; `offers` is the method that a device needs for it. `among` gives,
    of devices that nobody named, those that are meant. `media`: its answer is of this type, and no JSON. `reads` is the
    form of a body that `run` reads itself. `at_address`: its command also takes a board's HOST:PORT, without a host.
    `command` is its verb on the command line, if another; of acts that share one, the first is meant where no other's
    needed parameter is given.
    """

    name: str
    _: KW_ONLY
    http: str | None = None
    permission: Permission = Permission.READ
    effect: Effect | None = None  # READ or ONCE, by the permission
    access: Access | None = None  # by the permission
    status: int = 200
    place: str | None = None
    tool: str | None = None
    is_command: bool = True
    command: str = ""  # its verb
    said: str | None = None
    words: str | None = None
    confirm: str | Callable[[Mapping[str, Any]], str | None] | None = None
    shows: str | None = None
    before: Callable[..., Awaitable[Permission | None]] | None = None
    previews: bool = False
    here: Callable[[Any], Any] | None = None
    asks: bool = False
    steps: bool = False
    cancellable: bool = False
    many: str | None = None
    offers: str = ""
    among: Callable[..., Awaitable[Sequence[Any]]] | None = None
    media: str = ""
    reads: type | None = None
    at_address: bool = False

    def __call__(self, run: Callable[Concatenate[Any, OperationCall, P], Awaitable[R]]) -> Operation[P, R]:
        made = Operation(**vars(self), run=run)
        OPERATIONS[self.name] = made
        return made


@dataclass(frozen=True, eq=False)
class Operation(operation, Generic[P, R]):
    """A declared act. `on_many`: as it is done on many devices by one request."""

    run: Callable[Concatenate[Any, OperationCall, P], Awaitable[R]]
    on_many: bool = False

    @property
    def does(self) -> Effect:
        return self.effect or (Effect.READ if self.permission is Permission.READ else Effect.ONCE)

    @cached_property
    def least(self) -> Access:
        if self.access is None:
            return _ACCESS[self.permission]
        return self.access

    @cached_property
    def noun(self) -> str:
        return self.name.partition(".")[0]

    @property
    def verb(self) -> str:
        return self.name.partition(".")[2]

    @cached_property
    def help(self) -> str:
        return inspect.getdoc(self.run) or ""

    @property
    def summary(self) -> str:
        return self.help.partition("\n")[0]

    @cached_property
    def method(self) -> str:
        return (self.http or "").partition(" ")[0]

    @property
    def path(self) -> str:
        return (self.http or "").partition(" ")[2]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        parameters = []
        for argument in list(inspect.signature(self.run).parameters.values())[2:]:
            if self.on_many and argument.name == "device":
                continue
            default = argument.default
            if default is argument.empty:
                default = msgspec.NODEFAULT
            parameters.append(Parameter(argument.name, self._hints[argument.name], default))
        if self.on_many:
            parameters += _CHOICE
        return tuple(parameters)

    @cached_property
    def result(self) -> Any:
        made = self._hints["return"]
        many = cast("Any", OnMany)
        if self.on_many:
            return many[made]
        return made

    @cached_property
    def of_many(self) -> Operation[..., Any]:
        return replace(self, name=f"{self.name}.many", http=self.many, many=None, on_many=True)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        first = list(inspect.signature(self.run).parameters)[:2]
        known = {name: hint for name, hint in self.run.__annotations__.items() if name not in first}
        return get_type_hints(SimpleNamespace(__annotations__=known), self.run.__globals__, include_extras=True)

    @cached_property
    def in_path(self) -> frozenset[str]:
        return frozenset(name for _, name, _, _ in Formatter().parse(self.path) if name)

    @cached_property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")

    @cached_property
    def form(self) -> type[msgspec.Struct]:
        return self.form_of(self.parameters)

    @cached_property
    def texts(self) -> type[msgspec.Struct]:
        """Its parameters that a request has as texts: in the path, and without a body in the query."""
        return self.form_of([one for one in self.parameters if one.name in self.in_path or not self.has_body])

    @cached_property
    def lists(self) -> frozenset[str]:
        """Its parameters that may be there more than once in a query."""
        return frozenset(one.name for one in self.parameters if get_origin(one.kind) is list)

    @cached_property
    def body(self) -> type[msgspec.Struct]:
        """Its parameters that a request has in the body."""
        return self.form_of([one for one in self.parameters if one.name not in self.in_path and self.has_body])

    @cached_property
    def inside(self) -> type[msgspec.Struct]:
        """As `form`, of those inside the host."""
        return self.form_of(self.parameters, _inside_type)

    def form_of(
        self, parameters: Sequence[Parameter], kind: Callable[[Parameter], Any] = attrgetter("told")
    ) -> type[msgspec.Struct]:
        fields = [(parameter.name, kind(parameter), parameter.default) for parameter in parameters]
        name = "".join(word.capitalize() for word in self.name.replace("-", ".").split("."))
        return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True)

    def check(self, values: Mapping[str, Any]) -> str | None:
        """Return what is wrong with these values, in a line; None when nothing is."""
        try:
            msgspec.convert(values, self.form)
        except msgspec.ValidationError as exc:
            return fault(exc)
        return None

    def request(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        """Return the path, query and body of a request with these values, without defaults. Raises ConfigError."""
        wrong = self.check(values)
        if wrong is not None:
            raise ConfigError(f"{self.name}: {wrong}", next_step="its parameters are in docs/reference/cli.md")
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        fields = {}
        for name, value in values.items():
            if value is not defaults[name]:
                fields[name] = msgspec.to_builtins(value)
        names = {name: quote(str(fields.pop(name)), safe="") for name in self.in_path}
        path = self.path.format(**names)
        if self.has_body:
            return path, {}, fields
        return path, fields, None

    def sentence(self, result: R) -> str | None:
        """Return the sentence that `said` gives for it, or its own."""
        instead: str | None = getattr(result, "instead", None)
        if instead or self.said is None:
            return instead or None
        return self.said.format_map(cast("Any", result))

    def question(self, values: Mapping[str, Any]) -> str | None:
        """Return the question that the command asks first, or None."""
        ask = self.confirm
        if isinstance(ask, str):
            return ask.format_map(values)
        return ask and ask(values)

    def asked(self, values: Mapping[str, Any]) -> str:
        """Return the words of a question or a refusal: "pause schedule 3"."""
        if self.words is not None:
            return self.words.format_map(values)
        words = [self.verb, self.noun]
        for parameter in self.parameters:
            if parameter.default is msgspec.NODEFAULT:
                words.append(str(values[parameter.name]))
        return " ".join(words)


def _inside_type(parameter: Parameter) -> Any:
    if parameter.option.told:
        return parameter.kind
    return parameter.told


MAX_CHOSEN: Final = 1000
_CHOICE: Final = (
    Parameter("devices", Annotated[list[str], Meta(max_length=MAX_CHOSEN, description="Their names.")], []),
    Parameter("labels", Annotated[list[str], Meta(max_length=16, description="Those that have all of these.")], []),
    Parameter("all", bool, default=False),
)
"""Which devices: exactly one of the three."""
OPERATIONS: Final[dict[str, Operation[..., Any]]] = {}


def fault(error: Exception) -> str:
    """Return a msgspec error such as "Expected `int` - at `$.number`" as "number: expected int"."""
    text, _, place = str(error).partition(" - at `$")
    text = f"{text[:1].lower()}{text[1:]}".replace("`", "")
    return f"{place.strip('`').lstrip('.') or 'the request'}: {text}"[:300]


def load(noun: str | None = None) -> tuple[Operation[..., Any], ...]:
    """Import the modules of one noun or all, and return their declared acts."""
    if noun is not None:
        import_module(MODULES[noun])
        return tuple(operation for operation in OPERATIONS.values() if operation.noun == noun)
    for module in dict.fromkeys(MODULES.values()):
        import_module(module)
    return tuple(OPERATIONS.values())
