"""A scripted host for the board's end of the link: a LinkSession in the host's role over a real TLS WebSocket."""

from __future__ import annotations

import hashlib
import queue
import secrets
import ssl
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.virtual.conftest import BoardUnderTest, StartBoard
from tests.wire.link.ends import MemoryInbox, MemoryOutbox
from wasmtime import wat2wasm
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from microclaw.errors import DeviceUnreachable, LinkViolation
from microclaw.host.auth.certificates import device_certificate, new_authority, read_csr, server_certificate
from microclaw.host.auth.credentials import mint_token
from microclaw.virtual.link_client.state import SystemClock
from microclaw.wire.link import actions
from microclaw.wire.link.messages import (
    AnyBody,
    AnyMessage,
    Call,
    Envelope,
    Hello,
    MessageLimits,
    PairCode,
    PairDone,
    PairRequest,
    Result,
    Software,
    Token,
    Welcome,
)
from microclaw.wire.link.session import LinkConfig, LinkSession
from microclaw.wire.link.states import LinkPhase
from microclaw.wire.link.values import Id, ValueMap

TIMEOUT_S = 60.0
CODE = "123456"
DEVICE_ID = "dev-1"
M = TypeVar("M", bound=AnyBody)


@dataclass
class HostMail(MemoryOutbox):
    """The host's stores for one device, in memory: they outlive connections and boots of the board."""

    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    applied: list[Envelope] = field(default_factory=list)  # durable messages, each once, in order

    def apply(self, deliver: actions.Deliver) -> None:
        envelope = deliver.envelope
        assert deliver.epoch is not None
        assert envelope.seq is not None
        if self.inbox.epoch == deliver.epoch:
            assert envelope.seq <= self.inbox.seq + 1, "a durable message of the board is missing"
        if self.inbox.advance(deliver.epoch, envelope.seq, envelope.id):
            self.applied.append(envelope)


