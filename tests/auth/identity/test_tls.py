"""The authority's contexts over real sockets: what TLS itself lets in, keeps and refuses."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.auth.identity.conftest import Clock, Host, closed, key_pem

from microclaw.auth.certificates import CONSTANT_NAME, device_certificate, from_ms, host_names, new_authority
from microclaw.auth.credentials import Identity, Reason

TIMEOUT_S = 60.0


@pytest.fixture
def clock() -> Clock:
    """TLS libraries look at the system's clock."""
    import time

    return Clock(int(time.time() * 1000))


@dataclass
class Server:
    """Echoes bytes, and keeps each connection's client certificate."""

    port: int
    context: ssl.SSLContext
    certificates: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


@pytest.fixture
async def server(host: Host) -> AsyncIterator[Server]:
    certificates: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await certificates.put(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    context = host.authority.server_context()
    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield Server(listening.sockets[0].getsockname()[1], context, certificates)


def device_context(host: Host, folder: Path, pair: tuple[bytes, ec.EllipticCurvePrivateKey] | None) -> ssl.SSLContext:
    """What a device uses: the pinned authority, as strict as OpenSSL can be, and its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=host.authority.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if pair is not None:
        certificate, key = pair
        (folder / "device.pem").write_bytes(key_pem(key) + ssl.DER_cert_to_PEM_cert(certificate).encode())
        context.load_cert_chain(folder / "device.pem")
    return context


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def is_echoed(self) -> bool:
        self.writer.write(b"x")
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.readexactly(1) == b"x"

    def server_certificate(self) -> bytes:
        certificate: bytes = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certificate


@asynccontextmanager
async def connected(server: Server, context: ssl.SSLContext, name: str = "localhost") -> AsyncIterator[Connection]:
    async with asyncio.timeout(TIMEOUT_S):
        connection = Connection(
            *await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=name)
        )
    try:
        yield connection
    finally:
        connection.writer.close()
        async with asyncio.timeout(TIMEOUT_S):
            with suppress(ConnectionError, ssl.SSLError):  # the server ended it first
                await connection.writer.wait_closed()


async def seen(server: Server) -> bytes | None:
    async with asyncio.timeout(TIMEOUT_S):
        return await server.certificates.get()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "lab.local", "192.0.2.7", CONSTANT_NAME])
async def test_device_that_pins_the_authority_verifies_each_of_the_hosts_names(
    host: Host, server: Server, tmp_path: Path, name: str
) -> None:
    async with connected(server, device_context(host, tmp_path, None), name) as connection:
        assert await connection.is_echoed()
    assert await seen(server) is None


async def test_name_that_is_not_the_hosts_is_refused_by_the_device(host: Host, server: Server, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        async with connected(server, device_context(host, tmp_path, None), "elsewhere.local"):
            pass


async def test_client_certificate_reaches_the_authenticator(host: Host, server: Server, tmp_path: Path) -> None:
    device_id, certificate, key = await host.pair_certificate()
    async with connected(server, device_context(host, tmp_path, (certificate, key))) as connection:
        assert await connection.is_echoed()
    identity = await host.authenticator.authenticate(await seen(server), None)
    assert isinstance(identity, Identity)
    assert identity.device_id == device_id


@pytest.mark.parametrize("fault", ["other authority", "expired"])
async def test_client_certificate_that_tls_can_refuse_never_gets_past_it(
    host: Host, server: Server, tmp_path: Path, fault: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = from_ms(host.clock.now)
    if fault == "expired":
        forged = device_certificate(
            host.authority._pair, key.public_key(), "d-1", now - timedelta(days=20 * 365), 1 << 71
        )
    else:
        forged = device_certificate(new_authority(now, 1 << 70), key.public_key(), "d-1", now, 1 << 71)
    context = device_context(host, tmp_path, (forged.public_bytes(Encoding.DER), key))
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        async with connected(server, context) as connection:
            await connection.is_echoed()
    assert server.certificates.empty()


async def test_tls_1_1_is_refused(host: Host, server: Server, tmp_path: Path) -> None:
    context = device_context(host, tmp_path, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with connected(server, context):
            pass
    assert server.certificates.empty()


def resume(server: Server, context: ssl.SSLContext) -> tuple[bool, bool]:
    """Connect twice, the second time with the session of the first; blocking. Whether each was a resumed one."""
    import socket

    reused: list[bool] = []
    session: ssl.SSLSession | None = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"  # the tickets of TLS 1.3 came before
            session = connection.session
            reused.append(bool(connection.session_reused))
    return reused[0], reused[1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_resumed_session_is_known_by_its_first_certificate_and_refused_once_revoked(
    host: Host, server: Server, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    device_id, certificate, key = await host.pair_certificate()
    context = device_context(host, tmp_path, (certificate, key))
    context.maximum_version = context.minimum_version = version
    assert await asyncio.to_thread(resume, server, context) == (False, True)
    assert [await seen(server), await seen(server)] == [certificate, certificate]
    await host.revocation.revoke(device_id)
    assert await host.authenticator.authenticate(certificate, None) == closed(4403, Reason.REVOKED, device_id)


async def test_rotation_keeps_connections_and_gives_new_ones_the_new_certificate(
    host: Host, server: Server, tmp_path: Path
) -> None:
    context = device_context(host, tmp_path, None)
    async with connected(server, context) as first:
        assert await host.authority.renew_if_due(host_names("lab.example", ("192.0.2.8",)))
        host.authority.rotate(server.context)
        async with connected(server, context, "192.0.2.8") as second:
            assert second.server_certificate() == host.authority.server.public_bytes(Encoding.DER)
            assert second.server_certificate() != first.server_certificate()
            assert await second.is_echoed()
        assert await first.is_echoed()
