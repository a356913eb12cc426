# ruff: noqa: ASYNC240 - these tests look at files between awaits, nothing else runs

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cryptography import x509
from tests.auth.identity.conftest import NAMES, Clock, Host, closed

from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, SERVER_FILE, Authority
from microclaw.auth.certificates import CONSTANT_NAME, SERVER_LIFE, HostNames, host_names
from microclaw.auth.credentials import Identity, Reason
from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable


async def open_authority(
    folder: Path, table: IdentityTable, clock: Clock, names: HostNames = NAMES, seed: int = 1
) -> Authority:
    drawn = random.Random(seed)
    return await Authority.open(folder, table, names, now_ms=clock.ms, random_bytes=drawn.randbytes)


async def refused(folder: Path, table: IdentityTable, clock: Clock) -> StoreError:
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(StoreError) as error:
        await open_authority(folder, table, clock, seed=99)
    assert error.value.next_step is not None
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    return error.value


async def test_authority_is_made_once_and_kept(folder: Path, table: IdentityTable, clock: Clock) -> None:
    first = await open_authority(folder, table, clock)
    second = await open_authority(folder, table, clock, seed=2)
    assert first.fingerprint == second.fingerprint == await table.authority()
    assert first.ca_pem == second.ca_pem
    assert b"PRIVATE" not in first.ca_pem


async def test_identity_files_are_the_owners_alone(folder: Path, table: IdentityTable, clock: Clock) -> None:
    await open_authority(folder, table, clock)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        AUTHORITY_FILE: 0o600,
        SERVER_FILE: 0o600,
    }


async def test_missing_authority_that_devices_trust_is_an_error_and_no_new_one(
    folder: Path, table: IdentityTable, clock: Clock
) -> None:
    await open_authority(folder, table, clock)
    (folder / AUTHORITY_FILE).unlink()
    assert "missing" in str(await refused(folder, table, clock))
    assert not (folder / AUTHORITY_FILE).exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.9, 0.99])
async def test_half_an_authority_is_an_error_and_kept(
    folder: Path, table: IdentityTable, clock: Clock, part: float
) -> None:
    await open_authority(folder, table, clock)
    whole = (folder / AUTHORITY_FILE).read_bytes()
    (folder / AUTHORITY_FILE).write_bytes(whole[: int(len(whole) * part)])
    assert "damaged" in str(await refused(folder, table, clock))


async def test_server_certificate_in_the_authoritys_place_is_an_error(
    folder: Path, table: IdentityTable, clock: Clock
) -> None:
    await open_authority(folder, table, clock)
    (folder / AUTHORITY_FILE).write_bytes((folder / SERVER_FILE).read_bytes())
    assert "not an authority's" in str(await refused(folder, table, clock))


async def test_key_of_another_certificate_is_an_error(folder: Path, table: IdentityTable, clock: Clock) -> None:
    await open_authority(folder, table, clock)
    certificate = (folder / AUTHORITY_FILE).read_text().partition("-----BEGIN CERTIFICATE")
    key = (folder / SERVER_FILE).read_text().partition("-----BEGIN CERTIFICATE")
    (folder / AUTHORITY_FILE).write_text(key[0] + certificate[1] + certificate[2])
    assert "the key is not the certificate's" in str(await refused(folder, table, clock))


async def test_another_authority_is_an_error(folder: Path, table: IdentityTable, clock: Clock, tmp_path: Path) -> None:
    await open_authority(folder, table, clock)
    async with Database.open(tmp_path / "other" / "store.db") as database:
        await open_authority(tmp_path / "other" / "identity", IdentityTable(database), clock, seed=7)
    (folder / AUTHORITY_FILE).write_bytes((tmp_path / "other" / "identity" / AUTHORITY_FILE).read_bytes())
    assert "not the authority that this host's devices trust" in str(await refused(folder, table, clock))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
