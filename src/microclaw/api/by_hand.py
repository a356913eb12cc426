"""Routes that are no act of a room: streams of their own, files, pages, and protocols of others. Declared like acts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

from microclaw.api.caller import Caller
from microclaw.operations.operation import Operation, operation

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
MODULES: Final = (
    "chat_routes",
    "compile_routes",
    "event_routes",
    "host_routes",
    "job_routes",
    "openai",
    "sign_in_routes",
    "tool_routes",
)
BY_HAND: Final[dict[str, Operation[..., Any]]] = {}


def load_by_hand() -> tuple[Operation[..., Any], ...]:
    for module in MODULES:
        import_module(f"microclaw.api.{module}")
    return tuple(BY_HAND.values())


class Asked(Struct, frozen=True):
    """A request of such a route, and whose it is."""

    request: Request
    by: Caller


@dataclass(frozen=True, eq=False)
class by_hand(operation):
    """Declares such a route. `run` is given the Asked in place of the Call, and may return the Response itself."""

    def __call__(self, run: Callable[Concatenate[Any, Any, P], Awaitable[R]]) -> Operation[P, R]:
        made = Operation(**vars(self), run=run)
        BY_HAND[self.name] = made
        return made


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the work's result; it is cancelled when the client leaves, who then has no answer."""
    doing = asyncio.create_task(work, name=f"{request.url.path}: work")
    leaving = asyncio.create_task(left(request), name=f"{request.url.path}: client")
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise HTTPException(408, "the client left")
        return doing.result()
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def left(request: Request) -> None:
    """Until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that was read already
