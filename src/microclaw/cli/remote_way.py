"""The way to a host at an address: TLS, the token, and what its refusals mean here. It knows no route's meaning."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, RemoteDisconnected
from typing import Any, Final

from microclaw import __version__
from microclaw.cli.host_address import VARIABLE, HostAddress, HostToken, how_to_get_one
from microclaw.cli.host_client import HostError
from microclaw.errors import ConfigError, MicroclawError, NoHost, ProtocolError
from microclaw.web.stream import Failure, failure_from

CONNECT_S: Final = 10.0
VERSION_S: Final = 5.0
MAX_VERSION_BYTES: Final = 4096
_UNKNOWN_HERE: Final = frozenset({"bad_request", "method_not_allowed", "not_found"})
_AWAY: Final = frozenset({502, 503, 504})


class RemoteWay:
    """Connections to one host; the token goes to it alone, and no redirection is followed."""

    def __init__(self, address: HostAddress, token: HostToken) -> None:
        self.address = address
        self._token = token

    @property
    def prefix(self) -> str:
        return self.address.prefix

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token.secret}"}

    def connect(self, timeout_s: float) -> HTTPConnection:
        connection = self._connection(min(CONNECT_S, timeout_s))
        try:
            connection.connect()
        except (OSError, UnicodeError) as exc:
            connection.close()
            raise (self._no_trust(exc) if isinstance(exc, ssl.SSLError) else self._nobody(exc)) from exc
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        return connection

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"{self.address} did not answer within {timeout_s:.0f} s", next_step=self._look())

    def gone(self, error: Exception) -> MicroclawError:
        if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
            return self.foreign()
        return NoHost(f"{self.address} went away in the middle of an answer", next_step=self._look())

    def foreign(self) -> MicroclawError:
        return ProtocolError(
            f"what answers at {self.address} is no microclaw host",
            next_step=f"is the address right? {self.address.said_by} names it",
        )

    def refused(self, method: str, path: str, response: HTTPResponse, value: Any) -> MicroclawError:
        """What an answer says that is no success; `value` is its JSON, None when it has none."""
        if 300 <= response.status < 400:
            there = (response.headers.get("Location") or "another place")[:200]
            return ProtocolError(
                f"{self.address} sends on to {there}, and the token goes to nobody else",
                next_step=f"name the host's own address with {self.address.said_by}",
            )
        try:
            failure = failure_from(value["error"])
        except (KeyError, TypeError, ValueError):
            return self._no_reason(response)
        if response.status == 401:
            return HostError(Failure(failure.code, self._wrong_token(), how_to_get_one()))
        if failure.code == "forbidden" and failure.message.startswith("foreign Host"):
            text = f"{self.address} passes its own name on to the host, which answers to localhost alone"
            return HostError(Failure(failure.code, text, "let the proxy there send the header Host: localhost"))
        if failure.code in _UNKNOWN_HERE and (told := self.other_version()) is not None:
            return HostError(Failure(failure.code, f"{told}: it does not know {method} {path}", _SAME_VERSION))
        return HostError(failure)

    def other_version(self) -> str | None:
        """A line about versions that differ; None when they do not, or when the host does not tell."""
        version = self._version()
        if version is None or version == __version__:
            return None
        return f"{self.address} runs microclaw {version}, and this is {__version__}"

    def mismatch(self) -> MicroclawError | None:
        """For an answer that this version cannot read."""
        told = self.other_version()
        if told is None:
            return None
        return ProtocolError(f"{told}: they do not understand each other", next_step=_SAME_VERSION)

    def _connection(self, timeout_s: float) -> HTTPConnection:
        if self.address.scheme == "http":
            return HTTPConnection(self.address.name, self.address.port, timeout=timeout_s)
        context = ssl.create_default_context()  # names and chains are checked; there is no way round it
        return HTTPSConnection(self.address.name, self.address.port, timeout=timeout_s, context=context)

    def _version(self) -> str | None:
        try:
            connection = self.connect(VERSION_S)
            try:
                connection.request("GET", f"{self.prefix}/healthz")
                value = json.loads(connection.getresponse().read(MAX_VERSION_BYTES))
                return str(value["version"])[:40]
            finally:
                connection.close()
        except (MicroclawError, OSError, HTTPException, ValueError, KeyError, TypeError):
            return None  # it is asked only to explain another error, which is told in any case

    def _wrong_token(self) -> str:
        return f"the token in {self._token.found_in} opens nothing at {self.address}: it is wrong, over, or was removed"

    def _no_reason(self, response: HTTPResponse) -> MicroclawError:
        """An answer that no microclaw host gave: a proxy's, or somebody else's."""
        if response.status in _AWAY:
            text = f"{self.address} answers {response.status}: the host behind it is away, or busy"
            return NoHost(text, next_step="microclaw up on that machine, or a little later")
        if response.status in (401, 403, 407):
            text = f"what stands before {self.address} lets nobody in ({response.status})"
            return ProtocolError(text, next_step="let it pass requests on to the host, which checks the token itself")
        return self.foreign()

    def _nobody(self, error: Exception) -> NoHost:
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
                next_step="give it a certificate of that name; one of your own authority is trusted with "
                "SSL_CERT_FILE=AUTHORITY.pem",
            )
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return NoHost(f"{self.address} does not speak TLS there ({reason})", next_step="is the port right?")

    def _look(self) -> str:
        if self.address.scheme == "http":
            return f"microclaw up on that machine, and is the tunnel open? ({self.address.said_by} names the address)"
        return f"microclaw up on that machine, and is the address right? ({self.address.said_by} names it)"


_SAME_VERSION: Final = f"install the same version on both; this machine's own host: --host local, or without {VARIABLE}"
