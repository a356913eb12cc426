"""Pairing by a code that a person types, and by a secret that was provisioned: bounds, guesses, ends."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.host.auth.identity.conftest import Host, closed

from microclaw.errors import DeviceUnreachable, Overloaded, UnknownName
from microclaw.host.auth.codes import DEVICE, PROVISION, Codes
from microclaw.host.auth.credentials import CredentialRefusal, Identity, IssuedCredential, Reason
from microclaw.host.auth.pairing import PairingRequest, PendingPairing
from microclaw.host.auth.provisioning import Provision
from microclaw.host.store.database import Database
from microclaw.host.store.schema import APPLICATION_ID, schema


async def ask(
    host: Host, address: str = "192.0.2.9", secret: str | None = None
) -> PendingPairing | IssuedCredential | CredentialRefusal:
    return await host.identity.request(address, "virtual", csr=None, token_wanted=True, secret=secret)


async def waiting(host: Host, address: str = "192.0.2.9") -> PendingPairing:
    pending = await ask(host, address)
    assert isinstance(pending, PendingPairing), pending
    return pending


async def provisioned(
    host: Host, *, device_id: str | None = None, name: str | None = None, board_id: str | None = None
) -> str:
    provision = await host.identity.provision(device_id=device_id, name=name, board_id=board_id)
    assert provision.secret is not None
    return provision.secret


async def let_in(host: Host, paired: object) -> Identity:
    assert isinstance(paired, IssuedCredential), paired
    return await host.let_in(paired.token)


async def test_code_expires_after_120_s_and_its_device_is_told(host: Host) -> None:
    pending, unnoticed, elsewhere = [await waiting(host) for _ in range(3)]
    host.clock.forward(s=119)
    assert list(host.identity.pending) == [pending, unnoticed, elsewhere]
    assert [one.seconds_left for one in await host.identity.waiting()] == [1] * 3
    host.clock.forward(s=1)
    assert await host.identity.wait_for_outcome(pending) == closed(4401, Reason.PAIRING_EXPIRED)
    assert await host.identity.waiting() == ()
    for code in (pending.code, unnoticed.code):  # also where the connection has not noticed its end
        with pytest.raises(UnknownName):
            await host.identity.confirm(code)
    with pytest.raises(DeviceUnreachable):  # another host was asked for it, which asks this one
        await host.identity.pair_shown(elsewhere.row.hash, PairingRequest())
    assert host.devices.names == {}


async def test_device_that_went_away_cannot_be_confirmed_and_the_person_is_told(host: Host) -> None:
    pending = await waiting(host)
    leaving = await waiting(host)
    connection = asyncio.create_task(host.identity.wait_for_outcome(pending))
    await asyncio.sleep(0)
    connection.cancel()
    await asyncio.gather(connection, return_exceptions=True)
    assert host.identity.pending == (leaving,)
    with pytest.raises(UnknownName):
        await host.identity.confirm(pending.code)
    confirming = asyncio.create_task(host.identity.confirm(leaving.code))
    await asyncio.sleep(0)  # the code is taken, the store writes
    leaving.outcome.cancel()
    with pytest.raises(DeviceUnreachable):
        await confirming


@pytest.mark.parametrize(
    ("addresses", "other"),
    [
        (["192.0.2.9", "::ffff:192.0.2.9"] * 2, "192.0.2.10"),
        ([f"2001:db8:1:1::{n}" for n in range(1, 5)], "2001:db8:1:2::1"),
    ],
)
async def test_fifth_pending_of_an_address_and_all_together_are_refused(
    host: Host, addresses: list[str], other: str
) -> None:
    first, *_ = [await waiting(host, address) for address in addresses]
    assert await ask(host, addresses[0]) == closed(4429, Reason.TOO_MANY_PENDING)
    await waiting(host, other)
    await host.identity.confirm(first.code)
    await waiting(host, addresses[0])
    host.clock.forward(s=120)  # none of them is left
    for n in range(DEVICE.in_all):
        await waiting(host, f"10.0.{n}.1")
    assert await ask(host, "198.51.100.1") == closed(4429, Reason.TOO_MANY_PENDING)


async def test_a_fresh_address_of_a_home_that_one_machine_has_filled_gets_a_place(host: Host) -> None:
    """A home is one /24. The oldest code gives way, and none that a person had no time to type."""
    first, *_, last = [await waiting(host, f"192.0.2.{n}") for n in range(16)]
    assert await ask(host, "192.0.2.200") == closed(4429, Reason.TOO_MANY_PENDING)
    host.clock.forward(s=30)
    honest = await waiting(host, "192.0.2.200")
    assert await host.identity.wait_for_outcome(first) == closed(4429, Reason.TOO_MANY_PENDING)
    for n in range(1, 255):  # the others with a code, and any fresh ones, find no place of it
        await ask(host, f"192.0.2.{n}")
    assert honest in host.identity.pending
    assert last not in host.identity.pending


@pytest.mark.parametrize(
    ("attackers", "honest"),
    [
        (["192.0.2.9"], "192.0.2.10"),
        ([f"10.0.{n % 5}.{n}" for n in range(1, 250)], "198.51.100.1"),
        ([f"2001:db8:1:{n % 16:x}::{n:x}" for n in range(1, 1000)], "192.0.2.1"),
        ([f"192.0.2.{n}" for n in range(1, 9)], "192.0.2.200"),
    ],
    ids=["one address", "five /24", "sixteen /64", "eight addresses of the same /24"],
)
async def test_an_honest_device_pairs_beside_a_thousand_tries(host: Host, attackers: list[str], honest: str) -> None:
    tries = [attackers[n % len(attackers)] for n in range(1000)]
    answers = [await ask(host, address) for address in tries[:500]]
    pending = await waiting(host, honest)
    answers += [await ask(host, address) for address in tries[500:]]
    shown = [one for one in answers if isinstance(one, PendingPairing)]
    for gone in (one for one in shown if one not in host.identity.pending):  # who gives up a place is told
        assert await host.identity.wait_for_outcome(gone) == closed(4429, Reason.TOO_MANY_PENDING)
    assert len(host.identity.pending) <= DEVICE.in_all
    paired = await host.identity.confirm(pending.code)
    assert (await let_in(host, await host.identity.wait_for_outcome(pending))).device_id == paired


async def test_five_wrong_codes_in_a_minute_lock_pairing_and_wrong_secrets_their_address(host: Host) -> None:
    pending = await waiting(host)
    secret = await provisioned(host)
    for _ in range(DEVICE.wrong_tries):
        with pytest.raises(UnknownName):
            await host.identity.confirm("wrong")
        assert await ask(host, "192.0.2.66", secret="A" * 26) == closed(4401, Reason.WRONG_SECRET)
    host.clock.forward(s=59)
    with pytest.raises(Overloaded):
        await host.identity.confirm(pending.code)
    assert await ask(host, "192.0.2.66", secret=secret) == closed(4429, Reason.PAIRING_LOCKED)
    assert isinstance(await ask(host, "192.0.2.67", secret=secret), IssuedCredential)
    host.clock.forward(s=1)
    await host.identity.confirm(pending.code)


async def test_right_secret_pairs_at_once_and_is_spent_when_its_credential_was_used(host: Host) -> None:
    secret = await provisioned(host, name="lamp", board_id="virtual")
    await asyncio.gather(ask(host, secret=secret), ask(host, secret=secret))  # the replies are lost
    paired = await ask(host, secret=f"{secret[:4]}-{secret[4:].lower()}")
    assert host.devices.names == {"d-1": "lamp"}
    await let_in(host, paired)
    assert await ask(host, secret=secret) == closed(4401, Reason.WRONG_SECRET)


async def test_a_device_that_leaves_while_it_is_entered_gets_its_own_name_at_the_next_try(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await provisioned(host, name="lamp")
    forever = asyncio.Event()
    reached = asyncio.Event()

    async def leaves() -> None:
        reached.set()
        await forever.wait()

    monkeypatch.setattr(host.devices, "entered", leaves)
    first = asyncio.create_task(ask(host, secret=secret))
    await reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    again = await let_in(host, await ask(host, secret=secret))
    assert host.devices.names == {again.device_id: "lamp"}


async def test_secret_for_a_known_device_waits_while_its_old_credential_is_used(host: Host) -> None:
    device_id, token = await host.pair_token()
    secret = await provisioned(host, device_id=device_id)
    host.clock.forward(hours=2)
    await host.let_in(token)
    assert (await let_in(host, await ask(host, secret=secret))).device_id == device_id


@pytest.mark.parametrize("fault", ["another board", "expired", "its device was revoked"])
async def test_secret_that_is_good_no_more_is_refused_as_a_wrong_one(host: Host, fault: str) -> None:
    device_id, _ = await host.pair_token()
    board_id = "xiao-esp32s3" if fault == "another board" else None
    secret = await provisioned(host, device_id=device_id, board_id=board_id)
    if fault == "expired":
        host.clock.forward(days=30)
    elif board_id is None:
        await host.credentials.revoke(device_id)
    assert await ask(host, secret=secret) == closed(4401, Reason.WRONG_SECRET)


async def test_malformed_request_is_refused(host: Host) -> None:
    for csr, token_wanted, board in (
        *((None, False, "virtual"), (b"\x30", True, "virtual"), (b"\x30", False, "virtual")),
        *((None, True, ""), (None, True, "a" * 65), (None, True, "\x1b[31mred")),
    ):
        refusal = await host.identity.request("192.0.2.9", board, csr=csr, token_wanted=token_wanted, secret=None)
        assert refusal == closed(4400, Reason.MALFORMED_REQUEST)
    assert host.identity.pending == ()


CA = "0f784c6c06b45e7faa889458d2e9d8751f9d26371710dcd1b33e990635bb3e05"
SECRET = "ABCDEFGHIJKLMNOPQRSTUVWX23"
GIVEN = Provision("lab.local", 8443, CA, SECRET, 1000)


def test_a_line_in_the_dense_alphabet_of_qr_codes_says_it_all_and_the_file_too() -> None:
    assert GIVEN.uri == f"MICROCLAW://LAB.LOCAL:8443/{CA.upper()}/{SECRET}"
    assert Provision("fd00::2", 8443, CA).uri == f"MICROCLAW://[FD00::2]:8443/{CA.upper()}"
    assert json.loads(GIVEN.to_json()) == {
        "microclaw": 1, "host": "lab.local", "port": 8443, "ca_sha256": CA, "secret": SECRET, "expires_ms": 1000,
    }  # fmt: skip
    lines = GIVEN.qr().splitlines()  # it fits a terminal
    assert 20 <= len(lines) <= 24
    assert any("\u2580" in line or "\u2584" in line for line in lines)


async def test_a_secret_of_a_store_of_version_39_is_still_good(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(schema())
        values = (PROVISION.hash(SECRET), "d-1", None, "virtual", 200, 7)
        old.execute("INSERT INTO pairing_secrets VALUES (?, ?, ?, ?, ?, ?)", values)
        old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 39;")
    async with Database.open(path) as database:
        for typed in (SECRET, SECRET.lower(), "abcd-efgh ijkl-MNOP-qrst-uvwx-23\n"):
            row = await Codes(database, now_ms=lambda: 199).find(PROVISION, typed)
            assert row is not None
            assert (row.holder, row.place, row.about, row.until_ms, row.used_ms) == ("d-1", "virtual", "", 200, 7)
