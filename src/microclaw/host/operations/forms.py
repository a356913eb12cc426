"""The parts of a declared operation that only some have: its answer, command, question, steps, form for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any, Final

from msgspec import Struct


class Asks(StrEnum):
    """When an operation asks a person, if the settings and the permission want that."""

    # Before it runs, and only if it is RISKY.
    IF_RISKY = "if_risky"
    # Before it runs, also for an ACT.
    BEFORE = "before"
    # It awaits `call.approve` itself, when it can show what would happen.
    ITSELF = "itself"


class Steps(IntEnum):
    """What a route answers: its result alone, or first its steps as JSON lines."""

    NONE = 0
    SHOWN = 1
    # It can be cancelled until it calls `call.on_begin`.
    CANCELLABLE = 2


class HttpAnswer(Struct, frozen=True):
    """The answer of a route. `place` is the path of the new object, with the result's fields in braces.

    With `media` the answer has this type and is not JSON.
    """

    status: int = 200
    place: str | None = None
    media: str = ""


class CommandForm(Struct, frozen=True):
    """An operation on the command line.

    `verb` is its verb there, if it differs; if operations share a verb, the first is used unless a required parameter
    of another is given. `said` is the result in a sentence, with the result's fields in braces: the command prints it,
    a tool gives it as evidence. `confirm` is the question that the command asks first, with the parameters in braces,
    or a function of them. `at_address`: it also takes a board's HOST:PORT, without a host. A command that is not
    derived may be written by hand.
    """

    verb: str = ""
    said: str | None = None
    confirm: str | Callable[[Mapping[str, Any]], str | None] | None = None
    at_address: bool = False
    is_derived: bool = True


class ManyForm(Struct, frozen=True):
    """An operation on many devices: its route, and the method that a device needs for it.

    If the caller names no devices, `among` chooses them. `shows` is the parameter whose items the question lists.
    """

    http: str
    offers: str
    among: Callable[..., Awaitable[Sequence[Any]]] | None = None
    shows: str | None = None


class ToolForm(Struct, frozen=True):
    """An operation as a model calls it.

    Without `fields` the tool has the operation's parameters, and its result is the operation's.

    With `fields` it is a tool of one device: they are the parameters that a model may give, each with the name of its
    argument; all others have their defaults. `kinds` are the types of those for which a model has a narrower one, and
    `required` are those that a model must give although the route has a default. Of the arguments in
    `one_of` it must give at least one. `extra` are arguments for `output` alone, each with its type and default. With
    `has_address` the device may be named by its address. `finds` is the argument with the name of a program: if no
    device is named, the only one that has the program is used.

    These get the model's ToolUse (registry/act_tool.py): `output` makes the tool's result of the operation's own one,
    `failed` notes the error that ended it, `try_planned` is as in Tool, and the lines of `describe` follow those about
    the device in a question.
    """

    name: str
    about: str = ""
    fields: Mapping[str, str] | None = None
    kinds: Mapping[str, Any] = {}
    required: frozenset[str] = frozenset()
    one_of: Sequence[str] = ()
    extra: Mapping[str, tuple[Any, Any]] = {}
    has_address: bool = False
    finds: str = ""
    output: Callable[..., Awaitable[Any]] | None = None
    failed: Callable[..., Awaitable[None]] | None = None
    try_planned: Callable[..., Awaitable[Any]] | None = None
    describe: Callable[..., Awaitable[Sequence[str]]] | None = None


PLAIN_ANSWER: Final = HttpAnswer()
PLAIN_COMMAND: Final = CommandForm()
NO_COMMAND: Final = CommandForm(is_derived=False)
