"""Routes that are not operations of a room: streams, files, pages, and other protocols. Declared like operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

from microclaw.host.operations.operation import Operation, operation
from microclaw.interfaces.api.caller import Caller

P = ParamSpec("P")
R = TypeVar("R")
S_contra = TypeVar("S_contra", contravariant=True)
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
BY_HAND: Final[dict[str, Operation[..., Any, Any]]] = {}


def load_by_hand() -> tuple[Operation[..., Any, Any], ...]:
    """Import the modules with these routes, and return all of them."""
    for module in MODULES:
        import_module(f"microclaw.interfaces.api.{module}")
    return tuple(BY_HAND.values())


class RouteRequest(Struct, frozen=True):
    """A request of such a route, and its caller."""

    request: Request
    by: Caller


@dataclass(frozen=True, eq=False)
class custom_route(operation):
    """Declares such a route. `run` gets an `RouteRequest` in place of the Call, and may return the Response itself.

    `reads` is the form of a body that `run` reads itself.
    """

    reads: type | None = None

    def __call__(self, run: Callable[Concatenate[S_contra, Any, P], Awaitable[R]]) -> Operation[P, R, S_contra]:
        route = Operation(**vars(self), run=run)
        BY_HAND[self.name] = route
        return route


async def cancel_if_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the work's result, or cancel the work if the client leaves, which then gets no answer."""
    work_task = asyncio.create_task(work, name=f"{request.url.path}: work")
    leave_task = asyncio.create_task(wait_until_client_leaves(request), name=f"{request.url.path}: client")
    try:
        await asyncio.wait((work_task, leave_task), return_when=asyncio.FIRST_COMPLETED)
        if not work_task.done():
            raise HTTPException(408, "the client left")
        return work_task.result()
    finally:
        work_task.cancel()
        leave_task.cancel()
        await asyncio.gather(work_task, leave_task, return_exceptions=True)


async def wait_until_client_leaves(request: Request) -> None:
    """Wait until the client has left."""
    # Other messages are the rest of a body that was read already.
    while (await request.receive())["type"] != "http.disconnect":
        pass
