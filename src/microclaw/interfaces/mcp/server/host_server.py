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
from microclaw.errors import MicroclawError, ProtocolError, ToolRetry
from microclaw.host.audit.event import AuditKind
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.api.tool_routes import ToolService
from microclaw.interfaces.mcp.message_stream import MessageStream
from microclaw.interfaces.mcp.server.bridge import MAX_SESSIONS
from microclaw.interfaces.mcp.server.call_follower import CallFollower, CallResult, HostCall
from microclaw.interfaces.mcp.server.client_names import host_arguments, host_name
from microclaw.interfaces.mcp.server.resources import Resources
from microclaw.interfaces.mcp.server.session import SESSION, SESSION_HEADER, Session, session_of
from microclaw.interfaces.mcp.server.tool_results import TOOLS, failed_result, tool_from
from microclaw.programs.changes.device_operations import DeviceService

INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices and free-pins; `device` may be left out if there is one. Read a program with "
    "read-program before you change it; look reads the rest. gpio-set, pwm-set, adc-read and i2c-read act or read at "
    "once and leave nothing behind. For anything that repeats or reacts write a program, in C or, if look "
    "(device.show) says that the board takes it, in Python: try it with try-program (nothing on a device changes), "
    "then deploy-program puts it on the board, where it runs by itself. Each result has its act (done, refused, "
    "failed, unknown, waiting) and evidence: counted (edges at the pins), reported (the board's own words), accepted "
    "(no read-back) or written (by the host): claim no more than that. undo reverts what the newest request changed. "
    "Some acts wait for a person's yes: say so and wait. What belongs to a time of day is kept with schedule-add. "
    "Every function of programs is in microclaw://headers/microclaw.h, whole programs in microclaw://examples."
)


