"""The client of the MCP server that a device of xiaozhi's firmware has on its WebSocket. It makes one call at a time.

The library's client cannot be used: the device sends errors without a code, accepts only numbers as ids, and has no
transport of MCP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from microclaw.conversion import convert
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceTimeout, DeviceUnreachable, ToolFailed

CALL_S: Final = 30.0
"""The device runs a call on its main loop, which may be busy."""
LIST_S: Final = 10.0
MAX_PAGES: Final = 16
MAX_TOOLS: Final = 64
MAX_ARGUMENTS: Final = 16
MAX_TEXT_CHARS: Final = 4_000
_VERSION: Final = "2024-11-05"
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Argument(msgspec.Struct, frozen=True):
    """One of a tool's arguments. The firmware has three types."""

    type: Literal["boolean", "integer", "string"]
    minimum: int | None = None
    maximum: int | None = None


class _Schema(msgspec.Struct, frozen=True):
    properties: dict[str, Argument] = {}
    required: tuple[str, ...] = ()


class _Annotations(msgspec.Struct, frozen=True):
    audience: tuple[str, ...] = ()


class ListedTool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool as the device lists it. A tool with the audience "user" is not for models."""

    name: str
    input_schema: _Schema = _Schema()
    annotations: _Annotations = _Annotations()

    @property
    def is_for_models(self) -> bool:
        return "user" not in self.annotations.audience and len(self.input_schema.properties) <= MAX_ARGUMENTS


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
    """The tools of one device.

    `open` lists them; `handle_answer` receives the device's answers; `left` ends a waiting call.
    """

    def __init__(self, send: Callable[[dict[str, object]], None], device: Device) -> None:
        self.listed: tuple[ListedTool, ...] = ()
        self._send = send
        self._device = device
        self._number = 0
        self._one_call = asyncio.Lock()
        self._answer: asyncio.Future[Any] | None = None
        self._has_left = False

    async def open(self) -> None:
        """List the device's tools for models. Raises the errors of `call`."""
        about = {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": {"name": "microclaw", "version": "1"}}
        await self._ask("initialize", about, object, LIST_S)
        tools: dict[str, ListedTool] = {}
        cursor = ""
        for _ in range(MAX_PAGES):
            page = await self._ask("tools/list", {"cursor": cursor, "withUserTools": False}, _Page, LIST_S)
            for tool in _valid_tools(page.tools):
                if tool.is_for_models and len(tools) < MAX_TOOLS:
                    tools.setdefault(tool.name, tool)
            if not page.next_cursor or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        self.listed = tuple(tools.values())

    async def call(self, name: str, arguments: Mapping[str, bool | int | str]) -> str:
        """Call a tool and return its text, which is the device's and untrusted.

        Raises DeviceUnreachable, ToolFailed if the device refuses, and DeviceTimeout: then it may be done or not.
        """
        result = await self._ask("tools/call", {"name": name, "arguments": arguments}, _CallResult, CALL_S)
        parts: list[str] = []
        for part in result.content:
            if part.type == "text":
                parts.append(part.text)
            else:
                parts.append(f"[{part.type[:20]}]")
        text = "\n".join(parts)
        if result.is_error:
            raise self._refusal(text)
        return text[:MAX_TEXT_CHARS]

    def handle_answer(self, payload: dict[str, Any]) -> None:
        """Handle an answer of the device. A message that answers no request is ignored."""
        if self._answer is None or self._answer.done() or payload.get("id") != self._number:
            return
        if "error" not in payload:
            self._answer.set_result(payload.get("result"))
            return
        error = payload["error"]
        message = error.get("message") if isinstance(error, dict) else None
        self._answer.set_exception(self._refusal(str(message)))

    def left(self) -> None:
        self._has_left = True
        self.listed = ()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(not_connected(self._device))

    async def _ask(self, method: str, params: dict[str, Any], kind: type[T], timeout_s: float) -> T:
        """Send a request after the one before is answered, and return its result as a `kind`."""
        async with self._one_call:
            if self._has_left:
                raise not_connected(self._device)
            self._number += 1
            self._answer = asyncio.get_running_loop().create_future()
            self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
            try:
                async with asyncio.timeout(timeout_s):
                    return convert(await self._answer, kind, strict=False)
            except TimeoutError as exc:
                text = f"{self._device.name} did not answer {method} within {timeout_s:g} s"
                step = "it may be done or not: look before trying again"
                raise DeviceTimeout(text, next_step=step) from exc
            except msgspec.ValidationError as exc:
                raise ToolFailed(f"{self._device.name} sent an invalid answer: {str(exc)[:200]}") from exc
            finally:
                self._answer = None

    def _refusal(self, text: str) -> ToolFailed:
        step = "other arguments, or another way"
        return ToolFailed(f"{self._device.name} refused: {text[:500]}", next_step=step, foreign=True)


def _valid_tools(rows: list[Any]) -> list[ListedTool]:
    """Return the rows of a list that are valid tools."""
    tools: list[ListedTool] = []
    for row in rows:
        try:
            tools.append(convert(row, ListedTool, strict=False))
        except msgspec.ValidationError as exc:
            _log.debug("a tool of a device is left out: %s", exc)
    return tools


def not_connected(device: Device) -> DeviceUnreachable:
    """Return the error for a device that is not connected, or does not have the tool."""
    step = "speak to it: it connects for a conversation"
    return DeviceUnreachable(f"{device.name} is not connected, or cannot do that", next_step=step)
