"""The MCP server over the host's tools, resources and prompts: the official library's, with the host's errors."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from pydantic import Field
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from microclaw import __version__
from microclaw.api.tool_routes import ToolService
from microclaw.apps.device_operations import DeviceService
from microclaw.audit.event import AuditKind
from microclaw.mcp.lines import MessageLines
from microclaw.mcp.server.bridge import MAX_SESSIONS
from microclaw.mcp.server.calls import Calls
from microclaw.mcp.server.forms import tool_from
from microclaw.mcp.server.resources import Resources
from microclaw.mcp.server.service import SESSION, SESSION_HEADER, Session, session_of

IDLE_S: Final = 1800.0
TITLE: Final = "microclaw: programs for ESP32-class boards"
INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices and free-pins. gpio-set, pwm-set, adc-read and i2c-read act or read at once and "
    "leave nothing behind. For anything that repeats or reacts write a C program: try it with try-program (nothing on "
    "a device changes), then deploy-wasm-app puts it on the board, where it runs by itself. Each result has its act "
    "(done, refused, failed, unknown, waiting) and evidence: counted (edges at the pins), reported (the board's own "
    "words), accepted (no read-back) or written (by the host): claim no more than that. undo reverts what the newest "
    "request changed. Some acts wait for a person's yes: say so and wait. What belongs to a time of day is kept with "
    "schedule-add. "
    "Every function of programs is in the resource microclaw://headers/microclaw.h, whole programs are in "
    "microclaw://examples."
)


class HostServer(MCPServer[Any]):
    """The tools come from the host at each request. Each message is handled with its SESSION set."""

    def __init__(self, tools: ToolService, devices: DeviceService) -> None:
        super().__init__(
            "microclaw",
            TITLE,
            instructions=INSTRUCTIONS,
            version=__version__,
            subscriptions=False,
            middleware=[_in_session],
        )
        resources = Resources(devices)
        resources.add_to(self)
        self.prompt("write-program", "Write a program for the board")(write_program)
        self.prompt("why-does-it-misbehave", "Why does it misbehave?")(why_does_it_misbehave)
        self._gate = tools.admission.gate
        self._calls = Calls(tools, resources)
        self.streamable_http_app(  # makes the session manager; the API has its own routes and checks
            session_idle_timeout=IDLE_S,
            max_sessions=MAX_SESSIONS,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def list_tools(self) -> list[types.Tool]:
        return [tool_from(tool) for tool in self._calls.offered().values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> types.CallToolResult | types.InputRequiredResult:
        assert context is not None
        return await self._calls.call(context, name, arguments)

    async def over_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, while the session manager runs. A session is its token's alone: another one gets a 404."""
        session, asked_for = session_of(scope), Headers(scope=scope).get(SESSION_HEADER, "")
        owner = self.session_manager._session_owners.get(asked_for)
        if owner is not None and owner["client_id"] != session.by.source:
            text = "a token asked for another token's MCP session"
            self._gate.note(AuditKind.TOKEN_MISUSED, text, session.by.person_id, about=session.by.source)
        user = AuthenticatedUser(AccessToken(token="", client_id=session.by.source, scopes=[]))
        await self.session_manager.handle_request({**scope, "user": user}, receive, send)
        if scope["method"] == "DELETE":
            self._calls.end_session(session)

    async def over_lines(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A whole session."""
        SESSION.set(session)
        server = self._lowlevel_server  # MCPServer itself runs on this process's own stdin alone
        lines = MessageLines(reader, writer)
        try:
            await server.run(lines, lines, server.create_initialization_options())
        finally:
            self._calls.end_session(session)


async def _in_session(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Set the session of a request over HTTP; a message of the lines has that of its task."""
    if ctx.request is not None:
        SESSION.set(session_of(ctx.request.scope))
    try:
        return await call_next(ctx)
    except ValueError as exc:  # there is no prompt of this name, or an argument of it is missing
        if ctx.method != "prompts/get":
            raise
        raise MCPError(types.INVALID_PARAMS, str(exc)[:200]) from exc


def write_program(
    wish: Annotated[str, Field(min_length=1, description="What the board shall do, in your words.")],
) -> str:
    """From a wish to a program that is tried, put on the board and proved there."""
    return f"""\
Write a program for the board: {wish}

1. list-devices, then free-pins: choose pins that are free for the use. Do not guess what is wired: ask me.
2. Write down as `expect` what I would see at the pins and in the log, from my words and not from your code.
3. try-program with the source and `expect`. Mend what it says is wrong; look at the edges, not at the code.
4. deploy-wasm-app with the same source and `expect`, and a short appName.
5. Tell me what is proved (counted at the pins), what is only reported or accepted, and that undo takes it back."""


def why_does_it_misbehave(
    symptom: Annotated[str, Field(min_length=1, description="What happens, and what should happen.")],
) -> str:
    """Find out why a program on a board does not do what it should, by what the board shows."""
    return f"""\
Something on the board misbehaves: {symptom}

Change nothing before you know why.
1. query-wasm-apps: does it run, did it end, with which error? read-logs: what it printed, which is data.
2. read-edges for its pins, twice with the cursor: what really happens, with which period? Compare with what should.
3. free-pins: is a pin reserved, strapping, or another program's? gpio-get or adc-read: what is at the inputs now?
4. Say the cause with its evidence. If the source is at hand, show with try-program and `inputs` that it happens there
   too, mend it, try again, and ask me before deploy-wasm-app."""
