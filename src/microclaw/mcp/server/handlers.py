"""The MCP server over the host's tools, resources and prompts. It has none itself, and answers no request."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from starlette.types import Receive, Scope, Send

from microclaw import __version__
from microclaw.api.tool_routes import ToolService
from microclaw.apps.device_operations import DeviceService
from microclaw.errors import MicroclawError
from microclaw.mcp.lines import message_lines
from microclaw.mcp.server.bridge import MAX_SESSIONS
from microclaw.mcp.server.calls import Calls
from microclaw.mcp.server.hints import without_commands
from microclaw.mcp.server.prompts import get_prompt, list_prompts
from microclaw.mcp.server.resources import Context, Resources
from microclaw.mcp.server.service import MAX_MESSAGE_BYTES, Session, session_of
from microclaw.tasks.operations import Tasks

NAME: Final = "microclaw"
IDLE_S: Final = 1800.0
TITLE: Final = "microclaw: programs for ESP32-class boards"
INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices and free-pins. gpio-set, pwm-set, adc-read and i2c-read act or read at once and "
    "leave nothing behind. For anything that repeats or reacts write a C program: try it with try-program (nothing on "
    "a device changes), then deploy-wasm-app puts it on the board, where it runs by itself. Each result has evidence: "
    "counted (edges at the pins), reported (the board's own words) or accepted (no read-back): claim no more than "
    "that. undo reverts what the newest request changed. Some acts wait for a person's yes: say so and wait. What "
    "belongs to a time of day is kept with schedule-add. "
    'A program is one C file: #include "microclaw.h", on_init opens pins, starts timers and returns: '
    "static int led; static void tick(void) { gpio_toggle(led); } "
    "void on_init(void) { led = gpio_open(2, GPIO_OUT); every(500, tick); } "
    "Every function is in the resource microclaw://headers/microclaw.h, whole programs are in microclaw://examples."
)


class Handlers:
    """The server: `over_http` and `over_lines` pass on what its clients send, each message with its session."""

    def __init__(self, tools: ToolService, devices: DeviceService, tasks: Tasks) -> None:
        resources = Resources(devices, tasks)
        self._calls = Calls(tools, resources)
        self._server = Server[Any](
            NAME,
            version=__version__,
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self._calls.list_tools,
            on_call_tool=self._calls.call,
            on_list_resources=resources.list,
            on_list_resource_templates=resources.templates,
            on_read_resource=resources.read,
            on_list_prompts=list_prompts,
            on_get_prompt=get_prompt,
        )
        self._server.middleware.append(_protocol_errors)
        self.http = StreamableHTTPSessionManager(
            self._server,
            session_idle_timeout=IDLE_S,
            max_request_body_size=MAX_MESSAGE_BYTES,
            max_sessions=MAX_SESSIONS,
        )

    async def over_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, while `http` runs. A session is its token's alone: another one gets a 404."""
        session = session_of(scope)
        user = AuthenticatedUser(AccessToken(token="", client_id=session.by.source, scopes=[]))
        await self.http.handle_request({**scope, "user": user}, receive, send)
        if scope["method"] == "DELETE":
            self._calls.end_session(session)

    async def over_lines(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A whole session."""
        metadata = ServerMessageMetadata(request_context=session)
        async with message_lines(reader, writer, metadata=metadata) as streams:
            try:
                await self._server.run(*streams, self._server.create_initialization_options())
            finally:
                self._calls.end_session(session)


async def _protocol_errors(ctx: Context, call_next: CallNext) -> HandlerResult:
    """The host's errors as the protocol's."""
    try:
        return await call_next(ctx)
    except MicroclawError as exc:
        text = exc.message if not exc.next_step else f"{exc.message} (next: {exc.next_step})"
        raise MCPError(types.INVALID_PARAMS, without_commands(text)) from exc