async def test_authority_that_others_may_read_is_an_error(
    folder: Path, table: IdentityTable, clock: Clock, mode: int
) -> None:
    await open_authority(folder, table, clock)
    (folder / AUTHORITY_FILE).chmod(mode)
    assert "not a private file" in str(await refused(folder, table, clock))


async def test_half_file_of_a_crash_is_no_hindrance(folder: Path, table: IdentityTable, clock: Clock) -> None:
    folder.mkdir(mode=0o700)
    (folder / f"{AUTHORITY_FILE}.new").write_bytes(b"-----BEGIN PRIV")
    made = await open_authority(folder, table, clock)
    assert (await open_authority(folder, table, clock, seed=2)).fingerprint == made.fingerprint
    assert not (folder / f"{AUTHORITY_FILE}.new").exists()


async def test_authority_of_before_is_taken_by_a_new_store(
    folder: Path, table: IdentityTable, clock: Clock, tmp_path: Path
) -> None:
    made = await open_authority(folder, table, clock)
    async with Database.open(tmp_path / "fresh" / "store.db") as database:
        fresh = IdentityTable(database)
        assert (await open_authority(folder, fresh, clock, seed=2)).fingerprint == made.fingerprint
        assert await fresh.authority() == made.fingerprint


async def test_a_person_may_begin_anew_and_every_credential_ends(host: Host) -> None:
    _, token = await host.pair_token()
    _, certificate, _ = await host.pair_certificate()
    connected = await host.authenticator.authenticate(certificate, None)
    assert isinstance(connected, Identity)
    (host.folder / BEGIN_ANEW_FILE).touch()
    anew = await open_authority(host.folder, host.table, host.clock, seed=9)
    assert anew.fingerprint != host.authority.fingerprint
    assert not (host.folder / BEGIN_ANEW_FILE).exists()
    assert (host.folder / f"{AUTHORITY_FILE}.given-up-{host.clock.now}").exists()
    assert await host.authenticator.authenticate(None, f"Bearer {token}") == closed(
        4403, Reason.REVOKED, device_id="d-1"
    )
    assert not isinstance(await host.authenticator.authenticate(certificate, None), Identity)
    assert await host.authenticator.why_ended(connected) == "new_authority"


async def test_server_certificate_has_every_name_and_address(host: Host) -> None:
    names = host.authority.server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "lab.local", "lab", "lab.example", "localhost", CONSTANT_NAME,
    ]  # fmt: skip
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]


async def test_server_certificate_is_kept_over_a_restart(host: Host) -> None:
    again = await open_authority(host.folder, host.table, host.clock, seed=2)
    assert again.server == host.authority.server


async def test_server_certificate_is_renewed_at_two_thirds_of_its_life(host: Host) -> None:
    first = host.authority.server
    life_days = SERVER_LIFE.days + 1  # it begins a day before it was made
    host.clock.forward(days=life_days * 2 / 3 - 1 - 0.01)
    assert not await host.authority.renew_if_due(NAMES)
    host.clock.forward(days=0.02)
    assert await host.authority.renew_if_due(NAMES)
    assert host.authority.server.serial_number != first.serial_number


async def test_server_certificate_is_renewed_when_the_clock_was_set_back(host: Host) -> None:
    host.clock.forward(days=-30)
    assert await host.authority.renew_if_due(NAMES)


async def test_server_certificate_is_renewed_for_a_new_address_only(host: Host) -> None:
    assert not await host.authority.renew_if_due(host_names("lab.example", ()))
    assert await host.authority.renew_if_due(host_names("lab.example", ("192.0.2.8",)))
    names = host.authority.server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.8" in [str(a) for a in names.get_values_for_type(x509.IPAddress)]


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n"])
async def test_damaged_server_certificate_is_made_anew(host: Host, content: bytes) -> None:
    (host.folder / SERVER_FILE).write_bytes(content)
    again = await open_authority(host.folder, host.table, host.clock, seed=2)
    assert again.fingerprint == host.authority.fingerprint
    assert again.server != host.authority.server
    again.server_context()
