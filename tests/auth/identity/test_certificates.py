from __future__ import annotations

from contextlib import suppress
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
    CONSTANT_NAME,
    MAX_ADDRESSES,
    MAX_CSR_BYTES,
    HostNames,
    host_names,
    lan_names,
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


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_csr(data)
    with pytest.raises(ProtocolError):
        read_device_certificate(data, AUTHORITY.certificate)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_altered_request_never_yields_another_key(position: int, value: int) -> None:
    altered = bytearray(REQUEST)
    altered[position % len(altered)] = value
    with suppress(ProtocolError):
        assert read_csr(bytes(altered)) == KEY.public_key()


def test_names_of_this_machine_are_those_that_a_certificate_may_have() -> None:
    found = host_names("Lab.Example.org", (), "Brain.Example.org", "198.51.100.1")
    own = ("lab.local", "lab", "lab.example.org", "localhost", CONSTANT_NAME)  # the first is what the LAN resolves
    assert found.names == (*own, "brain.example.org")
    assert "198.51.100.1" in map(str, found.addresses)
    assert "127.0.0.1" in map(str, lan_names().addresses)
    for address in ("0.0.0.0", "224.0.0.251", "fe80::1", "fe80::1%eth0"):
        assert host_names("lab", (address,)) == host_names("lab", ())
    for hostname in ("", "-", "caf\u00e9", "a b", "x" * 64):
        assert host_names(hostname, ()).names == ("localhost", CONSTANT_NAME)
    many = tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(500))
    assert len(host_names("lab", many + many).addresses) == MAX_ADDRESSES
    here, fewer = host_names("lab", ("192.0.2.7",)), host_names("lab", ())
    assert (here.covers(fewer), fewer.covers(here), here.covers(HostNames(("other",), ()))) == (True, False, False)


AUTHORITY = new_authority(NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = make_csr(KEY)
