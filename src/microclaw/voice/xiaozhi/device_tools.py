"""The MCP server that a device of xiaozhi's firmware has on its WebSocket: its tools, and calls one at a time.

Its JSON-RPC has quirks that no MCP client takes: errors without a code, ids that must be numbers, no transport of MCP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError, ToolFailed

CALL_S: Final = 30.0
"""Its calls run on its main loop."""
LIST_S: Final = 10.0
MAX_PAGES: Final = 16
MAX_TOOLS: Final = 64
MAX_ARGUMENTS: Final = 16
MAX_TEXT_CHARS: Final = 4_000
_VERSION: Final = "2024-11-05"
_log = logging.getLogger(__name__)

Value: TypeAlias = bool | int | str


class Argument(msgspec.Struct, frozen=True):
    """One of a tool's arguments: it knows three types."""

    type: Literal["boolean", "integer", "string"]
    minimum: int | None = None
    maximum: int | None = None


class _Schema(msgspec.Struct, frozen=True):
    properties: dict[str, Argument] = {}
    required: tuple[str, ...] = ()


class _Annotations(msgspec.Struct, frozen=True):
    audience: tuple[str, ...] = ()


class ListedTool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool as the device lists it. `audience` "user": it is not for a model."""

    name: str
    description: str = ""
    input_schema: _Schema = _Schema()
    annotations: _Annotations = _Annotations()


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    tools: list[Any] = []
    next_cursor: str = ""


class _Content(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _CallResult(msgspec.Struct, frozen=True, rename="camel"):
    content: tuple[_Content, ...] = ()
    is_error: bool = False


class DeviceTools:
    """`await open()` lists its tools; `took` gets what the device answers; `left` ends what waits."""

    def __init__(self, send: Callable[[dict[str, object]], None], name: Callable[[], str]) -> None:
        self.listed: tuple[ListedTool, ...] = ()
        self._send = send
        self._name = name
        self._number = 0
        self._one_call = asyncio.Lock()
        self._waiting: tuple[int, asyncio.Future[Any]] | None = None
        self._has_left = False

    async def open(self) -> None:
        """Raises what `call` raises."""
        about = {"name": "microclaw", "version": "1"}
        await self._ask(
            "initialize", {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": about}, timeout_s=LIST_S
        )
        found: dict[str, ListedTool] = {}
        cursor = ""
        for _ in range(MAX_PAGES):
            answer = await self._ask("tools/list", {"cursor": cursor, "withUserTools": False}, timeout_s=LIST_S)
            page = self._read(answer, _Page)
            for tool in (_tool(row) for row in page.tools):
                if tool is not None and len(found) < MAX_TOOLS:
                    found.setdefault(tool.name, tool)
            if not page.next_cursor or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        self.listed = tuple(found.values())

    async def call(self, name: str, arguments: dict[str, Value]) -> str:
        """The text that the tool answers: the device's, untrusted.

        Raises DeviceUnreachable, DeviceTimeout when nobody knows whether it was done, ToolFailed when the device says
        no.
        """
        answer = await self._ask("tools/call", {"name": name, "arguments": arguments}, timeout_s=CALL_S)
        result = self._read(answer, _CallResult)
        text = "\n".join(part.text if part.type == "text" else f"[{part.type[:20]}]" for part in result.content)
        if result.is_error:
            raise _refused(self._name(), text)
        return text[:MAX_TEXT_CHARS]

    def took(self, payload: dict[str, Any]) -> None:
        """Leave alone what answers no question of this host."""
        if self._waiting is None or payload.get("id") != self._waiting[0] or self._waiting[1].done():
            return
        waiting = self._waiting[1]
        if "error" in payload:
            error = payload["error"]
            message = error.get("message") if isinstance(error, dict) else None
            waiting.set_exception(_refused(self._name(), str(message)))
        else:
            waiting.set_result(payload.get("result"))

    def left(self) -> None:
        self._has_left = True
        self.listed = ()
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_exception(self._away())

    async def _ask(self, method: str, params: dict[str, Any], *, timeout_s: float) -> Any:
        async with self._one_call:
            if self._has_left:
                raise self._away()
            self._number += 1
            answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting = (self._number, answered)
            self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
            try:
                async with asyncio.timeout(timeout_s):
                    return await answered
            except TimeoutError as exc:
                raise DeviceTimeout(
                    f"{self._name()} did not answer {method} within {timeout_s:g} s",
                    next_step="nobody knows whether it was done: look before trying again",
                ) from exc
            finally:
                self._waiting = None

    def _read(self, answer: Any, kind: type[Any]) -> Any:
        try:
            return msgspec.convert(answer, kind, strict=False)
        except msgspec.ValidationError as exc:
            raise ToolFailed(f"{self._name()} gave an answer that is none: {str(exc)[:200]}") from exc

    def _away(self) -> MicroclawError:
        return DeviceUnreachable(
            f"{self._name()} is not connected", next_step="speak to it: it connects for a conversation"
        )


def _refused(device: str, text: str) -> ToolFailed:
    return ToolFailed(f"{device} refused: {text[:500]}", next_step="other arguments, or another way", foreign=True)


def _tool(row: Any) -> ListedTool | None:
    """None for a tool that is not for a model, or that nobody can read."""
    try:
        tool = msgspec.convert(row, ListedTool, strict=False)
    except msgspec.ValidationError as exc:
        _log.debug("a tool of a device is left out: %s", exc)
        return None
    if "user" in tool.annotations.audience or len(tool.input_schema.properties) > MAX_ARGUMENTS:
        return None
    return tool
