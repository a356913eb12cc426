"""The declaration of an operation; its route, command, tool and client call are derived from it. It runs nothing.

    @operation("schedule.rm", http="DELETE /v1/schedules/{schedule}", permission=Permission.ACT)
    async def remove(
        schedules: Schedules, call: OperationCall, schedule: Annotated[int, Meta(description="...")]
    ) -> Removed:

The first parameter is the room's own service, the second is the caller; the others are the caller's arguments. Their
types are msgspec's; their `Meta` is the help of the command and the schema of route and tool.
"""

from __future__ import annotations

import inspect
import re
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

from msgspec import NODEFAULT, Meta, Struct, ValidationError, defstruct, to_builtins

from microclaw.conversion import convert
from microclaw.errors import ConfigError, PermissionRefused
from microclaw.events import AskedProgram, Report
from microclaw.host.operations.forms import (
    PLAIN_ANSWER,
    PLAIN_COMMAND,
    Asks,
    CommandForm,
    HttpAnswer,
    ManyForm,
    Steps,
    ToolForm,
)
from microclaw.host.operations.operation_modules import MODULES
from microclaw.host.operations.result import OnMany

P = ParamSpec("P")
R = TypeVar("R")
S_contra = TypeVar("S_contra", contravariant=True)


class Permission(StrEnum):
    """What an operation needs: to read, to act on a board, or a person's approval because it cannot be undone."""

    READ = "read"
    ACT = "act"
    RISKY = "risky"


class Effect(StrEnum):
    """The effect of a second run: it changes nothing, it gives the same state again, or it acts twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Access(IntEnum):
    """The minimum access level; each level includes the lower ones."""

    # No token and no session.
    OPEN = 0
    # Read-only: status, devices, logs, telemetry.
    LOOK = 1
    # A guest: chats, and calls tools that read.
    ASK = 2
    # A member.
    ACT = 3
    # An owner.
    OWN = 4
    # The command line of the host's own account: no token and no session.
    SOCKET = 5


NAME: Final = r"^(?=.*\S)[^/]+$"
"""The pattern of a name in a path."""
_ACCESS: Final = {Permission.READ: Access.ASK, Permission.ACT: Access.ACT, Permission.RISKY: Access.OWN}


class Approve(Protocol):
    """Returns when the operation is approved; raises PermissionRefused if it is refused.

    `text` and `detail` say what would happen; `needs` is the permission for that, if not the operation's own.
    """

    def __call__(
        self, text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None, /
    ) -> Awaitable[None]: ...


async def approve_all(*_: object) -> None:
    """Approve a call that needs no approval, or has one."""


async def approve_none(*_: object) -> None:
    """Refuse a call that has no way to ask for an approval."""
    raise PermissionRefused("no user can be asked", next_step="ask for it in a chat or at a terminal")


class OperationCall(Struct, frozen=True):
    """The caller of an operation. `device` is the device to use if the parameters name none.

    `channel` and `chat_id` are the person's chat. `direct`: at the command line of this machine. `asks`: a person may
    still have to approve; if False, the approval is already there. `on_begin` is called before the first change: from
    then on the operation cannot be cancelled. `may_defer`: the caller can have it done when its device is back.
    `is_planned`: the call is made later, so no device is asked: it may be unreachable now, and different then.
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
    may_defer: bool = False
    is_planned: bool = False


class Option(Struct, frozen=True):
    """A parameter's form on the command line.

    It is the option `flag` ("-n/--newest"), an `argument` that may be left out, all words that follow (`rest`), or it
    does not exist (`hidden`).

    `told` is the type exposed to callers, if callers inside the host may give more. `reads` makes the value from the
    option's text: from a file's name its content, from "10m" a time.
    """

    flag: str = ""
    metavar: str | None = None
    rest: bool = False
    argument: bool = False
    hidden: bool = False
    told: Any = None
    reads: Callable[[str], Any] | None = None


