"""/app/PROGRAM/...: a browser's requests to the pages of a program, carried to its board and back.

A browser that is signed in is sent to an address with a ticket: the page there has no origin of this host, so no cookie
comes with its requests. A program answers one request at a time; few wait, each for a limited time.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from msgspec import Struct, field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from microclaw.bounded_map import BoundedMap
from microclaw.devices.registry.calls import AppPage, silent_page_error
from microclaw.devices.registry.device import Device
from microclaw.errors import Overloaded, ProgramSilent, over_limit
from microclaw.host.auth.sign_ins import SignIns
from microclaw.interfaces.api.access import PAGE_METHODS, PAGE_PATHS
from microclaw.interfaces.api.caller import caller_of
from microclaw.interfaces.api.failures import Refused
from microclaw.interfaces.api.page_address import PageAddress, page_address, path_in_browser
from microclaw.interfaces.api.page_answer import isolation, page_response
from microclaw.programs.changes.page_boards import PageBoards

# Head and body; it has to fit into one message of the link.
MAX_REQUEST_BYTES: Final = 16_000
# The 10 s of the ways to boards come first: their errors say more.
ANSWER_S: Final = 10.5
MAX_WAITING: Final = 8
WAIT_S: Final = 20.0
_MAX_LINES: Final = 256
_MAX_FIELD_BYTES: Final = 512
# Boards have little memory for a head: a browser's other fields stay here.
_SENT: Final = ("host", "user-agent", "content-type", "x-requested-with")
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "*",
    "access-control-max-age": "600",
}


class _Line:
    """The requests to one program: one is under way. `silence_count` says how often it gave no answer."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting_count = 0
        self.silence_count = 0


class ProgramPages(Struct, frozen=True):
    """The pages of all programs; `boards` says on which board a program runs."""

    boards: PageBoards
    sign_ins: SignIns
    lines: BoundedMap[tuple[str, str], _Line] = field(default_factory=partial(BoundedMap, _MAX_LINES))

    def routes(self) -> list[Route]:
        """Return the routes of programs' pages, for every method."""
        return [Route(path, self.answer, methods=list(PAGE_METHODS)) for path in PAGE_PATHS]

    async def answer(self, request: Request) -> Response:
        """Answer one request of a browser or a client."""
        address = page_address(request.scope)
        if address is None:
            raise HTTPException(404, "there is no such page")
        prefix = path_in_browser(request.scope, address)
        caller = caller_of(request)
        is_first = address.path == "/" and not request.url.path.endswith("/")
        if is_first:
            return RedirectResponse(f"{prefix}/", 308)
        if caller.csrf and not address.secret and request.method in ("GET", "HEAD"):
            # Only to its first page: another site's link must not act on a board in the person's name.
            ticket = await self.sign_ins.page_ticket(caller.source, address.program)
            ticket_address = PageAddress(address.program, ticket, "/")
            return RedirectResponse(f"{path_in_browser(request.scope, ticket_address)}/", 303)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT | isolation(_origin(request), prefix))
        device = await self.boards.board_of(address.name, address.device)
        await self.boards.check_known(device, address.name)
        message = _message(request.scope, address, await request.body())
        answer = await self._ask(device, AppPage(address.name, message))
        return page_response(answer, prefix=prefix, origin=_origin(request))

    async def _ask(self, device: Device, call: AppPage) -> bytes:
        """Ask the program after those who came before.

        Raises Overloaded if too many wait. If it is silent, those who wait are not let in one by one to find that out.
        """
        key = device.device_id, call.name
        line = self.lines.get(key)
        if line is None:
            line = _Line()
            self.lines[key] = line
        if line.waiting_count >= MAX_WAITING:
            raise _busy(call.name, f"{MAX_WAITING} requests wait")
        silence_count = line.silence_count
        await _wait_for_turn(line, call.name)
        try:
            if line.silence_count != silence_count:
                raise silent_page_error(call.name)
            return await device.call(call, ANSWER_S, wait=False)
        except ProgramSilent:
            line.silence_count += 1
            raise
        finally:
            line.lock.release()


async def _wait_for_turn(line: _Line, name: str) -> None:
    line.waiting_count += 1
    try:
        async with asyncio.timeout(WAIT_S):
            await line.lock.acquire()
    except TimeoutError as exc:
        raise _busy(name, f"no turn came within {WAIT_S:g} s") from exc
    finally:
        line.waiting_count -= 1


def _busy(name: str, reason: str) -> Overloaded:
    return Overloaded(f"{name} answers one request at a time: {reason}", next_step="try again in a moment")


def _message(scope: Scope, address: PageAddress, body: bytes) -> bytes:
    """Return the request as the program gets it. Raises Refused if it is too long for a board."""
    # A program knows no HEAD: the server leaves the body out.
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    target = address.path
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("ascii")
    lines = [f"{method} {target} HTTP/1.1"]
    headers = Headers(scope=scope)
    for name in _SENT:
        if name in headers:
            lines.append(f"{name.title()}: {headers[name][:_MAX_FIELD_BYTES]}")
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close\r\n\r\n")
    message = "\r\n".join(lines).encode("latin-1") + body
    if len(message) > MAX_REQUEST_BYTES:
        text = over_limit("a request to a program", MAX_REQUEST_BYTES, "byte", len(message))
        raise Refused(413, "too_large", text, "send less")
    return message


def _origin(request: Request) -> str:
    return f"{request.scope['scheme']}://{request.headers['host']}"
