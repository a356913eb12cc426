"""What the auth matrix of tests/link_server does not reach: certificates, headers, tokens at once and their ends."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.auth.identity.conftest import Host, closed

from microclaw.auth.certificates import DEVICE_LIFE, KeyPair, device_certificate, from_ms
from microclaw.auth.credentials import Identity, IssuedCredential, Reason, Refusal, RevocationNotice


async def by_token(host: Host, token: str) -> Identity | Refusal:
    return await host.credentials.authenticate(None, f"Bearer {token}")


async def let_in(host: Host, token: str) -> Identity:
    identity = await by_token(host, token)
    assert isinstance(identity, Identity), identity
    return identity


async def rotated(host: Host, token: str) -> str:
    """The token that follows after a day."""
    host.clock.forward(days=1)
    issued = await host.credentials.rotate(await let_in(host, token))
    assert isinstance(issued, IssuedCredential)
    host.clock.forward(s=1)
    return issued.token


@pytest.mark.parametrize("what", ["nothing", "half", "too long", "the server's", "the authority's", "an impostor's"])
async def test_what_is_no_devices_certificate_of_this_authority_is_refused(host: Host, what: str) -> None:
    if what == "an impostor's":  # an authority of the same name
        key = ec.generate_private_key(ec.SECP256R1())
        forged = device_certificate(
            KeyPair(key, host.authority.certificate), key.public_key(), "d-1", from_ms(host.clock.now), 1 << 71
        )
        der = forged.public_bytes(Encoding.DER)
    elif what.startswith("the "):
        own = host.authority.server if what == "the server's" else host.authority.certificate
        der = own.public_bytes(Encoding.DER)
    else:
        der = {"nothing": b"", "half": b"\x30\x82", "too long": b"x" * 5000}[what]
    assert await host.credentials.authenticate(der, None) == closed(4401, Reason.WRONG_CERTIFICATE)


async def test_expired_certificate_is_refused(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    host.clock.forward(ms=int((DEVICE_LIFE - timedelta(minutes=1)) / timedelta(milliseconds=1)))
    assert isinstance(await host.credentials.authenticate(certificate, None), Identity)
    host.clock.forward(s=61)
    refusal = await host.credentials.authenticate(certificate, None)
    assert refusal == closed(4401, Reason.CERTIFICATE_EXPIRED, device_id)


async def test_revoked_certificate_is_refused_and_the_live_connection_told(host: Host) -> None:
    device_id, certificate, _ = await host.pair_certificate()
    identity = await host.credentials.authenticate(certificate, None)
    assert isinstance(identity, Identity)
    assert await host.credentials.revoke(device_id) == 1
    assert host.revoked[-1] == RevocationNotice(device_id, "person")
    assert not await host.credentials.is_still_valid(identity)
    assert await host.credentials.authenticate(certificate, None) == closed(4403, Reason.REVOKED, device_id)


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic bWljcm86Y2xhdw==", "Bearer mc1_d-1_short", "mc1_d-1_" + "A" * 43,
        "Bearer mc2_d-1_" + "A" * 43, "Bearer mc1__" + "A" * 43, "Bearer mc1_d-1_" + "A" * 42 + "\u00e9",
        "Bearer mc1_" + "d" * 65 + "_" + "A" * 43, "Bearer " + "A" * 100_000,
    ],
)  # fmt: skip
async def test_malformed_authorization_is_refused(host: Host, header: str) -> None:
    refusal = await host.credentials.authenticate(None, header)
    assert refusal == closed(4401, Reason.MALFORMED_AUTHORIZATION)


async def test_token_unused_for_90_days_is_expired_and_one_used_is_not(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(days=89)
    await let_in(host, token)
    host.clock.forward(days=89)
    await let_in(host, token)
    host.clock.forward(days=90, hours=1)
    assert await by_token(host, token) == closed(4401, Reason.TOKEN_EXPIRED, device_id)


async def test_two_uses_of_the_pending_token_at_once_are_no_copy(host: Host) -> None:
    _, old = await host.pair_token()
    new = await rotated(host, old)
    both = await asyncio.gather(let_in(host, new), let_in(host, new))
    assert both[0].credential == both[1].credential


async def test_no_token_and_no_secret_is_ever_on_the_disk(host: Host) -> None:
    _, token = await host.pair_token()
    new = await rotated(host, token)
    provision = await host.pairing.provision()
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
    assert await host.credentials.why_ended(first) is None
    second = await let_in(host, await rotated(host, token))  # its newer connection takes the first one's place
    assert not await host.credentials.is_still_valid(first)
    assert await host.credentials.why_ended(first) is None
    host.clock.forward(s=1)
    await host.pair_certificate(device_id)
    assert await host.credentials.why_ended(second) == "paired_again"
    await host.credentials.revoke(device_id)
    assert await host.credentials.why_ended(second) == "person"