class ScriptedHost:
    """Listens on loopback. What devices send is in `heard`; `confirm` decides whether the pairing code is typed in."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        self.authority = new_authority(now)
        self._ca_pem = self.authority.certificate.public_bytes(Encoding.PEM)
        self.mail = HostMail()
        self.heard: list[Envelope] = []
        self.hellos: list[Hello] = []
        self.refuse_with: int | None = None
        self.confirm = True
        self.renews = True
        self.drops_renewals = False
        self.on_credential: Callable[[], None] = lambda: None
        self.issued_ago = timedelta(0)  # how old the certificates are that it gives out
        self.tokens: list[str] = []
        self.used_tokens: list[str | None] = []
        self.certificates: list[bytes | None] = []
        self.closes: list[tuple[int, str]] = []
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[LinkSession], None]] = deque()
        self._session: LinkSession | None = None
        self._closing = False
        self._dropping = False
        self._raw: deque[bytes | str] = deque()
        self._tls = self._context(now)
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            ssl=self._tls,
            subprotocols=["microclaw.v1"],  # type: ignore[list-item]
            compression=None,
            process_request=self._answer_plain,
            ping_interval=None,
            close_timeout=1,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="scripted host")
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.socket.getsockname()[1])

    @property
    def options(self) -> tuple[str, ...]:
        """The options that a board is started with."""
        der = self.authority.certificate.public_bytes(Encoding.DER)
        url = f"wss://127.0.0.1:{self.port}/link"
        return ("--link", url, "--link-ca-sha256", hashlib.sha256(der).hexdigest())

    # What a test asks

    def wait(self, condition: Callable[[], M | bool | None]) -> M | bool:
        """Wait until the condition is truthy; it is looked at whenever something happened."""
        deadline_s = time.monotonic() + TIMEOUT_S
        with self._changed:
            while not (found := condition()):
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"did not happen within {TIMEOUT_S} s; heard {[e.body for e in self.heard][-12:]}"
                self._changed.wait(left_s)
        return found

    def wait_for(self, kind: type[M], matches: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of that kind, durable or not."""

        def found() -> M | None:
            return next((e.body for e in self.heard if isinstance(e.body, kind) and matches(e.body)), None)

        body = self.wait(found)
        assert isinstance(body, kind)
        return body

    def result_of(self, message_id: Id) -> Result:
        self.wait(lambda: bool(self.results_of(message_id)))
        return self.results_of(message_id)[0]

    def results_of(self, message_id: Id) -> list[Result]:
        return [e.body for e in self.heard if e.re == message_id and isinstance(e.body, Result)]

    def wait_hellos(self, count: int) -> None:
        """Until the board has come so many times, and is ready."""
        self.wait(lambda: len(self.hellos) >= count and self.is_connected)

    @property
    def is_connected(self) -> bool:
        return self._session is not None and self._session.phase is LinkPhase.READY

    def send(self, body: AnyMessage, *, durable: bool = False, message_id: Id | None = None) -> Id:
        """Durable messages need no connection; for others the board must be there."""
        message_id = message_id or secrets.token_bytes(16)
        answer: queue.Queue[Exception | None] = queue.Queue()

        def job(session: LinkSession) -> None:
            try:
                session.send(body, durable=durable, message_id=message_id)
                answer.put(None)
            except DeviceUnreachable as exc:
                answer.put(exc)

        with self._changed:
            self._jobs.append(job)
        if not durable:
            error = answer.get(timeout=TIMEOUT_S)
            if error is not None:
                raise error
        return message_id

    def call(self, method: str, params: ValueMap | None = None, *, idempotent: bool = True) -> Result:
        self.wait(lambda: self.is_connected)
        return self.result_of(self.send(Call(method, params or {}, idempotent)))

    def send_raw(self, *messages: bytes | str) -> None:
        """WebSocket messages as they are, once the board is connected."""
        self.wait(lambda: self.is_connected)
        with self._changed:
            self._raw.extend(messages)

    def drop(self) -> None:
        """Cut the present connection."""
        self._dropping = True

    def speak_tls(self, *, old: bool) -> None:
        """To whoever connects from now on: 1.1 at most, or what is usual."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1 if old else ssl.TLSVersion.TLSv1_2
            self._tls.maximum_version = ssl.TLSVersion.TLSv1_1 if old else ssl.TLSVersion.MAXIMUM_SUPPORTED
        self._tls.set_ciphers("ALL:@SECLEVEL=0" if old else "DEFAULT")

    def close(self) -> None:
        self._closing = True
        self._server.shutdown()
        self._thread.join(TIMEOUT_S)

    # How it serves

    def _context(self, now: datetime) -> ssl.SSLContext:
        addresses = [ip_address("127.0.0.1")]
        pair = server_certificate(self.authority, ["localhost"], addresses, now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            path.write_bytes(pair.to_pem())
            context.load_cert_chain(path)
        context.load_verify_locations(cadata=self._ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _answer_plain(self, _connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ca.pem":
            return Response(200, "OK", Headers({"Content-Length": str(len(self._ca_pem))}), self._ca_pem)
        return None

    def _handle(self, connection: ServerConnection) -> None:
        socket = connection.socket
        assert isinstance(socket, ssl.SSLSocket)
        certificate = socket.getpeercert(binary_form=True)
        assert connection.request is not None
        header = connection.request.headers.get("Authorization")
        if header:
            token = header.removeprefix("Bearer ")
        else:
            token = None
        with self._changed:
            self.certificates.append(certificate)
            self.used_tokens.append(token)
        if self.refuse_with is not None:
            connection.close(self.refuse_with, "refused by the test")
            return
        session = LinkSession(
            Welcome(
                session=secrets.token_bytes(16),
                host=Software("scripted", "1"),
                time_ms=0,
                heartbeat_s=15,
                tx_epoch=bytes(8),
                rx_seq=0,
                limits=MessageLimits(16_384, 2_048),
            ),
            outbox=self.mail.cursor(),
            inbox=self.mail.inbox.cursor(),
            clock=SystemClock(),
            new_id=lambda: secrets.token_bytes(16),
            config=LinkConfig(heartbeat_s=15),
            authenticated=certificate is not None or token in self.tokens,
        )
        session.connected()
        self._session = session
        try:
            self._converse(connection, session)
        except (ConnectionClosed, OSError):
            if connection.protocol.close_rcvd is not None:
                with self._changed:
                    self.closes.append((connection.protocol.close_rcvd.code, connection.protocol.close_rcvd.reason))
        finally:
            session.closed()
            with self._changed:
                if self._session is session:
                    self._session = None
                self._changed.notify_all()

    def _converse(self, connection: ServerConnection, session: LinkSession) -> None:
        while not self._closing:
            if self._dropping:
                self._dropping = False
                raise OSError("dropped by the test")
            while self._raw:
                connection.send(self._raw.popleft())
            if session.phase is LinkPhase.READY:
                self._do_jobs(session)
            due_ms = session.next_tick_ms()
            if due_ms is not None and time.monotonic() * 1000 >= due_ms:
                session.tick()
            self._carry_out(connection, session)
            try:
                message = connection.recv(timeout=0.01)
            except TimeoutError:
                continue
            assert isinstance(message, bytes)
            session.receive(message)

    def _do_jobs(self, session: LinkSession) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job(session)

    def _carry_out(self, connection: ServerConnection, session: LinkSession) -> None:
        while (action := session.next_action()) is not None:
            match action:
                case actions.Close(code=code, reason=reason):
                    self._write(connection, session)
                    connection.close(code, reason)
                case actions.Deliver():
                    self._deliver(action, session)
                case actions.ReportPeer(peer=Hello() as peer):
                    self.hellos.append(peer)
                case _:
                    self.mail.carry_out(action, session)
            with self._changed:
                self._changed.notify_all()
        self._write(connection, session)

    def _write(self, connection: ServerConnection, session: LinkSession) -> None:
        while (message := session.lanes.take(0)) is not None:
            connection.send(message)

    def _deliver(self, deliver: actions.Deliver, session: LinkSession) -> None:
        envelope = deliver.envelope
        if envelope.seq is not None:
            before = len(self.mail.applied)
            self.mail.apply(deliver)
            session.ack_applied(deliver.epoch, envelope.seq)
            if len(self.mail.applied) == before:
                return
        with self._changed:
            self.heard.append(envelope)
        if isinstance(envelope.body, PairRequest):
            is_renewal = self.certificates[-1] is not None
            if is_renewal and self.drops_renewals:
                raise OSError("dropped by the test")
            if is_renewal and not self.renews:
                session.refuse(LinkViolation("too early", reason="too_early"))
                return
            if not is_renewal:
                session.send(PairCode(CODE, 120), re=envelope.id)
            if self.confirm:
                session.send(self._credential(envelope.body), re=envelope.id)
                self.on_credential()

    def _credential(self, request: PairRequest) -> PairDone:
        if request.csr is None:
            return PairDone(token=self.new_token().token)
        certificate = device_certificate(
            self.authority, read_csr(request.csr), DEVICE_ID, datetime.now(UTC) - self.issued_ago
        )
        return PairDone(certificate=certificate.public_bytes(Encoding.DER))

    def new_token(self) -> Token:
        self.tokens.append(mint_token(DEVICE_ID, secrets.token_bytes(32)))
        return Token(self.tokens[-1], int(time.time() * 1000) + 86_400_000)


@pytest.fixture
def host() -> Iterator[ScriptedHost]:
    scripted = ScriptedHost()
    yield scripted
    scripted.close()


def start_linked(start_board: StartBoard, host: ScriptedHost, flash: Path) -> BoardUnderTest:
    started = start_board("--serial", "none", "--flash", str(flash), *host.options)
    host.wait_hellos(1)
    return started


def code_of(result: Result) -> str:
    assert result.error is not None, result
    return result.error.code


def program(text: str, after: str = "") -> bytes:
    """A program that prints `text` when it starts, and does `after` then."""
    return bytes(
        wat2wasm(
            f"""(module (import "env" "puts" (func $puts (param i32) (result i32))) (memory (export "memory") 1)
            (data (i32.const 16) "{text}\\00") (func (export "on_init") i32.const 16 call $puts drop {after}))"""
        )
    )
