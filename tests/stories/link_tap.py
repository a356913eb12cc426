"""A tap in the link of a board and a host: it ends the TLS of both, hands every message on, and notes the calls."""

from __future__ import annotations

import ssl
import tempfile
import threading
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.serialization import Encoding
from tests.stories.conftest import TIMEOUT_S
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from microclaw.host.auth.certificates import new_authority, server_certificate

PROTOCOL = "microclaw.v1"
_CONTROL = 1


class LinkTap:
    """A host for a board that signs in with a token. `calls` are the methods that the real host called."""

    def __init__(self, host_url: str) -> None:
        now = datetime.now(UTC)
        authority = new_authority(now)
        self.calls: list[str] = []
        self._host_url = host_url
        self._ca_pem = authority.certificate.public_bytes(Encoding.PEM)
        self._ca_sha256 = sha256(authority.certificate.public_bytes(Encoding.DER)).hexdigest()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            path.write_bytes(server_certificate(authority, ["localhost"], [ip_address("127.0.0.1")], now).to_pem())
            tls.load_cert_chain(path)
        self._server = serve(
            self._hand_on,
            "127.0.0.1",
            0,
            ssl=tls,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            compression=None,
            process_request=self._answer_plain,
            ping_interval=None,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="link tap")
        self._thread.start()

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `python -m microclaw.virtual` for a board whose host this is."""
        url = f"wss://127.0.0.1:{self._server.socket.getsockname()[1]}/link"
        return ("--link", url, "--link-ca-sha256", self._ca_sha256, "--link-credential", "token")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(TIMEOUT_S)

    def _answer_plain(self, _connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ca.pem":
            return Response(200, "OK", Headers({"Content-Length": str(len(self._ca_pem))}), self._ca_pem)
        return None

    def _hand_on(self, board: ServerConnection) -> None:
        """Hand on a connection of the board until one end closes it."""
        # The tap trusts any host: it runs on this machine.
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        assert board.request is not None
        token = board.request.headers.get("Authorization")
        headers = {} if token is None else {"Authorization": token}
        with connect(
            self._host_url,
            ssl=tls,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            compression=None,
            additional_headers=headers,
            ping_interval=None,
        ) as host:
            back = threading.Thread(target=self._hand_back, args=(host, board), name="link tap: from the host")
            back.start()
            try:
                for message in board:
                    host.send(message)
            except ConnectionClosed:
                pass
            host.close()
            back.join(TIMEOUT_S)

    def _hand_back(self, host: ClientConnection, board: ServerConnection) -> None:
        """Hand on the host's messages, and note its calls."""
        try:
            for message in host:
                assert isinstance(message, bytes)
                if message[0] == _CONTROL:
                    self._note(cbor2.loads(message[1:]))
                board.send(message)
        except ConnectionClosed:
            pass
        board.close()

    def _note(self, envelope: dict[str, object]) -> None:
        body = envelope["body"]
        if envelope["type"] == "call" and isinstance(body, dict):
            self.calls.append(body["method"])
