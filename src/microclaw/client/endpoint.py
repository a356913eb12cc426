"""How a host is reached: this machine's control socket, or an address with TLS and a token. What its silence and its
refusals mean there. It knows no route's meaning.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from pathlib import Path
from typing import Any, Final

from microclaw import __version__
from microclaw.client.address import VARIABLE, HostAddress, HostToken, how_to_get_one
from microclaw.client.request import HostError, HostRequest
from microclaw.errors import ConfigError, MicroclawError, NoHost, ProtocolError
from microclaw.text import clean_text
from microclaw.wire.host_api import Failure, failure_from

CONNECT_S: Final = 10.0
VERSION_S: Final = 5.0
MAX_VERSION_BYTES: Final = 4096
_UNKNOWN_HERE: Final = frozenset({"bad_request", "method_not_allowed", "not_found"})
_AWAY: Final = frozenset({502, 503, 504})
SAME_VERSION: Final = f"install the same version on both; this machine's own host: --host local, or without {VARIABLE}"


def verifying_context(authorities: str = "") -> ssl.SSLContext:
    """Names and chains are checked, and there is no way round it. `authorities` (PEM) are trusted, too."""
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


class HostEndpoint:
    """A host of this machine, in plain words. `prefix` stands before each path, `headers` go with each request."""

    prefix = ""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.headers = headers or {}

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"the host did not answer within {timeout_s:.0f} s", next_step="microclaw doctor")

    def gone(self, _error: Exception) -> MicroclawError:
        text = "the host went away in the middle of an answer"
        return NoHost(text, next_step="microclaw up, then look with app list")

    def unreachable(self, error: Exception) -> MicroclawError:
        """The connection was refused."""
        reason = error.strerror if isinstance(error, OSError) else None
        return NoHost(f"cannot reach the host: {reason or str(error)[:120]}", next_step="microclaw up")

    def not_a_host(self) -> MicroclawError:
        return ProtocolError("the host's answer is not JSON", next_step="is this socket a microclaw host?")

    def document(self, request: HostRequest, content: bytes) -> dict[str, Any]:
        """The answer's JSON, which must be an object."""
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise self.not_a_host() from exc
        if not isinstance(value, dict):
            raise ProtocolError(f"the host answered {request.path} with {type(value).__name__}, an object was expected")
        return value

    def refused(self, _request: HostRequest, status: int, _location: str | None, content: bytes) -> MicroclawError:
        """What an answer says that is no success."""
        failure = _failure_in(content)
        return ProtocolError(f"the host answered {status}") if failure is None else HostError(failure, status)


