from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.auth.identity.conftest import Host, closed

from microclaw.auth.credentials import UNUSED_LIFE_MS, Identity, IssuedCredential, Reason, mint_token, token_device
from microclaw.store.identity import KEPT_RETIRED


async def identity_of(host: Host, token: str) -> Identity:
    identity = await host.credentials.authenticate(None, f"Bearer {token}")
    assert isinstance(identity, Identity), identity
    return identity


async def states(host: Host, device_id: str) -> list[str]:
    return [row.state for row in await host.table.tokens_of(device_id)]


def test_token_is_written_as_the_page_says() -> None:
    assert mint_token("d-1", bytes(range(32))) == "mc1_d-1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@given(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), st.binary(min_size=32, max_size=32))
def test_device_is_read_from_any_token(device_id: str, secret: bytes) -> None:
    assert token_device(mint_token(device_id, secret)) == device_id


async def test_a_token_is_rotated_after_a_day_and_stored_before_it_is_returned(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(hours=23.9)
    assert await host.credentials.rotate(await identity_of(host, token)) is None
    host.clock.forward(hours=0.1)
    issued = await host.credentials.rotate(await identity_of(host, token))
    assert isinstance(issued, IssuedCredential)
    assert issued.expires_ms == host.clock.now + UNUSED_LIFE_MS
    assert issued.token not in repr(issued)
    assert await states(host, device_id) == ["current", "pending"]


async def test_session_that_sent_a_token_sends_no_second_one(host: Host) -> None:
    _, token = await host.pair_token()
    host.clock.forward(days=1)
    session = await identity_of(host, token)
    sent = await host.credentials.rotate(session)
    assert sent is not None
    host.clock.forward(days=3)
    assert await host.credentials.rotate(session) is None
    assert await host.credentials.rotate(replace(session)) is None
    await identity_of(host, sent.token)  # it may have been in the device's flash all the time
    host.clock.forward(days=2)
    assert await host.credentials.rotate(session) is None


async def test_token_that_never_arrived_is_replaced_in_a_later_session(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(days=1)
    lost = await host.credentials.rotate(await identity_of(host, token))
    host.clock.forward(s=5)
    second = await host.credentials.rotate(await identity_of(host, token))
    assert lost is not None
    assert second is not None
    await identity_of(host, second.token)
    assert await states(host, device_id) == ["retired", "retired", "current"]
    copied = await host.credentials.authenticate(None, f"Bearer {lost.token}")
    assert copied == closed(4401, Reason.TOKEN_SUPERSEDED, device_id)


async def test_retired_hashes_are_bounded(host: Host) -> None:
    device_id, token = await host.pair_token()
    host.clock.forward(days=1)
    for _ in range(KEPT_RETIRED + 5):  # a device whose flash never keeps the new token
        host.clock.forward(s=1)
        assert await host.credentials.rotate(await identity_of(host, token)) is not None
    kept = await states(host, device_id)
    assert (kept.count("retired"), kept.count("current"), kept.count("pending")) == (KEPT_RETIRED, 1, 1)
