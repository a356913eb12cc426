"""Calls of the host from an event loop: documents, and a tool call's events.

On the control socket the caller is the owner; elsewhere the person of the token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from microclaw.client.endpoint import HostEndpoint, SocketEndpoint, verifying_context
from microclaw.client.request import MAX_REPLY_BYTES, REQUEST_TIMEOUT_S, HostError, HostRequest, decision, too_long
from microclaw.errors import ProtocolError
from microclaw.wire.host_api import MAX_LINE_BYTES, Failure, StreamEvent, decode_event

CONNECT_S: Final = 5.0


class AsyncHostClient:
    """`async with AsyncHostClient.on_socket(path) as host`.

    `attach` is awaited when nobody listens; then the request is sent once more.
    """

    def __init__(
        self, endpoint: HostEndpoint, client: httpx2.AsyncClient, attach: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._attach = attach

    @classmethod
    def on_socket(cls, path: Path, attach: Callable[[], Awaitable[None]] | None = None) -> Self:
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        return cls(SocketEndpoint(path), _client(transport, "http://localhost"), attach)

    @classmethod
    def with_token(cls, url: str, token: str, authorities: str = "") -> Self:
        """`url` is the API's address on this machine; `authorities` (PEM) are trusted there, too."""
        endpoint = HostEndpoint({"Authorization": f"Bearer {token}"})
        transport = httpx2.AsyncHTTPTransport(verify=verifying_context(authorities) if authorities else True)
        return cls(endpoint, _client(transport, url))

    def in_the_name_of(self, token: str) -> Self:
        """The same host on the same connections, for another token."""
        return type(self)(HostEndpoint({"Authorization": f"Bearer {token}"}), self._client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        return await self._call(HostRequest("GET", path, query=query))

    async def read(self, path: str) -> bytes:
        """The bytes of a file that the host answers with, MAX_REPLY_BYTES at most."""
        async with self._response(HostRequest("GET", path)) as response:
            return await _body(response)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._call(HostRequest("POST", path, body))

    async def delete(self, path: str) -> dict[str, Any]:
        return await self._call(HostRequest("DELETE", path))

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[StreamEvent, None]:
        """Events as the host sends them. Raises HostError for an error, at the start or as the end."""
        async with self._response(HostRequest("POST", path, body)) as response:
            rest = b""
            async for chunk in response.aiter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    raise ProtocolError(f"the host sent a line of more than {MAX_LINE_BYTES:,} bytes")
                for line in lines:
                    event = decode_event(line)
                    if isinstance(event, Failure):
                        raise HostError(event)
                    yield event

    async def decide(self, approval_id: str, *, approved: bool) -> None:
        await self._call(decision(approval_id, approved=approved))

    async def _call(self, request: HostRequest) -> dict[str, Any]:
        async with self._response(request) as response:
            return self._endpoint.document(request, await _body(response))

    @asynccontextmanager
    async def _response(self, request: HostRequest) -> AsyncIterator[httpx2.Response]:
        """An answer whose status is good; its body is not read yet."""
        try:
            response = await self._send(request)
            try:
                if response.status_code >= 300:
                    content, location = await _body(response), response.headers.get("Location")
                    raise self._endpoint.refused(request, response.status_code, location, content)
                yield response
            finally:
                await response.aclose()
        except httpx2.ConnectError as exc:
            raise self._endpoint.unreachable(exc) from exc
        except httpx2.TimeoutException as exc:
            raise self._endpoint.silent(REQUEST_TIMEOUT_S) from exc
        except httpx2.HTTPError as exc:
            raise self._endpoint.gone(exc) from exc

    async def _send(self, request: HostRequest) -> httpx2.Response:
        built = self._client.build_request(
            request.method,
            request.target,
            content=request.payload,
            headers=request.headers_with(self._endpoint.headers),
        )
        try:
            return await self._client.send(built, stream=True)
        except httpx2.ConnectError:
            if self._attach is None:
                raise
            await self._attach()  # nothing of the request was sent
            return await self._client.send(built, stream=True)


def _client(transport: httpx2.AsyncHTTPTransport, url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=transport,
        base_url=url,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(REQUEST_TIMEOUT_S, connect=CONNECT_S),
        follow_redirects=False,
    )


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise too_long()
    return bytes(body)
