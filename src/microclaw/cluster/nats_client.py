"""NATS' client as a host needs it: it uses TLS where the addresses say so and only there, and gives up after no error.

`nats.aio.client.Client` does what the server says of TLS: to a server that offers none it sends the password in clear
text, also to one that it was told of by another. And it closes itself for ever when a server ends the connection with
an error, as it does after its users were changed.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport
from nats.js.errors import APIError

from microclaw.config.cluster_settings import ClusterSettings

_PERMISSIONS: Final = "permissions violation"
_EXPIRED: Final = 10  # OpenSSL's X509_V_ERR_...: certificate has expired
_NOT_YET: Final = 9
_OTHER_NAMES: Final = (62, 64)  # of a host, of an address
_SSL_NO_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")


class Refusal(nats.errors.Error):
    """Why a server is not used; NATS' client takes it as an error of that server, and tries the next."""

    def __init__(self, text: str, next_step: str) -> None:
        super().__init__(text)
        self.next_step = next_step


class HostTransport(TcpTransport):
    """A connection that is gone is an outage to who writes: uvloop's own error of it ends the task that connects."""

    def write(self, payload: bytes) -> None:
        self._check_open()
        super().write(payload)  # type: ignore[no-untyped-call]  # NATS' client has no types here

    def writelines(self, payload: list[bytes]) -> None:
        self._check_open()
        super().writelines(payload)  # type: ignore[no-untyped-call]

    def _check_open(self) -> None:
        if self._io_writer is None or self._io_writer.is_closing():
            raise ConnectionResetError("it ended the connection")


class HostClient(Client):
    """Made for one host's settings. The files that they name are read anew at each connection."""

    def __init__(self, settings: ClusterSettings) -> None:
        super().__init__()
        self._cluster = settings
        self.denied: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # what its user may not do

    @property
    def ssl_context(self) -> ssl.SSLContext:
        if not self._cluster.with_tls:
            raise Refusal(
                "it wants TLS, and cluster.nats names it with nats://",
                "name it with tls://, and its authority: microclaw config set cluster.ca_file /path/to/ca.pem",
            )
        return tls_context(self._cluster)

    async def _connect_to_server(self, s: Srv) -> None:
        """NATS' client forgets a connection that it gave up half-made, and its socket stays open."""
        self.drop_connection()
        self._transport = self._transport or HostTransport()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        """NATS' client holds a connection that ended while it signed on for a good one."""
        await super()._process_connect_init()
        if not self.is_connected:
            for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
                if task is not None:
                    task.cancel()
            raise ConnectionResetError("it ended the connection while this host signed on")

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if not self.is_connected:  # nobody takes what waits to be sent
            self._pending, self._pending_data_size = [], 0
        await super()._close(status, do_cbs)

    def drop_connection(self) -> None:
        if isinstance(self._transport, TcpTransport):
            for writer in (self._transport._io_writer, self._transport._bare_io_writer):
                if writer is not None:
                    writer.transport.abort()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """What a server says of itself, before anything is sent to it, and later when the servers change."""
        if initial_connection and self._cluster.with_tls:
            if not info.get("tls_required") and not info.get("tls_available"):
                raise Refusal(
                    "it offers no TLS, and cluster.nats wants it (tls://): nothing was sent to it",
                    "give the NATS server a certificate (tls { ... } in its configuration)",
                )
            info["tls_required"] = True  # of this very connection: a server that leaves the choice gets TLS
        await super()._process_info(info, initial_connection=initial_connection)

    def _connect_command(self) -> bytes:
        """What signs this host on, when all is ready for it."""
        writer = self._transport._io_writer if isinstance(self._transport, TcpTransport) else None
        if self._cluster.with_tls:
            if writer is None or writer.get_extra_info("ssl_object") is None:
                raise Refusal("it is connected without TLS: nothing was sent to it", "see the NATS server's log")
            # NATS' client does not tell its reader that there is TLS, and asyncio complains of that when it ends.
            if isinstance(protocol := writer.transport.get_protocol(), asyncio.StreamReaderProtocol):
                protocol._over_ssl = True  # type: ignore[attr-defined]
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        """An error that the server tells on a connection that stood. The server closes it, but for a permission."""
        if _PERMISSIONS in err_msg.lower():
            if not self.denied.done():
                self.denied.set_result(err_msg.strip("'"))
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg.strip(chr(39))}")
        if not self.is_connecting:
            await self._error_cb(error)
        await self._process_op_err(error)


def tls_context(cluster: ClusterSettings) -> ssl.SSLContext:
    """Refusal where a file that the settings name is of no use."""
    try:
        authority = None if cluster.ca_file is None else Path(cluster.ca_file).expanduser()
        context = ssl.create_default_context(cafile=authority)
    except OSError as exc:  # ssl.SSLError is one
        raise Refusal(
            f"cluster.ca_file {cluster.ca_file} cannot be used: {_why(exc)}", "it is the authority's certificate in PEM"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cluster.cert_file is not None:
        key = None if cluster.key_file is None else Path(cluster.key_file).expanduser()
        try:
            context.load_cert_chain(Path(cluster.cert_file).expanduser(), key, password=_no_password)
        except (OSError, ValueError) as exc:
            raise Refusal(
                f"cluster.cert_file {cluster.cert_file} or its key cannot be used: {_why(exc)}",
                "cluster.cert_file is this host's certificate in PEM, cluster.key_file its key without a password",
            ) from exc
    return context


def is_refusal(exc: BaseException) -> bool:
    """What another try at the same server does not mend."""
    return isinstance(exc, Refusal | ssl.SSLError) or "auth" in str(exc).lower()


def reason(exc: BaseException) -> str:
    """Why a server is not connected, in words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {exc.verify_message.rstrip('.')}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS with it failed: {(exc.reason or str(exc)).replace('_', ' ').lower()}"
    if isinstance(exc, TimeoutError | asyncio.TimeoutError) and not str(exc):
        return "no answer"
    if isinstance(exc, APIError):
        return exc.description or "nobody there answers for JetStream"
    if "authorization violation" in str(exc).lower():
        return "it refuses this host's user or password (Authorization Violation)"
    return str(exc).removeprefix("nats: ") or type(exc).__name__


def next_step(exc: BaseException) -> str:
    text = str(exc).lower()
    match exc:
        case Refusal():
            return exc.next_step
        case ssl.SSLCertVerificationError(verify_code=code) if code in (_EXPIRED, _NOT_YET):
            return "renew the NATS server's certificate; or set this machine's clock: timedatectl set-ntp true"
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OTHER_NAMES:
            return "name the server in cluster.nats as its certificate does, or give it a certificate with that name"
        case ssl.SSLCertVerificationError():
            return "check cluster.ca_file: the authority of the servers' certificates"
        case ssl.SSLError() if any(word in (exc.reason or "") for word in _SSL_NO_CERTIFICATE):
            return "the server wants a certificate of this host that its authority signed: cluster.cert_file, key_file"
    if "auth" in text or "permissions" in text:
        return "check cluster.user, cluster.password_file, and the users of the NATS server"
    return "start it (nats-server -js), or correct the address: microclaw up --nats nats://HOST:4222"


def _why(exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "it is no PEM").replace("_", " ").lower()
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def _no_password() -> str:
    """OpenSSL would ask on the terminal for the password of an encrypted key."""
    raise ValueError("the key has a password")
