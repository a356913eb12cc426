"""The certificate of the people's address: made and renewed by the host, or given, checked and read again."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.stores import new_store

from microclaw.auth.authority import SERVER_FILE, Authority
from microclaw.auth.certificates import KeyPair, host_names, new_authority, new_serial, server_certificate, to_ms
from microclaw.auth.people_tls import OWN_FILE, GivenCertificate, OwnCertificate
from microclaw.errors import ConfigError
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def serial() -> int:
    return new_serial(os.urandom(16))


AUTHORITY = new_authority(NOW, serial())


def made_at(now: datetime, *names: str) -> KeyPair:
    found = host_names("box", (), *names)
    return server_certificate(AUTHORITY, found.names, found.addresses, now, serial())


def write_pair(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(pair.certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        pair.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key.chmod(0o600)
    return certificate, key


async def served(context: ssl.SSLContext, trusted: x509.Certificate, name: str = "localhost") -> int:
    """The serial of the certificate that a client gets, which trusts this authority alone."""
    client = ssl.create_default_context(cadata=trusted.public_bytes(serialization.Encoding.PEM).decode())
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server, asyncio.timeout(60):
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture
def real_now() -> datetime:
    return datetime.now(UTC)


async def test_the_own_certificate_is_renewed_and_goes_into_the_live_context(
    tmp_path: Path, real_now: datetime
) -> None:
    now_ms, names = [to_ms(real_now)], [host_names("box", ("192.0.2.7",))]
    async with Database.open(new_store(tmp_path / "home" / "store.db")) as database:
        table = IdentityTable(database)

        async def authority(file: str) -> Authority:
            folder = tmp_path / "identity"
            now, random = (lambda: now_ms[0]), os.urandom
            return await Authority.open(folder, table, names[0], now_ms=now, random_bytes=random, server_file=file)

        devices = await authority(SERVER_FILE)
        own = OwnCertificate(await authority(OWN_FILE), lambda: names[0])
        assert own.fingerprint == devices.fingerprint
        first = await served(own.context, devices.certificate)
        assert first != devices.server.serial_number  # each server has a key of its own
        assert "box.local" in own.names.names
        await own.refresh()
        assert await served(own.context, devices.certificate) == first
        names[0] = host_names("box", ("192.0.2.8",), "claw.example")
        await own.refresh()
        second = await served(own.context, devices.certificate, "claw.example")
        assert second != first
        now_ms[0] += 61 * 86_400_000  # two thirds of its life
        await own.refresh()
        assert own.names.covers(names[0])
        with pytest.raises(ssl.SSLCertVerificationError):
            await served(own.context, devices.certificate, "box.local")  # made in two months: not valid today
    assert (tmp_path / "identity" / OWN_FILE).stat().st_mode & 0o777 == 0o600


async def test_a_given_certificate_is_served_and_read_again_when_it_changes(tmp_path: Path, real_now: datetime) -> None:
    first = made_at(real_now, "claw.example")
    given = GivenCertificate(*write_pair(tmp_path, first), lambda: to_ms(real_now))
    assert "claw.example" in given.names.names
    assert given.fingerprint is None
    assert await served(given.context, AUTHORITY.certificate, "claw.example") == first.certificate.serial_number
    second = made_at(real_now, "new.example")
    write_pair(tmp_path, second)
    await given.refresh()
    assert await served(given.context, AUTHORITY.certificate, "new.example") == second.certificate.serial_number
    assert "new.example" in given.names.names
    (tmp_path / "cert.pem").write_text("half of a file")
    await given.refresh()  # the log says so; what was good stays
    (tmp_path / "cert.pem").unlink()
    await given.refresh()
    assert await served(given.context, AUTHORITY.certificate, "new.example") == second.certificate.serial_number


@pytest.mark.parametrize("days", [-91, 2])
def test_a_certificate_that_is_over_or_not_begun_is_refused(tmp_path: Path, days: int) -> None:
    files = write_pair(tmp_path, made_at(NOW + timedelta(days=days)))
    with pytest.raises(ConfigError):
        GivenCertificate(*files, lambda: to_ms(NOW))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, made_at(NOW))
    other = KeyPair(ec.generate_private_key(ec.SECP256R1()), made_at(NOW).certificate)
    (tmp_path / "other").mkdir()
    _, foreign = write_pair(tmp_path / "other", other)
    with pytest.raises(ConfigError):
        GivenCertificate(certificate, foreign, lambda: to_ms(NOW))
    assert GivenCertificate(certificate, key, lambda: to_ms(NOW))


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, made_at(NOW))
    key.chmod(0o644)
    with pytest.raises(ConfigError):
        GivenCertificate(certificate, key, lambda: to_ms(NOW))


_EMPTY = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", ["", "rubbish", _EMPTY, "x" * 300_000])
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: str) -> None:
    certificate, key = write_pair(tmp_path, made_at(NOW))
    certificate.write_text(content)
    with pytest.raises(ConfigError):
        GivenCertificate(certificate, key, lambda: to_ms(NOW))
    with pytest.raises(ConfigError):
        GivenCertificate(tmp_path / "missing.pem", key, lambda: to_ms(NOW))
