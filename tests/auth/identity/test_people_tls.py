"""The certificate of the people's address: made and renewed by the host, or given, checked and read again."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.auth.identity.conftest import handshake, key_pem
from tests.stores import new_store

from microclaw.auth.authority import Authority
from microclaw.auth.certificates import KeyPair, host_names, new_authority, server_certificate, to_ms
from microclaw.auth.people_tls import GivenCertificate, people_context
from microclaw.errors import ConfigError
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AUTHORITY = new_authority(NOW)


def made_at(now: datetime, *names: str) -> KeyPair:
    found = host_names("box", (), *names)
    return server_certificate(AUTHORITY, found.names, found.addresses, now)


def write_pair(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
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
    now_ms, names = [to_ms(datetime.now(UTC))], [host_names("box", ("192.0.2.7",))]
    async with Database.open(new_store(tmp_path / "home" / "store.db")) as database:
        table, folder = IdentityTable(database), tmp_path / "identity"
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
    given = GivenCertificate(*write_pair(tmp_path, first), lambda: to_ms(real_now))
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
        GivenCertificate(*pair, lambda: to_ms(NOW))