class SocketEndpoint(HostEndpoint):
    """This machine's host, on its control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def connect(self, timeout_s: float) -> HTTPConnection:
        connection = _UnixConnection(self.path, timeout_s)
        try:
            connection.connect()
        except OSError as exc:
            connection.close()
            raise self.unreachable(exc) from exc
        return connection

    def unreachable(self, error: Exception) -> MicroclawError:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return NoHost("no host is running here", next_step="microclaw up")
        if isinstance(error, PermissionError):
            return NoHost(f"{self.path} belongs to another user", next_step="use the account that ran microclaw up")
        return super().unreachable(error)


class RemoteEndpoint(HostEndpoint):
    """Connections to one host; the token goes to it alone, and no redirection is followed."""

    def __init__(self, address: HostAddress, token: HostToken, authorities: str = "") -> None:
        """`authorities`: certificates (PEM) that are trusted besides the system's."""
        super().__init__({"Authorization": f"Bearer {token.secret}"})
        self.address = address
        self._authorities = authorities
        self.prefix = address.prefix
        self._token = token

    def connect(self, timeout_s: float) -> HTTPConnection:
        connection = self._connection(min(CONNECT_S, timeout_s))
        try:
            connection.connect()
        except (OSError, UnicodeError) as exc:
            connection.close()
            raise (self._no_trust(exc) if isinstance(exc, ssl.SSLError) else self.unreachable(exc)) from exc
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        return connection

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"{self.address} did not answer within {timeout_s:.0f} s", next_step=self._look())

    def gone(self, error: Exception) -> MicroclawError:
        if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
            return self.not_a_host()
        return NoHost(f"{self.address} went away in the middle of an answer", next_step=self._look())

    def not_a_host(self) -> MicroclawError:
        return ProtocolError(
            f"what answers at {self.address} is no microclaw host",
            next_step=f"is the address right? {self.address.said_by} names it",
        )

    def refused(self, request: HostRequest, status: int, location: str | None, content: bytes) -> MicroclawError:
        if 300 <= status < 400:
            place = clean_text(location or "another place", one_line=True, limit=200)
            return ProtocolError(
                f"{self.address} sends on to {place}, and the token goes to nobody else",
                next_step=f"name the host's own address with {self.address.said_by}",
            )
        failure = _failure_in(content)
        if failure is None:
            return self._no_reason(status)
        text, next_step = failure.message, failure.next_step
        if status == 401:
            text, next_step = self._wrong_token(), how_to_get_one()
        elif failure.code == "forbidden" and text.startswith("foreign Host"):
            text = f"{self.address} passes its own name on to the host, which answers to localhost alone"
            next_step = "let the proxy there send the header Host: localhost"
        elif failure.code in _UNKNOWN_HERE and (other := self.other_version()) is not None:
            text, next_step = f"{other}: it does not know {request.method} {request.path}", SAME_VERSION
        else:
            return HostError(failure, status)
        return HostError(Failure(failure.code, text, next_step), status)

    def other_version(self) -> str | None:
        """A line about versions that differ; None when they do not, or when the host does not tell."""
        version = self._version()
        if version is None or version == __version__:
            return None
        return f"{self.address} runs microclaw {version}, and this is {__version__}"

    def mismatch(self) -> MicroclawError | None:
        """For an answer that this version cannot read."""
        versions = self.other_version()
        if versions is None:
            return None
        return ProtocolError(f"{versions}: they do not understand each other", next_step=SAME_VERSION)

    def _connection(self, timeout_s: float) -> HTTPConnection:
        if self.address.scheme == "http":
            return HTTPConnection(self.address.name, self.address.port, timeout=timeout_s)
        context = verifying_context(self._authorities)
        return HTTPSConnection(self.address.name, self.address.port, timeout=timeout_s, context=context)

    def _version(self) -> str | None:
        try:
            connection = self.connect(VERSION_S)
            try:
                connection.request("GET", f"{self.prefix}/healthz")
                value = json.loads(connection.getresponse().read(MAX_VERSION_BYTES))
                return clean_text(str(value["version"]), one_line=True, limit=40)
            finally:
                connection.close()
        except (MicroclawError, OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
            return None  # it is asked only to explain another error, which is reported in any case

    def _wrong_token(self) -> str:
        return f"the token in {self._token.found_in} is not valid at {self.address}: it is wrong, over, or was removed"

    def _no_reason(self, status: int) -> MicroclawError:
        """An answer that is not from a microclaw host: from a proxy, or another server."""
        if status in _AWAY:
            text = f"{self.address} answers {status}: the host behind it is away, or busy"
            return NoHost(text, next_step="microclaw up on that machine, or a little later")
        if status in (401, 403, 407):
            text = f"what stands before {self.address} lets nobody in ({status})"
            return ProtocolError(text, next_step="let it pass requests on to the host, which checks the token itself")
        return self.not_a_host()

    def unreachable(self, error: Exception) -> MicroclawError:
        if isinstance(error, socket.gaierror | UnicodeError):
            step = f"is the name right? {self.address.said_by} names it"
            return NoHost(f"there is no machine called {self.address.name}", next_step=step)
        if isinstance(error, TimeoutError):
            return NoHost(f"nobody answers at {self.address}", next_step=self._look())
        reason = error.strerror if isinstance(error, OSError) else None
        return NoHost(f"nobody answers at {self.address}: {reason or error}", next_step=self._look())

    def _no_trust(self, error: ssl.SSLError) -> MicroclawError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(
                f"{self.address} cannot prove that it is that host: {error.verify_message}",
                next_step="microclaw person ca FILE on that machine, then MICROCLAW_CA=FILE here; or give it a "
                "certificate of that name",
            )
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return NoHost(f"{self.address} does not speak TLS there ({reason})", next_step="is the port right?")

    def _look(self) -> str:
        if self.address.scheme == "http":
            return f"microclaw up on that machine, and is the tunnel open? ({self.address.said_by} names the address)"
        return f"microclaw up on that machine, and is the address right? ({self.address.said_by} names it)"


def _failure_in(content: bytes) -> Failure | None:
    """The host's error in an answer's JSON; None in anything else."""
    try:
        value = json.loads(content)
        return failure_from(value["error"]) if isinstance(value, dict) else None
    except (KeyError, ValueError, RecursionError):
        return None


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
