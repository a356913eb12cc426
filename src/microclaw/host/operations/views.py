"""The view that a route and a command have of an operation's own result. The operation's tool has another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, get_type_hints

from microclaw.host.operations.operation import OperationCall

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_Run: TypeAlias = Callable[Concatenate[Any, OperationCall, P], Awaitable[R]]


def shown_as(view: Callable[[T], R]) -> Callable[[_Run[P, T]], _Run[P, R]]:
    """Declare the view of an operation's own result. `operation` goes above it."""

    def decorate(own: _Run[P, T]) -> _Run[P, R]:
        @wraps(own)
        async def run(service: Any, call: OperationCall, /, *args: P.args, **values: P.kwargs) -> R:
            return view(await own(service, call, *args, **values))

        run.__annotations__ = own.__annotations__ | {"return": _return_type(view)}
        return run

    return decorate


def _return_type(function: Callable[..., Any]) -> Any:
    hints = {"return": function.__annotations__["return"]}
    return get_type_hints(SimpleNamespace(__annotations__=hints), function.__globals__)["return"]
