"""Cases beyond the auth matrix of tests/devices/link: certificates, headers, tokens at once, their turns and
ends."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.host.auth.identity.conftest import Host, closed

from microclaw.host.auth.certificates import DEVICE_LIFE, KeyPair, device_certificate, from_ms
from microclaw.host.auth.credentials import UNUSED_LIFE_MS, Identity, Reason, mint_token, token_device
from microclaw.host.store.identity import KEPT_RETIRED


async def test_what_is_no_devices_certificate_of_this_authority_or_expired_is_refused(host: Host) -> None:
    own = [one.public_bytes(Encoding.DER) for one in (host.authority.server, host.authority.pair.certificate)]
    key = ec.generate_private_key(ec.SECP256R1())
    impostor = KeyPair(key, host.authority.pair.certificate)  # an authority of the same name
    forged = device_certificate(impostor, key.public_key(), "d-1", from_ms(host.clock.ms())).public_bytes(Encoding.DER)
    for der in (b"", b"\x30\x82", b"x" * 5000, *own, forged):
        assert await host.credentials.authenticate(der, None) == closed(4401, Reason.WRONG_CERTIFICATE)
    device_id, certificate, _ = await host.pair_certificate()
    host.clock.forward(s=(DEVICE_LIFE - timedelta(minutes=1)).total_seconds())
    assert isinstance(await host.credentials.authenticate(certificate, None), Identity)
    host.clock.forward(s=61)
    refusal = await host.credentials.authenticate(certificate, None)
    assert refusal == closed(4401, Reason.CERTIFICATE_EXPIRED, device_id)


async def test_malformed_authorization_is_refused(host: Host) -> None:
    for header in (
        *("", "Bearer", "Bearer ", "Basic bWljcm86Y2xhdw==", "Bearer mc1_d-1_short", "mc1_d-1_" + "A" * 43),
        *("Bearer mc2_d-1_" + "A" * 43, "Bearer mc1__" + "A" * 43, "Bearer mc1_d-1_" + "A" * 42 + "\u00e9"),
        *("Bearer mc1_" + "d" * 65 + "_" + "A" * 43, "Bearer " + "A" * 100_000),
    ):
        assert await host.credentials.authenticate(None, header) == closed(4401, Reason.MALFORMED_AUTHORIZATION)


async def test_no_token_and_no_secret_is_ever_on_the_disk(host: Host) -> None:
    _, token = await host.pair_token()
    new = await host.rotated(token)
    secret = (await host.identity.provision()).secret
    assert secret is not None
    random_part = base64.urlsafe_b64decode(token[-43:] + "=")
    for file in host.folder.parent.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
        else:
            content = b""
        assert not any(one in content for one in (token.encode(), new.encode(), random_part, secret.encode())), file


async def test_a_live_connection_ends_with_its_credential_but_not_with_one_that_the_device_itself_replaced(
    host: Host,
) -> None:
    device_id, token = await host.pair_token()
    first = await host.let_in(token)
    assert not await host.credentials.is_ended(first)
    new = await host.rotated(token)  # its newer connection takes the first one's place
    second, at_once = await asyncio.gather(host.let_in(new), host.let_in(new))  # which are no copy
    assert second.credential == at_once.credential
    async with host.credentials.watch_connection(first) as is_good:
        assert not is_good
    assert not await host.credentials.is_ended(first)
    host.clock.forward(s=1)
    await host.pair_certificate(device_id)
    assert await host.credentials.is_ended(second)
    await host.credentials.revoke(device_id)
    assert await host.credentials.is_ended(second)


async def states(host: Host, device_id: str) -> list[str]:
    return [row.state for row in await host.table.tokens_of(device_id)]


@given(st.text("AZaz09._-", min_size=1, max_size=64), st.binary(min_size=32, max_size=32))
def test_device_is_read_from_any_token(device_id: str, secret: bytes) -> None:
    assert token_device(mint_token(device_id, secret)) == device_id
    assert mint_token("d-1", bytes(range(32))) == "mc1_d-1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


async def test_a_token_is_rotated_after_a_day_once_in_a_session_and_again_until_it_arrives(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(hours=23.9)
    assert await host.credentials.rotate(await host.let_in(token)) is None
    host.clock.forward(hours=0.1)
    session = await host.let_in(token)
    sent = await host.credentials.rotate(session)
    assert sent is not None
    assert (sent.expires_ms, sent.token in repr(sent)) == (host.clock.ms() + UNUSED_LIFE_MS, False)
    assert await states(host, device_id) == ["current", "pending"]
    host.clock.forward(days=3)
    assert await host.credentials.rotate(session) is None
    for _ in range(KEPT_RETIRED + 5):  # a device whose flash never keeps the new token
        host.clock.forward(s=1)
        late = await host.credentials.rotate(await host.let_in(token))
        assert late is not None
    kept = await states(host, device_id)
    assert (kept.count("retired"), kept.count("current"), kept.count("pending")) == (KEPT_RETIRED, 1, 1)
    assert late is not None
    host.clock.forward(s=1)
    again = await host.credentials.rotate(await host.let_in(token))
    assert again is not None
    await host.let_in(again.token)
    assert (await states(host, device_id))[-1] == "current"
    assert await host.comes_with(late.token) == closed(4401, Reason.TOKEN_SUPERSEDED, device_id)