class Parameter(Struct, frozen=True):
    """A parameter of an operation; `default` is NODEFAULT if the caller must give it."""

    name: str
    annotation: Any
    default: Any

    @property
    def kind(self) -> Any:
        """Its type, without Meta and Option."""
        if hasattr(self.annotation, "__metadata__"):
            return get_args(self.annotation)[0]
        return self.annotation

    @property
    def meta(self) -> Meta:
        return self._annotation(Meta)

    @property
    def option(self) -> Option:
        return self._annotation(Option)

    @property
    def told(self) -> Any:
        """The type that is exposed to callers, with its Meta."""
        kind: Any = self.option.told or self.kind
        if NoneType not in get_args(kind):
            return Annotated[kind, self.meta]
        # The bounds are for these types: None has no bounds.
        kinds = [part for part in get_args(kind) if part is not NoneType]
        return Annotated[Annotated[reduce(or_, kinds), self.meta] | None, Meta(description=self.meta.description)]

    def _annotation(self, kind: type[R]) -> R:
        for item in getattr(self.annotation, "__metadata__", ()):
            if isinstance(item, kind):
                return item
        return kind()


@dataclass(frozen=True, eq=False)
class operation:
    """The declaration of an operation; the decorated function becomes its Operation.

    `name` is "noun.verb", `http` the method and path of its route.

    `words` is the text of an approval. `before` is awaited before a person is asked: it weighs these values, so it
    raises what `run` would refuse, else returns the permission that they need, or None for the operation's own. `here`
    makes the service of an operation that needs no host.
    `effect` and `access` follow from `permission` if they are None; without `effect` it is READ or ONCE.
    """

    name: str
    _: KW_ONLY
    http: str | None = None
    permission: Permission = Permission.READ
    effect: Effect | None = None
    access: Access | None = None
    asks: Asks = Asks.IF_RISKY
    words: str | None = None
    before: Callable[..., Awaitable[Permission | None]] | None = None
    steps: Steps = Steps.NONE
    answer: HttpAnswer = PLAIN_ANSWER
    command: CommandForm = PLAIN_COMMAND
    tool: ToolForm | None = None
    many: ManyForm | None = None
    here: Callable[[Any], Any] | None = None

    def __call__(
        self, run: Callable[Concatenate[S_contra, OperationCall, P], Awaitable[R]]
    ) -> Operation[P, R, S_contra]:
        declared = Operation(**vars(self), run=run)
        OPERATIONS[self.name] = declared
        return declared


