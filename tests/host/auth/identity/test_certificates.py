"""Certificates: requests of devices, names of this machine, and the one of the people's address, made or given."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.host.auth.identity.conftest import handshake, key_pem, make_csr
from tests.stores import new_store

from microclaw.errors import ConfigError, ProtocolError
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import (
    CONSTANT_NAME,
    MAX_ADDRESSES,
    MAX_CSR_BYTES,
    HostNames,
    KeyPair,
    host_names,
    lan_names,
    new_authority,
    read_csr,
    read_device_certificate,
    server_certificate,
    to_ms,
)
from microclaw.host.auth.people_tls import ReloadedCertificate, people_context
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AUTHORITY = new_authority(NOW)


def made_at(now: datetime, *names: str) -> KeyPair:
    found = host_names("box", (), *names)
    return server_certificate(AUTHORITY, found.names, found.addresses, now)


def write_pair(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    certificate = folder / "cert.pem"
    key = folder / "key.pem"
    certificate.write_bytes(pair.certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(key_pem(pair.key))
    key.chmod(0o600)
    return certificate, key


def served(context: ssl.SSLContext, trusted: x509.Certificate, name: str = "localhost") -> int:
    """The serial of the certificate that a client gets, which trusts this authority alone."""
    client = ssl.create_default_context(cadata=trusted.public_bytes(serialization.Encoding.PEM).decode())
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    here, _ = handshake(context, client, name)
    return x509.load_der_x509_certificate(here.getpeercert(binary_form=True) or b"").serial_number


async def test_the_own_certificate_is_renewed_and_goes_into_the_live_contexts(tmp_path: Path) -> None:
    now_ms = [to_ms(datetime.now(UTC))]
    names = [host_names("box", ("192.0.2.7",))]
    async with Database.open(new_store(tmp_path / "home" / "store.db")) as database:
        table = IdentityTable(database)
        folder = tmp_path / "identity"
        authority = await Authority.open(folder, table, lambda: names[0], now_ms=lambda: now_ms[0])
        contexts = people_context(), authority.server_context()
        authority.serve(contexts[0])

        def both(name: str) -> int:
            first, second = (served(context, authority.pair.certificate, name) for context in contexts)
            assert first == second
            return first

        first = both("box.local")
        now_ms[0] += 58 * 86_400_000
        await authority.renew_if_due()
        assert both("box.local") == first
        now_ms[0] -= 58 * 86_400_000
        names[0] = host_names("box", ("192.0.2.8",), "claw.example")
        await authority.renew_if_due()
        assert both("claw.example") != first
        now_ms[0] += 61 * 86_400_000  # two thirds of its life
        await authority.renew_if_due()
        assert authority.names.covers(names[0])
        with pytest.raises(ssl.SSLCertVerificationError):
            both("box.local")  # made in two months: not valid today


async def test_a_given_certificate_is_served_and_read_again_when_it_changes(tmp_path: Path) -> None:
    real_now = datetime.now(UTC)
    first = made_at(real_now, "claw.example")
    given = ReloadedCertificate(*write_pair(tmp_path, first), lambda: to_ms(real_now))
    assert "claw.example" in given.names.names
    assert served(given.context, AUTHORITY.certificate, "claw.example") == first.certificate.serial_number
    second = made_at(real_now, "new.example")
    write_pair(tmp_path, second)
    await given.refresh()
    assert served(given.context, AUTHORITY.certificate, "new.example") == second.certificate.serial_number
    assert "new.example" in given.names.names
    for damage in (lambda path: path.write_text("half of a file"), Path.unlink):
        damage(tmp_path / "cert.pem")
        await given.refresh()  # the log says so; what was good stays
    assert served(given.context, AUTHORITY.certificate, "new.example") == second.certificate.serial_number


NO_PAIR: dict[str, Callable[[Path, Path], object]] = {
    "another's key": lambda _, key: key.write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1()))),
    "open key": lambda _, key: key.chmod(0o644),
    "missing": lambda certificate, _: certificate.unlink(),
    "empty": lambda certificate, _: certificate.write_bytes(b""),
    "rubbish": lambda certificate, _: certificate.write_bytes(b"rubbish"),
    "of nothing": lambda certificate, _: certificate.write_bytes(
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    ),
    "too long": lambda certificate, _: certificate.write_bytes(b"x" * 300_000),
}


@pytest.mark.parametrize("fault", ["over", "not begun", *NO_PAIR])
def test_what_is_no_pair_of_today_is_refused(tmp_path: Path, fault: str) -> None:
    pair = write_pair(tmp_path, made_at(NOW + timedelta(days={"over": -91, "not begun": 2}.get(fault, 0))))
    if fault in NO_PAIR:
        NO_PAIR[fault](*pair)
    with pytest.raises(ConfigError):
        ReloadedCertificate(*pair, lambda: to_ms(NOW))


SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])


@pytest.mark.parametrize("kind", ["p384", "rsa", "another's", "too long"])
def test_a_request_that_proves_no_key_of_our_kind_is_refused(kind: str) -> None:
    if kind == "another's":
        mine = ec.generate_private_key(ec.SECP256R1())
        theirs = ec.generate_private_key(ec.SECP256R1())
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
    here = host_names("lab", ("192.0.2.7",))
    fewer = host_names("lab", ())
    assert (here.covers(fewer), fewer.covers(here), here.covers(HostNames(("other",), ()))) == (True, False, False)


KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = make_csr(KEY)
