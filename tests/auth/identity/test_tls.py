"""The authority's contexts: whom a device takes for the host, and who is known on a resumed session."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.auth.identity.conftest import Clock, Host, closed, handshake, key_pem

from microclaw.auth.certificates import CONSTANT_NAME, host_names
from microclaw.auth.credentials import Reason


@pytest.fixture
def clock() -> Clock:
    """TLS libraries look at the system's clock."""
    return Clock(int(time.time() * 1000))


@pytest.fixture
def device(host: Host) -> ssl.SSLContext:
    """The pinned authority, as strict as OpenSSL can be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=host.authority.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


async def test_a_device_that_pins_the_authority_verifies_each_of_the_hosts_names_and_no_other(
    host: Host, device: ssl.SSLContext
) -> None:
    for name in ("localhost", "127.0.0.1", "lab.local", "192.0.2.7", CONSTANT_NAME):
        _, there = handshake(host.authority.server_context(), device, name)
        assert there.getpeercert(binary_form=True) is None
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(host.authority.server_context(), device, "elsewhere.local")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_resumed_session_is_known_by_its_first_certificate_and_refused_once_revoked(
    host: Host, device: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    device_id, certificate, key = await host.pair_certificate()
    (tmp_path / "device.pem").write_bytes(key_pem(key) + ssl.DER_cert_to_PEM_cert(certificate).encode())
    device.load_cert_chain(tmp_path / "device.pem")
    device.maximum_version = device.minimum_version = version
    context = host.authority.server_context()
    first, _ = handshake(context, device)
    again, there = handshake(context, device, session=first.session)
    assert (first.session_reused, again.session_reused) == (False, True)
    assert there.getpeercert(binary_form=True) == certificate
    await host.credentials.revoke(device_id)
    assert await host.credentials.authenticate(certificate, None) == closed(4403, Reason.REVOKED, device_id)


async def test_rotation_gives_new_connections_the_new_certificate(host: Host, device: ssl.SSLContext) -> None:
    context = host.authority.server_context()
    assert await host.authority.renew_if_due(host_names("lab.example", ("192.0.2.8",)))
    host.authority.rotate(context)
    here, _ = handshake(context, device, "192.0.2.8")
    assert here.getpeercert(binary_form=True) == host.authority.server.public_bytes(Encoding.DER)