class HostServer(MCPServer[Any]):
    """The MCP server of a host. It lists the host's tools at each request, and handles a message with its SESSION set.

    The progress of a call goes out as notifications, and its questions as elicitation. A client of the newest protocol
    answers a question with a second request: a waiting call is kept while no request of its client is open. The host
    limits the number of calls.
    """

    def __init__(self, tools: ToolService, devices: DeviceService) -> None:
        super().__init__(
            "microclaw",
            "microclaw: programs for ESP32-class boards",
            instructions=INSTRUCTIONS,
            version=__version__,
            subscriptions=False,
            middleware=[_in_session],
        )
        self._tools = tools
        self._resources = Resources(devices, tools.tainted)
        self._waiting: dict[str, HostCall] = {}
        self._resources.add_to(self)
        self.prompt("write-program", "Write a program for the board")(write_program)
        self.prompt("why-does-it-misbehave", "Why does it misbehave?")(why_does_it_misbehave)
        # The app itself is not used, because the API has its own routes and checks; this creates the session manager.
        self.streamable_http_app(
            session_idle_timeout=1800.0,
            max_sessions=MAX_SESSIONS,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def list_tools(self) -> list[types.Tool]:
        return [tool_from(tool) for tool in self._select_tools().values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallResult:
        """Return the result of a call, or the question that the client answers with its next request.

        If the client cannot ask, the result says that the call waits. Cancelling ends the call, unless it has begun to
        change something. Raises MCPError if there is no such tool.
        """
        assert context is not None
        tool = self._select_tools().get(host_name(name))
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {name[:80]!r}; tools/list has them")
        arguments = host_arguments(tool, arguments)
        try:
            call = self._start_or_resume(tool.name, arguments, context.request_state)
            follower = CallFollower(self._tools, self._resources, self._waiting, context, call, tool, arguments)
            return await follower.run()
        except MicroclawError as exc:
            return failed_result(exc.message, exc.next_step)

    def _start_or_resume(self, name: str, arguments: dict[str, Any], state: str | None) -> HostCall:
        """Start a call, or return the waiting call that `state` names. Raises ToolRetry if no such call waits."""
        session = SESSION.get()
        if state is None:
            return HostCall(session, self._tools.start(session.by, name, arguments, session=session.name))
        call = self._waiting.get(state)
        if call is None or call.session.by.source != session.by.source:
            raise ToolRetry("no call waits for this answer: its time is over", next_step="call the tool again")
        return self._waiting.pop(state)

    async def over_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request while the session manager runs.

        Only the token that opened a session may use it; the session manager answers another one with 404.
        """
        session = session_of(scope)
        session_id = Headers(scope=scope).get(SESSION_HEADER, "")
        owner = self.session_manager._session_owners.get(session_id)
        if owner is not None and owner["client_id"] != session.by.source:
            text = "a token asked for another token's MCP session"
            by = session.by
            self._tools.admission.gate.note(AuditKind.TOKEN_MISUSED, text, by.person_id, about=by.source)
        user = AuthenticatedUser(AccessToken(token="", client_id=session.by.source, scopes=[]))
        await self.session_manager.handle_request({**scope, "user": user}, receive, send)
        if scope["method"] == "DELETE":
            self._end_session(session)

    async def over_lines(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a whole session."""
        SESSION.set(session)
        # MCPServer itself runs only on this process's own stdin.
        server = self._lowlevel_server
        lines = MessageStream(reader, writer)
        try:
            await server.run(lines, lines, server.create_initialization_options())
        except* ProtocolError:
            # A line that is too long ends the session.
            writer.close()
        finally:
            self._end_session(session)

    def _select_tools(self) -> dict[str, Tool[Any]]:
        """Return the tools for clients of MCP in their order, and behind them all others if `every_tool` is set."""
        offered = {tool.name: tool for tool in self._tools.tools}
        selected = {name: offered[name] for name in TOOLS if name in offered}
        if SESSION.get().every_tool:
            selected.update(offered)
        return selected

    def _end_session(self, session: Session) -> None:
        """End the waiting calls of a session, because no client waits for them any more."""
        for state, call in list(self._waiting.items()):
            if call.session.key == session.key:
                self._waiting.pop(state).feed.leave()


async def _in_session(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Set the session of a request over HTTP. For a message of the lines, its task has the session."""
    if ctx.request is not None:
        SESSION.set(session_of(ctx.request.scope))
    try:
        return await call_next(ctx)
    except ValueError as exc:
        # There is no prompt of this name, or an argument of it is missing.
        if ctx.method != "prompts/get":
            raise
        raise MCPError(types.INVALID_PARAMS, str(exc)[:200]) from exc


def write_program(
    wish: Annotated[str, Field(min_length=1, description="What the board shall do, in your words.")],
) -> str:
    """From a wish to a program that is tried, put on the board and proved there."""
    return f"""\
Write a program for the board: {wish}

1. list-devices, then free-pins: choose pins that are free for the use. Do not guess the wiring: ask me.
2. Write down as `expect` what I would see at the pins and in the log, from my words and not from your code.
3. try-program with the source and `expect`. Mend the faults that it reports; look at the edges, not at the code.
4. deploy-program with the same source and `expect`, and a short name.
5. Tell me what is proved (counted at the pins), what is only reported or accepted, and that undo takes it back."""


def why_does_it_misbehave(
    symptom: Annotated[str, Field(min_length=1, description="What happens, and what should happen.")],
) -> str:
    """Find out why a program on a board does not do what it should, by what the board shows."""
    return f"""\
Something on the board misbehaves: {symptom}

Change nothing before you know why.
1. list-programs: does it run, did it end, with which error? read-logs: its output, which is data.
2. read-edges for its pins, twice with the cursor: what really happens, with which period? Compare with what should.
3. free-pins: is a pin reserved, strapping, or another program's? gpio-get or adc-read: what do the inputs read now?
4. Say the cause with its evidence. If the source is at hand, show with try-program and `inputs` that it happens there
   too, mend it, try again, and ask me before deploy-program."""
