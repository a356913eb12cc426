"""The auth matrix: who is let in, and with which code the others are closed."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.auth.identity.conftest import Host, closed

from microclaw.audit import ALARMS, AuditKind
from microclaw.auth.certificates import DEVICE_LIFE, KeyPair, device_certificate, from_ms
from microclaw.auth.credentials import Identity, Reason, Refusal, RevocationNotice
from microclaw.auth.device_tokens import IssuedToken
from microclaw.wire.link.frame import CloseCode


async def by_token(host: Host, token: str) -> Identity | Refusal:
    return await host.authenticator.authenticate(None, f"Bearer {token}")


async def let_in(host: Host, token: str) -> Identity:
    identity = await by_token(host, token)
    assert isinstance(identity, Identity), identity
    return identity


async def rotated(host: Host, token: str) -> str:
    """The token that follows after a day."""
    host.clock.forward(days=1)
    issued = await host.tokens.rotate(await let_in(host, token))
    assert isinstance(issued, IssuedToken)
    host.clock.forward(s=1)
    return issued.token


async def test_no_credentials_may_pair_and_nothing_else(host: Host) -> None:
    assert await host.authenticator.authenticate(None, None) == closed(4401, Reason.NO_CREDENTIALS, may_pair=True)


async def test_certificate_of_this_host_is_let_in(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    identity = await host.authenticator.authenticate(certificate, None)
    assert isinstance(identity, Identity)
    assert (identity.device_id, identity.method) == (device_id, "certificate")
    assert await host.authenticator.is_still_valid(identity)


async def test_certificate_of_an_authority_of_the_same_name_is_refused(host: Host) -> None:
    _, _, key = await host.pair_certificate()
    impostor = KeyPair(ec.generate_private_key(ec.SECP256R1()), host.authority.certificate)
    forged = device_certificate(impostor, key.public_key(), "d-1", from_ms(host.clock.now), 1 << 71)
    refusal = await host.authenticator.authenticate(forged.public_bytes(Encoding.DER), None)
    assert refusal == closed(4401, Reason.WRONG_CERTIFICATE)


@pytest.mark.parametrize("der", [b"", b"\x30\x82", b"x" * 5000])
async def test_what_is_no_certificate_is_refused(host: Host, der: bytes) -> None:
    assert await host.authenticator.authenticate(der, None) == closed(4401, Reason.WRONG_CERTIFICATE)


@pytest.mark.parametrize("which", ["server", "authority"])
async def test_the_hosts_own_certificates_are_no_devices(host: Host, which: str) -> None:
    own = host.authority.server if which == "server" else host.authority.certificate
    refusal = await host.authenticator.authenticate(own.public_bytes(Encoding.DER), None)
    assert refusal == closed(4401, Reason.WRONG_CERTIFICATE)


async def test_expired_certificate_is_refused(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    host.clock.forward(ms=int((DEVICE_LIFE - timedelta(minutes=1)) / timedelta(milliseconds=1)))
    assert isinstance(await host.authenticator.authenticate(certificate, None), Identity)
    host.clock.forward(s=61)
    refusal = await host.authenticator.authenticate(certificate, None)
    assert refusal == closed(4401, Reason.CERTIFICATE_EXPIRED, device_id)


async def test_certificate_that_the_store_never_issued_is_refused(host: Host) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    unrecorded = host.authority.sign(key.public_key(), "d-1").public_bytes(Encoding.DER)
    assert await host.authenticator.authenticate(unrecorded, None) == closed(4401, Reason.UNKNOWN_CERTIFICATE, "d-1")


async def test_revoked_certificate_is_refused_and_the_live_connection_told(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    identity = await host.authenticator.authenticate(certificate, None)
    assert isinstance(identity, Identity)
    assert await host.revocation.revoke(device_id) == 1
    assert host.revoked[-1] == RevocationNotice(device_id, "person", host.clock.now)
    assert not await host.authenticator.is_still_valid(identity)
    assert await host.authenticator.authenticate(certificate, None) == closed(4403, Reason.REVOKED, device_id)


async def test_revocation_of_one_device_leaves_the_others(host: Host) -> None:
    first, token = await host.pair_token()
    _, other = await host.pair_token()
    await host.revocation.revoke(first)
    assert await by_token(host, token) == closed(4403, Reason.REVOKED, first)
    await let_in(host, other)


async def test_token_is_let_in(host: Host) -> None:
    device_id, token = await host.pair_token()
    identity = await let_in(host, token)
    assert (identity.device_id, identity.method) == (device_id, "token")
    assert isinstance(await host.authenticator.authenticate(None, f"bearer  {token}"), Identity)


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic bWljcm86Y2xhdw==", "Bearer mc1_d-1_short", "mc1_d-1_" + "A" * 43,
        "Bearer mc2_d-1_" + "A" * 43, "Bearer mc1__" + "A" * 43, "Bearer mc1_d-1_" + "A" * 42 + "\u00e9",
        "Bearer mc1_" + "d" * 65 + "_" + "A" * 43, "Bearer " + "A" * 100_000,
    ],
)  # fmt: skip
async def test_malformed_authorization_is_refused(host: Host, header: str) -> None:
    refusal = await host.authenticator.authenticate(None, header)
    assert refusal == closed(4401, Reason.MALFORMED_AUTHORIZATION)


async def test_guessed_token_is_refused_and_revokes_nothing(host: Host) -> None:
    device_id, token = await host.pair_token()
    guess = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert await by_token(host, guess) == closed(4401, Reason.WRONG_TOKEN, device_id)
    await let_in(host, token)


async def test_token_of_another_device_is_refused(host: Host) -> None:
    first, token = await host.pair_token()
    second, _ = await host.pair_token()
    assert await by_token(host, token.replace(first, second)) == closed(4401, Reason.WRONG_TOKEN, second)
    assert await by_token(host, token.replace(first, "d-9")) == closed(4401, Reason.WRONG_TOKEN, "d-9")
    await let_in(host, token)


async def test_token_unused_for_90_days_is_expired_and_one_used_is_not(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(days=89)
    await let_in(host, token)
    host.clock.forward(days=89)
    await let_in(host, token)
    host.clock.forward(days=90, hours=1)
    assert await by_token(host, token) == closed(4401, Reason.TOKEN_EXPIRED, device_id)


async def test_old_token_after_rotation_is_refused_and_the_device_goes_on(host: Host) -> None:
    """Whoever kept an old token must not be able to shut the device out for good."""
    device_id, old = await host.pair_token()
    new = await rotated(host, old)
    live = await let_in(host, new)
    before = tuple(host.revoked)
    for _ in range(3):
        assert await by_token(host, old) == closed(4401, Reason.TOKEN_SUPERSEDED, device_id)
    assert tuple(host.revoked) == before
    assert await host.authenticator.is_still_valid(live)
    assert (await let_in(host, new)).device_id == device_id


def test_a_superseded_token_is_an_alarm_of_its_device_and_address() -> None:
    event = Refusal(CloseCode.NOT_AUTHENTICATED, Reason.TOKEN_SUPERSEDED, "d-1").event("192.0.2.9")
    assert (event.kind, event.about, event.address) == (AuditKind.CREDENTIAL_SUPERSEDED, "d-1", "192.0.2.9")
    assert event.kind in ALARMS


async def test_old_token_stays_good_until_the_new_one_is_used(host: Host) -> None:
    _, old = await host.pair_token()
    new = await rotated(host, old)
    await let_in(host, old)
    await let_in(host, new)


async def test_pairing_again_ends_the_credential_of_before(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    _, token = await host.pair_token(device_id)
    assert host.revoked[-1] == RevocationNotice(device_id, "paired_again", host.clock.now)
    assert await host.authenticator.authenticate(certificate, None) == closed(4403, Reason.REVOKED, device_id)
    await let_in(host, token)


async def test_device_may_pair_again_after_its_revocation(host: Host) -> None:
    device_id, _ = await host.pair_token()
    await host.revocation.revoke(device_id)
    _, token = await host.pair_token(device_id)
    await let_in(host, token)


async def test_two_uses_of_the_pending_token_at_once_are_no_copy(host: Host) -> None:
    _, old = await host.pair_token()
    new = await rotated(host, old)
    both = await asyncio.gather(let_in(host, new), let_in(host, new))
    assert both[0].credential == both[1].credential


async def test_no_token_and_no_secret_is_ever_on_the_disk(host: Host) -> None:
    _, token = await host.pair_token()
    new = await rotated(host, token)
    provision = await host.provisioner.provision()
    assert provision.secret is not None
    random_part = base64.urlsafe_b64decode(token[-43:] + "=")
    for file in host.folder.parent.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for secret in (token.encode(), new.encode(), random_part, provision.secret.encode()):
                assert secret not in content, file


async def test_a_live_connection_ends_with_its_credential_but_not_with_one_that_the_device_itself_replaced(
    host: Host,
) -> None:
    device_id, token = await host.pair_token()
    first = await let_in(host, token)
    assert await host.authenticator.why_ended(first) is None
    second = await let_in(host, await rotated(host, token))  # its newer connection takes the first one's place
    assert not await host.authenticator.is_still_valid(first)
    assert await host.authenticator.why_ended(first) is None
    host.clock.forward(s=1)
    await host.pair_certificate(device_id)
    assert await host.authenticator.why_ended(second) == "paired_again"
    await host.revocation.revoke(device_id)
    assert await host.authenticator.why_ended(second) == "person"
