# ruff: noqa: ASYNC240 - these tests look at files between awaits, nothing else runs

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from tests.auth.identity.conftest import NAMES, Clock, Host, closed
from tests.stores import new_store

from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, SERVER_FILE, Authority
from microclaw.auth.certificates import SERVER_LIFE, host_names
from microclaw.auth.credentials import Identity, Reason
from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable


async def open_authority(folder: Path, table: IdentityTable, clock: Clock) -> Authority:
    return await Authority.open(folder, table, NAMES, now_ms=clock.ms)


async def test_identity_files_are_the_owners_alone(folder: Path, table: IdentityTable, clock: Clock) -> None:
    assert b"PRIVATE" not in (await open_authority(folder, table, clock)).ca_pem
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        AUTHORITY_FILE: 0o600,
        SERVER_FILE: 0o600,
    }


@pytest.mark.parametrize(
    "fault", ["missing", "empty", "half", "the server's", "another key", "another authority", "readable", "writable"]
)
async def test_an_authority_that_devices_trust_is_never_replaced_by_itself(
    folder: Path, table: IdentityTable, clock: Clock, tmp_path: Path, fault: str
) -> None:
    await open_authority(folder, table, clock)
    file = folder / AUTHORITY_FILE
    whole, server = file.read_bytes(), (folder / SERVER_FILE).read_bytes()
    begin = b"-----BEGIN CERTIFICATE"
    match fault:
        case "missing":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "half":
            file.write_bytes(whole[: len(whole) // 2])
        case "the server's":
            file.write_bytes(server)
        case "another key":
            file.write_bytes(server.partition(begin)[0] + begin + whole.partition(begin)[2])
        case "another authority":
            async with Database.open(new_store(tmp_path / "other" / "store.db")) as database:
                await open_authority(tmp_path / "other" / "identity", IdentityTable(database), clock)
            file.write_bytes((tmp_path / "other" / "identity" / AUTHORITY_FILE).read_bytes())
        case _:
            file.chmod(0o640 if fault == "readable" else 0o602)
    before = {one: one.read_bytes() for one in folder.iterdir()}
    with pytest.raises(StoreError) as error:
        await open_authority(folder, table, clock)
    assert error.value.next_step is not None
    assert {one: one.read_bytes() for one in folder.iterdir()} == before


async def test_a_person_may_begin_anew_and_every_credential_ends(host: Host) -> None:
    _, token = await host.pair_token()
    _, certificate, _ = await host.pair_certificate()
    connected = await host.credentials.authenticate(certificate, None)
    assert isinstance(connected, Identity)
    (host.folder / BEGIN_ANEW_FILE).touch()
    anew = await open_authority(host.folder, host.table, host.clock)
    assert anew.fingerprint != host.authority.fingerprint
    assert not (host.folder / BEGIN_ANEW_FILE).exists()
    assert (host.folder / f"{AUTHORITY_FILE}.given-up-{host.clock.now}").exists()
    assert await host.credentials.authenticate(None, f"Bearer {token}") == closed(4403, Reason.REVOKED, device_id="d-1")
    assert not isinstance(await host.credentials.authenticate(certificate, None), Identity)
    assert await host.credentials.why_ended(connected) == "new_authority"


async def test_server_certificate_is_renewed_late_in_its_life_for_a_new_address_and_a_clock_that_was_set_back(
    host: Host,
) -> None:
    first = host.authority.server
    life_days = SERVER_LIFE.days + 1  # it begins a day before it was made
    host.clock.forward(days=life_days * 2 / 3 - 1 - 0.01)
    assert not await host.authority.renew_if_due(host_names("lab.example", ()))
    host.clock.forward(days=0.02)
    assert await host.authority.renew_if_due(NAMES)
    assert host.authority.server.serial_number != first.serial_number
    assert await host.authority.renew_if_due(host_names("lab.example", ("192.0.2.8",)))
    names = host.authority.server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.8" in [str(a) for a in names.get_values_for_type(x509.IPAddress)]
    host.clock.forward(days=-90)
    assert await host.authority.renew_if_due(NAMES)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n"])
async def test_damaged_server_certificate_is_made_anew(host: Host, content: bytes) -> None:
    (host.folder / SERVER_FILE).write_bytes(content)
    again = await open_authority(host.folder, host.table, host.clock)
    assert again.fingerprint == host.authority.fingerprint
    assert again.server != host.authority.server
    again.server_context()