@dataclass(frozen=True, eq=False)
class Operation(operation, Generic[P, R, S_contra]):
    """A declared operation. `on_many`: its form for many devices in one request.

    `reads` is the form of a body that `run` reads itself.
    """

    run: Callable[Concatenate[S_contra, OperationCall, P], Awaitable[R]]
    reads: type | None = None
    on_many: bool = False

    @property
    def own(self) -> Callable[..., Awaitable[Any]]:
        """The decorated function: it returns the operation's own result, of which `run` returns the view."""
        function: Callable[..., Awaitable[Any]] = inspect.unwrap(self.run)
        return function

    @property
    def previews(self) -> bool:
        return self.asks is Asks.ITSELF

    @property
    def is_asked_before(self) -> bool:
        """True if a person may have to approve it before it runs."""
        return self.asks is Asks.BEFORE or (self.asks is Asks.IF_RISKY and self.permission is Permission.RISKY)

    @property
    def does(self) -> Effect:
        if self.effect is not None:
            return self.effect
        return Effect.READ if self.permission is Permission.READ else Effect.ONCE

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
                default = NODEFAULT
            parameters.append(Parameter(argument.name, self._hints[argument.name], default))
        if self.on_many:
            parameters += _CHOICE
        return tuple(parameters)

    @cached_property
    def result(self) -> Any:
        result = self._hints["return"]
        if self.on_many:
            return cast("Any", OnMany)[result]
        return result

    @cached_property
    def of_many(self) -> Operation[..., Any, Any]:
        """Its form for many devices; only for an operation that has one."""
        assert self.many is not None
        return replace(self, name=f"{self.name}.many", http=self.many.http, on_many=True)

    @cached_property
    def routes(self) -> tuple[Operation[..., Any, Any], ...]:
        """The forms of it that have a route: its own, and the one for many devices."""
        routes: list[Operation[..., Any, Any]] = []
        if self.http is not None:
            routes.append(self)
        if self.many is not None:
            routes.append(self.of_many)
        return tuple(routes)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        first = list(inspect.signature(self.run).parameters)[:2]
        hints = {name: hint for name, hint in self.run.__annotations__.items() if name not in first}
        return get_type_hints(SimpleNamespace(__annotations__=hints), self.own.__globals__, include_extras=True)

    @cached_property
    def in_path(self) -> frozenset[str]:
        return frozenset(name for _, name, _, _ in Formatter().parse(self.path) if name)

    @cached_property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")

    @cached_property
    def form(self) -> type[Struct]:
        return self.form_of(self.parameters)

    @cached_property
    def texts(self) -> type[Struct]:
        """The parameters that a request has as texts: in the path, and in the query if it has no body."""
        return self.form_of(
            [parameter for parameter in self.parameters if parameter.name in self.in_path or not self.has_body]
        )

    @cached_property
    def lists(self) -> frozenset[str]:
        """The parameters that a query may have more than once."""
        return frozenset(parameter.name for parameter in self.parameters if get_origin(parameter.kind) is list)

    @cached_property
    def body(self) -> type[Struct]:
        """The parameters that a request has in the body."""
        if not self.has_body:
            return self.form_of([])
        return self.form_of([parameter for parameter in self.parameters if parameter.name not in self.in_path])

    @cached_property
    def inside(self) -> type[Struct]:
        """As `form`, for callers inside the host."""
        return self.form_of(self.parameters, _inside_type)

    def form_of(
        self, parameters: Sequence[Parameter], kind: Callable[[Parameter], Any] = attrgetter("told")
    ) -> type[Struct]:
        fields = [(parameter.name, kind(parameter), parameter.default) for parameter in parameters]
        name = "".join(word.capitalize() for word in self.name.replace("-", ".").split("."))
        return defstruct(name, fields, forbid_unknown_fields=True, kw_only=True)

    def check(self, values: Mapping[str, Any]) -> str | None:
        """Return the mistake in these values in a line, or None."""
        try:
            convert(values, self.form)
        except ValidationError as exc:
            return fault(exc)
        return None

    def request(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        """Return the path, query and body of a request with these values, without defaults. Raises ConfigError."""
        mistake = self.check(values)
        if mistake is not None:
            raise ConfigError(f"{self.name}: {mistake}", next_step="its parameters are in docs/reference/cli.md")
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        fields = {}
        for name, value in values.items():
            if value is not defaults[name]:
                fields[name] = to_builtins(value)
        names = {name: quote(str(fields.pop(name)), safe="") for name in self.in_path}
        path = self.path.format(**names)
        if self.has_body:
            return path, {}, fields
        return path, fields, None

    def sentence(self, result: R) -> str | None:
        """Return the result's own sentence, else `said` filled with the result; None if the operation has none."""
        own_sentence: str | None = getattr(result, "instead", None)
        if own_sentence:
            return own_sentence
        said = self.command.said
        if said is None:
            return None
        return said.format_map(cast("Any", result))

    def question(self, values: Mapping[str, Any]) -> str | None:
        """Return the question that the command asks first, or None."""
        ask = self.command.confirm
        if isinstance(ask, str):
            return ask.format_map(values)
        return ask and ask(values)

    def asked(self, values: Mapping[str, Any]) -> str:
        """Return the words of a question or a refusal: "pause schedule 3"."""
        if self.words is not None:
            return self.words.format_map(values)
        words = [self.verb, self.noun]
        for parameter in self.parameters:
            if parameter.default is NODEFAULT:
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
"""The choice of devices: a caller sets exactly one of these."""
OPERATIONS: Final[dict[str, Operation[..., Any, Any]]] = {}


def fault(error: Exception) -> str:
    """Return a msgspec error such as "Expected `int` - at `$.number`" as "number: expected int".

    A name that the caller wrote, or has to write, is in quotes.
    """
    text, _, path = str(error).partition(" - at `$")
    text = f"{text[:1].lower()}{text[1:]}"
    text = re.sub(r"field `([^`]*)`", r"field '\1'", text).replace("`", "")
    place = path.strip("`").lstrip(".") or "the request"
    return f"{place}: {text}"[:300]


def load(noun: str | None = None) -> tuple[Operation[..., Any, Any], ...]:
    """Import the module of one noun, or all modules, and return their operations."""
    if noun is not None:
        import_module(MODULES[noun])
        return tuple(operation for operation in OPERATIONS.values() if operation.noun == noun)
    for module in dict.fromkeys(MODULES.values()):
        import_module(module)
    return tuple(OPERATIONS.values())
