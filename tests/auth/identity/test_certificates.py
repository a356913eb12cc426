from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.auth.identity.conftest import make_csr

from microclaw.auth.certificates import (
    MAX_CSR_BYTES,
    device_certificate,
    new_authority,
    read_csr,
    read_device_certificate,
)
from microclaw.errors import ProtocolError

NOW = datetime(2027, 1, 15, tzinfo=UTC)
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])


@pytest.mark.parametrize("kind", ["p384", "rsa", "another's", "too long"])
def test_a_request_that_proves_no_key_of_our_kind_is_refused(kind: str) -> None:
    if kind == "another's":
        mine, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        der = make_csr(mine).replace(mine.public_key().public_bytes(*form), theirs.public_key().public_bytes(*form))
    elif kind == "too long":
        der = bytes(MAX_CSR_BYTES + 1)
    else:
        key = ec.generate_private_key(ec.SECP384R1()) if kind == "p384" else rsa.generate_private_key(65537, 2048)
        request = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(key, hashes.SHA256())
        der = request.public_bytes(serialization.Encoding.DER)
    with pytest.raises(ProtocolError):
        read_csr(der)


def test_cut_request_is_refused_at_every_byte() -> None:
    der = make_csr(ec.generate_private_key(ec.SECP256R1()))
    for length in range(len(der)):
        with pytest.raises(ProtocolError):
            read_csr(der[:length])


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_protocol_error(data: bytes) -> None:
    authority = AUTHORITY.certificate
    with pytest.raises(ProtocolError):
        read_csr(data)
    with pytest.raises(ProtocolError):
        read_device_certificate(data, authority)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_altered_request_never_yields_another_key(position: int, value: int) -> None:
    altered = bytearray(REQUEST)
    altered[position % len(altered)] = value
    try:
        key = read_csr(bytes(altered))
    except ProtocolError:
        return
    assert key == KEY.public_key()


@pytest.mark.parametrize("device_id", ["", "a b", "d\n", "d" * 65, "d/1"])
def test_certificate_for_what_is_no_device_id_is_not_made(device_id: str) -> None:
    with pytest.raises(ValueError, match="device id"):
        device_certificate(AUTHORITY, KEY.public_key(), device_id, NOW, 77)


AUTHORITY = new_authority(NOW, 1 << 70)
KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = make_csr(KEY)
