"""`microclaw mcp --http`: Streamable HTTP for clients that show a token. The host checks the token and the role.

Every request is passed on in the name of its token's person: what that person may not do is refused by the host's gate.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.codes import WrongTokens
from microclaw.errors import ConfigError, MicroclawError
from microclaw.mcp.server.handlers import mcp_server
from microclaw.mcp.server.service import Caller, EndSession
from microclaw.mcp.server.shared_host import SharedHost
from microclaw.operations.client import AsyncClient
from microclaw.operations.connection import Endpoint, HostError
from microclaw.operations.host_address import HostToken, named_host
from microclaw.wire.host_api import TOO_MANY, Failure, failure_object, failure_of

PATH: Final = "/mcp"
CHECK_PATH: Final = "/v1/approvals"  # for guests and up, as MCP is
MAX_BODY_BYTES: Final = 1 << 20
SESSION_HEADER: Final = "mcp-session-id"
MAX_SESSIONS: Final = 64
MAX_OWNERS: Final = 1024
MAX_CONNECTIONS: Final = 256  # each session may hold a stream open
IDLE_S: Final = 1800.0
WRONG_TOKENS: Final = 5  # of one address within a minute; the host counts what is passed on, too


@asynccontextmanager
async def http_app(
    host_url: str,
    names: tuple[str, ...],
    port: int,
    *,
    tls: bool = False,
    record: Record = no_record,
    authorities: str = "",
) -> AsyncIterator[ASGIApp]:
    """The ASGI app for these names of this machine. `host_url`: the address of the host's API."""
    addresses = [f"{name}:{port}" for name in names]
    origins = [f"{'https' if tls else 'http'}://{address}" for address in addresses]
    security = TransportSecuritySettings(allowed_hosts=addresses, allowed_origins=origins)
    service = TokenService(host_url, authorities)
    async with mcp_server(service) as server:
        app = server.streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=MAX_BODY_BYTES,
            session_idle_timeout=IDLE_S,
            max_sessions=MAX_SESSIONS,
            transport_security=security,
        )
        yield TokenCheck(app, service, record)


class TokenService:
    """A client of the host for the token of each request."""

    def __init__(self, host_url: str, authorities: str = "") -> None:
        self._endpoint = Endpoint(None, named_host(host_url, {}, "the host"), None, authorities)
        self._ended: EndSession | None = None

    async def caller(self, context: Any) -> Caller:
        token = token_of(context.request.headers)
        assert token is not None  # the gate has seen it
        return Caller(self._client(token), _owner(token), _session(context.request.headers))

    @asynccontextmanager
    async def sessions(self, ended: EndSession) -> AsyncIterator[None]:
        self._ended = ended
        try:
            yield
        finally:
            self._ended = None

    def end_session(self, headers: Headers) -> None:
        """The client has closed its session."""
        token = token_of(headers)
        if token is not None and self._ended is not None:
            self._ended(_owner(token), _session(headers))

    async def check(self, token: str) -> None:
        """Raises HostError with status 401 or 429 for a token that opens nothing."""
        await self._client(token).get(CHECK_PATH)

    def _client(self, token: str) -> AsyncClient:
        return AsyncClient(replace(self._endpoint, token=HostToken(token)))


class TokenCheck:
    """Checks the token of every request with the host, so that a removed token stops working at once.

    A session is its token's alone: `app`, the MCP SDK's, answers another one as if the session did not exist, as it
    keeps the user of the request that opened the session. Here that is noticed and recorded.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: TokenService,
        record: Record = no_record,
    ) -> None:
        self._app = app
        self._service = service
        self._record = record
        self._wrong = WrongTokens(WRONG_TOKENS, time.monotonic)
        self._owners: OrderedDict[str, str] = OrderedDict()  # of sessions, the newest; for the security log alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = token_of(headers)
        assert token is not None  # `_refusal` has seen it
        owner = _owner(token)
        user = AuthenticatedUser(AccessToken(token="", client_id=owner, scopes=[]))

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, owner, headers.get(SESSION_HEADER), message)
            await send(message)

        await self._app({**scope, "user": user}, receive, watched)
        if scope["method"] == "DELETE":
            self._service.end_session(headers)

    def _note(self, scope: Scope, owner: str, asked_for: str | None, answer: Message) -> None:
        """Remember whose a new session is; record a request for somebody else's."""
        if asked_for is None:
            opened = Headers(raw=answer["headers"]).get(SESSION_HEADER)
            if opened is not None:
                self._owners[opened] = owner
                if len(self._owners) > MAX_OWNERS:
                    self._owners.popitem(last=False)
        elif answer["status"] == 404 and self._owners.get(asked_for, owner) != owner:
            text = "a token asked for another token's MCP session"
            self._record(AuditEvent(AuditKind.TOKEN_MISUSED, text, address=_address(scope)))

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        address = _address(scope)
        if self._wrong.wait_s(address) > 0:
            return _refused(429, Failure(TOO_MANY, "too many wrong tokens", "wait a minute"))
        token = token_of(Headers(scope=scope))
        if token is None:
            step = "send Authorization: Bearer, with one of: microclaw person tokens --add NAME"
            return _refused(401, Failure("unauthorized", "no token", step))
        try:
            await self._service.check(token)
        except HostError as exc:
            if exc.status == 401:
                self._wrong.add(address)
            told = exc.failure
            text = told.message.replace(CHECK_PATH, "MCP")
            return _refused(exc.status, Failure(told.code, text, told.next_step))
        except MicroclawError as exc:
            return _refused(503, failure_of(exc))
        return None


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("?", 0))[0])


def _owner(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _session(headers: Headers) -> str:
    """The session's name in the host; a client of the newest protocol has none, and each token one for all of those."""
    session_id = headers.get(SESSION_HEADER)
    return "mcp-http" if session_id is None else f"mcp-{hashlib.sha256(session_id.encode()).hexdigest()[:32]}"


def token_of(headers: Headers) -> str | None:
    shown = headers.getlist("authorization")
    scheme, _, secret = (shown[0] if len(shown) == 1 else "").partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and secret and secret.isascii() else None


def check_address(host: str, certificate: Path | None, key: Path | None) -> None:
    """ConfigError for an address that is not this machine's alone, unless TLS is at hand."""
    if (certificate is None) != (key is None):
        raise ConfigError("TLS takes both a certificate and its key", next_step="--certificate FILE --key FILE")
    if certificate is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(
            f"a token in clear text may not cross a network, so {host} needs TLS",
            next_step="--certificate FILE --key FILE, or 127.0.0.1 behind an SSH tunnel",
        )


async def host_address(shared_host: SharedHost, control_socket: Path) -> str:
    """The API's address; ConfigError when this host has none."""
    await shared_host.ready()
    address = (await AsyncClient(control_socket).get("/v1/status"))["https"]["local"]
    if address is None:
        raise ConfigError(
            "this host has no port for its API, and tokens are checked there", next_step="microclaw up --port 8080"
        )
    return str(address)


async def serve_http(
    host_url: str,
    listener: Any,
    *,
    names: tuple[str, ...],
    certificate: Path | None = None,
    key: Path | None = None,
    record: Record = no_record,
    authorities: str = "",
    make_config: Callable[..., uvicorn.Config] = uvicorn.Config,
) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM. `make_config`: uvicorn settings with the host's limits."""
    port = int(listener.getsockname()[1])
    async with http_app(
        host_url, names, port, tls=certificate is not None, record=record, authorities=authorities
    ) as app:
        config = make_config(
            app,
            limit_concurrency=MAX_CONNECTIONS,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def _refused(status: int, failure: Failure) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": failure_object(failure)}, status, headers)
