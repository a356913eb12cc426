# ruff: noqa: ASYNC240 - these tests look at files between awaits, nothing else runs
"""The authority is made once and kept whole; whom a device takes for the host, who resumes."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.host.auth.conftest import Clock
from tests.host.auth.identity.conftest import NAMES, Host, closed, handshake, key_pem
from tests.host.auth.power_cut import PowerCut, cut_at
from tests.link.plain_device import show
from tests.stores import new_store

from microclaw.durable import write_private
from microclaw.errors import StoreError
from microclaw.host.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, CONSENT, SERVER_FILE, Authority
from microclaw.host.auth.certificates import CONSTANT_NAME, new_authority, to_ms
from microclaw.host.auth.credentials import Identity, Reason
from microclaw.host.config.load import load_settings
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable
from microclaw.interfaces.cli.doctor import certificate_findings


@pytest.fixture
def table(database: Database) -> IdentityTable:
    return IdentityTable(database)


@pytest.mark.parametrize("year", [1970, 2080])
async def test_what_was_made_under_a_wrong_clock_is_good_once_the_clock_is_right(
    folder: Path, table: IdentityTable, year: int
) -> None:
    clock = Clock(datetime(year, 1, 2, tzinfo=UTC).timestamp())
    authority = await open_authority(folder, table, clock)
    key = ec.generate_private_key(ec.SECP256R1())
    device = authority.sign(key.public_key(), "d-1")
    clock.now_s = time.time()
    await authority.renew_if_due()
    client = ssl.create_default_context(cadata=authority.ca_pem.decode())
    show(client, key, device)
    handshake(authority.server_context(), client)
    assert authority.problem is None


@pytest.mark.parametrize(("year", "part"), [(1970, "clock"), (2070, "certificate")])
def test_an_authority_that_no_device_trusts_by_this_clock_is_a_problem(tmp_path: Path, year: int, part: str) -> None:
    (tmp_path / "identity").mkdir(mode=0o700)
    pair = new_authority(datetime(2026, 1, 2, tzinfo=UTC))
    write_private(tmp_path / "identity" / AUTHORITY_FILE, pair.to_pem())
    at_ms = to_ms(datetime(year, 1, 2, tzinfo=UTC))
    (finding,) = certificate_findings(load_settings({}, home=tmp_path), at_ms)
    assert (finding.ok, finding.part) == (False, part)
    assert finding.next_step


async def open_authority(folder: Path, table: IdentityTable, clock: Clock) -> Authority:
    return await Authority.open(folder, table, lambda: NAMES, now_ms=clock.ms)


@pytest.mark.parametrize(
    "fault", ["missing", "empty", "half", "the server's", "another key", "another authority", "readable", "writable"]
)
async def test_an_authority_that_devices_trust_is_private_and_never_replaced_by_itself(
    folder: Path, table: IdentityTable, clock: Clock, tmp_path: Path, fault: str
) -> None:
    assert b"PRIVATE" not in (await open_authority(folder, table, clock)).ca_pem
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()} == {
        AUTHORITY_FILE: 0o600,
        SERVER_FILE: 0o600,
    }
    file = folder / AUTHORITY_FILE
    whole = file.read_bytes()
    server = (folder / SERVER_FILE).read_bytes()
    begin = b"-----BEGIN CERTIFICATE"
    match fault:
        case "missing":
            file.unlink()
        case "another authority":
            async with Database.open(new_store(tmp_path / "other" / "store.db")) as database:
                await open_authority(tmp_path / "other" / "identity", IdentityTable(database), clock)
            file.write_bytes((tmp_path / "other" / "identity" / AUTHORITY_FILE).read_bytes())
        case "readable" | "writable":
            file.chmod(0o640 if fault == "readable" else 0o602)
        case _:
            mixed = server.partition(begin)[0] + begin + whole.partition(begin)[2]
            half = whole[: len(whole) // 2]
            file.write_bytes({"empty": b"", "half": half, "the server's": server, "another key": mixed}[fault])
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
    with pytest.raises(StoreError):  # without the words that it is to be
        await open_authority(host.folder, host.table, host.clock)
    assert isinstance(await host.comes_with(token), Identity)
    (host.folder / BEGIN_ANEW_FILE).write_text(f"{CONSENT}\n")
    again = await open_authority(host.folder, host.table, host.clock)
    assert again.fingerprint != host.authority.fingerprint
    assert not (host.folder / BEGIN_ANEW_FILE).exists()
    assert (host.folder / f"{AUTHORITY_FILE}.given-up-{host.clock.ms()}").exists()
    assert await host.comes_with(token) == closed(4403, Reason.REVOKED, device_id="d-1")
    assert not isinstance(await host.credentials.authenticate(certificate, None), Identity)
    assert await host.credentials.is_ended(connected)


@pytest.mark.parametrize("again", [False, True])
async def test_host_that_dies_at_any_change_of_a_file_has_one_whole_identity_after(
    tmp_path: Path, clock: Clock, again: bool
) -> None:
    for step in range(100):
        home = tmp_path / f"home-{step}"
        async with Database.open(new_store(home / "store.db")) as database:
            opened = partial(open_authority, home / "identity", IdentityTable(database), clock)
            before = (await opened()).fingerprint if again else None
            if again:
                (home / "identity" / BEGIN_ANEW_FILE).write_text(CONSENT)
            try:
                with pytest.MonkeyPatch.context() as patch:
                    cut_at(step, patch)
                    await opened()
                break
            except PowerCut:
                after = await opened()
                after.server_context()
                assert before != after.fingerprint == (await opened()).fingerprint, step
                assert not (home / "identity" / BEGIN_ANEW_FILE).exists()
    assert 5 < step < 99


@pytest.fixture
def device(clock: Clock, host: Host) -> ssl.SSLContext:
    """The pinned authority, as strict as OpenSSL can be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=host.authority.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


class TestTls:
    """TLS libraries look at the system's clock."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(time.time())

    async def test_a_device_that_pins_the_authority_verifies_each_of_the_hosts_names_and_no_other(
        self, host: Host, device: ssl.SSLContext
    ) -> None:
        for name in ("localhost", "127.0.0.1", "lab.local", "192.0.2.7", CONSTANT_NAME):
            _, there = handshake(host.authority.server_context(), device, name)
            assert there.getpeercert(binary_form=True) is None
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(host.authority.server_context(), device, "elsewhere.local")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_resumed_session_is_known_by_its_first_certificate_and_refused_once_revoked(
        self, host: Host, device: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion
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
