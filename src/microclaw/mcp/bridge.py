"""The way to the host over its HTTP API, asynchronous: documents, and tool calls as events. It starts no host.

On the control socket the caller is the owner; on the people plane the person of the token.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from urllib.parse import quote

import httpx2

from microclaw.errors import MicroclawError, NoHost, ProtocolError

MAX_LINE_BYTES: Final = 4 << 20
MAX_DOCUMENT_BYTES: Final = 16 << 20
SILENCE_S: Final = 60.0  # streams send a keepalive every few seconds
CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A step, or `text` None: nothing happened, and the host is still there."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The call waits for a yes or a no. `detail` is exactly what would happen."""

    approval_id: str
    text: str
    detail: tuple[str, ...]
    expires_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    approval_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Ended:
    """`result` as api/tool_routes.py gives it: ok, content, evidence, error, next, foreign."""

    result: dict[str, Any]


CallEvent: TypeAlias = Progress | Asked | Settled | Ended


class HostFailure(MicroclawError):
    """The host refused; it keeps the host's own code."""

    def __init__(self, code: str, message: str, *, next_step: str | None, status: int) -> None:
        super().__init__(message, next_step=next_step)
        self.host_code = code
        self.status = status


class HostBridge:
    """`async with HostBridge.on_socket(path) as bridge`.

    `attach` is awaited when nobody listens; then the request is sent once more.
    """

    def __init__(self, client: httpx2.AsyncClient, attach: Callable[[], Awaitable[None]] | None = None) -> None:
        self._client = client
        self._attach = attach

    @classmethod
    def on_socket(cls, path: Path, attach: Callable[[], Awaitable[None]] | None = None) -> Self:
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        return cls(_client(transport, "http://localhost"), attach)

    @classmethod
    def with_token(cls, url: str, token: str) -> Self:
        """`url` is the people plane's address. Secrets are kept in the client's headers alone."""
        return cls(_client(httpx2.AsyncHTTPTransport(), url, {"Authorization": f"Bearer {token}"}))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        return await self._document("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._document("POST", path, json=body)

    async def delete(self, path: str) -> dict[str, Any]:
        return await self._document("DELETE", path)

    async def call(self, tool: str, arguments: Mapping[str, Any], *, session: str) -> AsyncIterator[CallEvent]:
        """What happens while the tool runs; `Ended` comes last. Raises HostFailure for a call that was not taken."""
        body = {"arguments": arguments, "session": session}
        async with self._response("POST", f"/v1/tools/{segment(tool)}", json=body) as response:
            async for line in _lines(response):
                event = _event(line)
                yield event
                if isinstance(event, Ended):
                    return
        raise NoHost("the host went away in the middle of a call", next_step="look with list-devices, then call again")

    async def decide(self, approval_id: str, *, approved: bool) -> None:
        await self.post(f"/v1/approvals/{segment(approval_id)}", {"approved": approved})

    async def _document(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        async with self._response(method, path, **request) as response:
            value = _json(await _body(response))
        if not isinstance(value, dict):
            raise ProtocolError(f"the host answered {path} with {type(value).__name__}, an object was expected")
        return value

    @asynccontextmanager
    async def _response(self, method: str, path: str, **request: Any) -> AsyncIterator[httpx2.Response]:
        """An answer whose status is good; its body is not read yet."""
        try:
            response = await self._send(method, path, request)
        except httpx2.HTTPError as exc:
            raise _unreachable(exc) from exc
        try:
            if response.status_code >= 400:
                raise _failure(response.status_code, await _body(response))
            yield response
        except httpx2.HTTPError as exc:
            raise _unreachable(exc) from exc
        finally:
            await response.aclose()

    async def _send(self, method: str, path: str, request: dict[str, Any]) -> httpx2.Response:
        try:
            return await self._client.send(self._client.build_request(method, path, **request), stream=True)
        except httpx2.ConnectError:
            if self._attach is None:
                raise
            await self._attach()  # nothing of the request was sent
            return await self._client.send(self._client.build_request(method, path, **request), stream=True)


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _client(
    transport: httpx2.AsyncHTTPTransport, url: str, headers: dict[str, str] | None = None
) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=transport,
        base_url=url,
        headers={"Accept-Encoding": "identity", **(headers or {})},
        timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
        follow_redirects=False,
    )


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise ProtocolError(f"the host sent more than {MAX_DOCUMENT_BYTES:,} bytes")
    return bytes(body)


async def _lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.aiter_raw():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise ProtocolError(f"the host sent a line of more than {MAX_LINE_BYTES:,} bytes")
        for line in lines:
            yield line


def _event(line: bytes) -> CallEvent:
    value = _json(line)
    try:
        match value["type"]:
            case "step":
                return Progress(f"{value['stage']}: {value['text']}")
            case "approval":
                detail = tuple(str(text) for text in value["detail"])
                return Asked(str(value["approval_id"]), str(value["text"]), detail, float(value["expires_s"]))
            case "approval_settled":
                return Settled(str(value["approval_id"]), str(value["outcome"]))
            case "result":
                return Ended(dict(value["result"]))
            case "error":
                raise _refusal(200, value["error"])
            case "keepalive":
                return Progress(None)
            case other:
                raise ProtocolError(f"the host sent an event {other!r} that this version does not know")
    except (KeyError, TypeError, ValueError) as exc:
        raise ProtocolError(
            f"the host sent a line this version does not know: {line[:80]!r}",
            next_step="run the host and microclaw mcp from the same version",
        ) from exc


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ProtocolError("the host's answer is not JSON", next_step="is this address a microclaw host?") from exc


def _failure(status: int, body: bytes) -> MicroclawError:
    try:
        return _refusal(status, json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ProtocolError(f"the host answered with status {status}", next_step="is this address a microclaw host?")


def _refusal(status: int, error: Mapping[str, Any]) -> HostFailure:
    return HostFailure(str(error["code"]), str(error["message"]), next_step=error.get("next"), status=status)


def _unreachable(error: httpx2.HTTPError) -> NoHost:
    if isinstance(error, httpx2.TimeoutException):
        return NoHost(f"the host did not answer within {SILENCE_S:.0f} s", next_step="microclaw doctor")
    return NoHost(f"cannot reach the host: {str(error)[:120] or type(error).__name__}", next_step="microclaw up")
