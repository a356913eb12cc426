"""The auth matrix: who is not let in, how the connection ends for it, and under which reason it is counted.

Every row runs against the real door. `NO_TLS`: there is no link to close, TLS itself ends it.
"""

from __future__ import annotations

import secrets
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.devices.link.conftest import DAY_MS, Clock

from microclaw.devices.link.limits import LinkLimits
from microclaw.errors import NotSupported, Overloaded, UnknownName
from microclaw.events import Alarm
from microclaw.host.auth.certificates import device_certificate, from_ms, new_authority
from microclaw.host.auth.credentials import mint_token
from microclaw.wire.link.messages import PairCode, PairRequest, Token

NO_TLS = "no TLS"
End: TypeAlias = "int | str | None"


@dataclass
class Door:
    """The plane, a device called lamp that is paired by a token, and a clock that moves."""

    plane: Any
    lamp: Any
    stranger: Any  # a device that is not paired
    clock: Clock

    async def paired_by_certificate(self) -> Any:
        await self.stranger.pair(lambda code: self.plane.plane.pair(code, name="spot"), token=False)
        return self.stranger


@pytest.fixture
async def door(tmp_path: Path, start_plane: Any, scripted: Callable[[Any], Any], clock: Clock) -> AsyncIterator[Door]:
    async with start_plane(tmp_path, LinkLimits(), now_ms=clock.ms) as plane:
        lamp = scripted(plane)
        await lamp.pair(lambda code: plane.plane.pair(code, name="lamp"))
        yield Door(plane, lamp, scripted(plane), clock)


# What the rows bring


async def revoked(door: Door, name: str) -> Any:
    if name == "lamp":
        device = door.lamp
    else:
        device = await door.paired_by_certificate()
    assert await door.plane.plane.revoke(name) == 1
    return device


async def certificate_of_before_it_was_paired_again(door: Door) -> Any:
    spot = await door.paired_by_certificate()
    # it forgot it
    old = spot.certificate
    spot.certificate = None
    await spot.pair(lambda code: door.plane.plane.pair(code, device="spot"), token=False)
    assert spot.certificate != old
    return replace(spot, certificate=old)


async def token_unused_for_90_days(door: Door) -> Any:
    door.clock.ahead_ms += 90 * DAY_MS + 1_000
    return door.lamp


async def old_token_after_rotation(door: Door) -> Any:
    old = await _rotated(door)
    return replace(door.lamp, token=old)


def certified(door: Door, authority: Any) -> Any:
    """The stranger with a certificate in the lamp's name."""
    made = device_certificate(authority, door.stranger.key.public_key(), _id(door, "lamp"), from_ms(door.clock.ms()))
    return replace(door.stranger, certificate=made.public_bytes(Encoding.DER))


def with_guessed_token(door: Door) -> Any:
    return replace(door.lamp, token=mint_token(_id(door, "lamp"), secrets.token_bytes(32)))


WRONG_SECRET = PairRequest("virtual", token_wanted=True, secret="WRONG")
# The device that comes, what it meets, what is counted, and the kind of line that the security log has.
MATRIX: dict[str, tuple[Callable[[Door], Any], End, str, str | None]] = {
    "no credential": (lambda door: door.stranger, 4401, "not_authenticated", None),
    "certificate of another authority": (
        lambda door: certified(door, new_authority(from_ms(door.clock.ms()))), NO_TLS, "tls", "certificate.foreign",
    ),
    "certificate that was never issued": (
        lambda door: certified(door, door.plane.plane.identity.authority.pair),
        4401, "not_authenticated", "certificate.foreign",
    ),
    "old certificate": (certificate_of_before_it_was_paired_again, 4403, "revoked", "credential.refused"),
    "revoked certificate": (lambda door: revoked(door, "spot"), 4403, "revoked", "credential.refused"),
    "nonsense": (lambda door: replace(door.stranger, token="nonsense"), 4401, "not_authenticated", "token.wrong"),
    "guessed token": (with_guessed_token, 4401, "not_authenticated", "token.wrong"),
    "token unused for 90 days": (token_unused_for_90_days, 4401, "not_authenticated", "credential.refused"),
    "revoked token": (lambda door: revoked(door, "lamp"), 4403, "revoked", "credential.refused"),
    "old token": (old_token_after_rotation, 4401, "not_authenticated", "credential.superseded"),
    "wrong secret": (
        lambda door: replace(door.stranger, opening=WRONG_SECRET), 4401, "not_authenticated", "secret.wrong",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MATRIX)
async def test_it_is_refused_counted_and_written_down(door: Door, name: str) -> None:
    bring, end, reason, kind = MATRIX[name]
    device = bring(door)
    if isawaitable(device):
        device = await device
    door.plane.audited.clear()
    before = door.plane.refused
    assert await _end_of(device) == end
    await door.plane.until_refused(reason)
    more = {key: count - before.get(key, 0) for key, count in door.plane.refused.items() if count != before.get(key)}
    assert set(more) == {reason}
    assert end == NO_TLS or more[reason] == 1  # the HTTP library tries twice when there is no answer
    assert {event.kind.value for event in door.plane.audited} == ({kind} if kind else set())
    assert {event.address for event in door.plane.audited} <= {"127.0.0.1"}


# What has more to it than a row


async def test_a_superseded_token_is_told_to_a_person_and_shuts_nobody_else_out(door: Door) -> None:
    old = await _rotated(door)
    thief = replace(door.lamp, token=old)
    async with door.lamp.online():
        assert await _end_of(thief) == 4401
        alarm = await door.plane.published.until(Alarm)
        assert (alarm.device, alarm.code) == ("lamp", "token_superseded")
        assert await _end_of(thief) == 4401
        assert door.lamp.closed is None
    door.clock.ahead_ms += 31 * DAY_MS  # it was off for a month
    async with door.lamp.online():
        pass


async def test_guessed_codes_lock_pairing_and_the_right_one_with_it(door: Door) -> None:
    async with door.stranger.connected(PairRequest("virtual", token_wanted=True)):
        code = (await door.stranger.next(PairCode)).code
        for _ in range(5):
            with pytest.raises(UnknownName):
                await door.plane.plane.pair("1" * 6 if code != "1" * 6 else "2" * 6)
        with pytest.raises(Overloaded):
            await door.plane.plane.pair(code)


async def test_plain_ws_on_the_tls_port_is_refused(door: Door) -> None:
    await refused_by_tls(door, door.lamp.address.replace("wss", "ws"))


async def test_tls_before_1_2_is_refused(door: Door) -> None:
    context = door.lamp.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    await refused_by_tls(door, door.lamp.address, ssl=context)


# How it is done


async def refused_by_tls(door: Door, address: str, **how: Any) -> None:
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        async with aiohttp.ClientSession() as http, http.ws_connect(address, **how):
            pass
    await door.plane.until_refused("tls")
    assert set(door.plane.refused) == {"tls"}


async def _end_of(device: Any) -> End:
    """The end of the connection for the device: the close code, or that there was no TLS."""
    try:
        async with device.connected():
            code = await device.until_closed()
    except (aiohttp.ClientError, ssl.SSLError, ConnectionError):
        return NO_TLS
    return NO_TLS if code == 1006 else code  # TLS 1.3: the client hears of its refused certificate after its own part


async def _rotated(door: Door) -> str:
    """The lamp got a new token and used it; the old one."""
    old: str = door.lamp.token
    door.clock.ahead_ms += 2 * DAY_MS
    async with door.lamp.connected():
        door.lamp.token = (await door.lamp.next(Token)).token
    async with door.lamp.online():
        pass
    return old


def _id(door: Door, name: str) -> str:
    return str(door.plane.registry.get(name).device_id)


async def test_a_revoked_device_is_known_as_one_until_it_is_paired_again(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp").device_id
    assert await plane.plane.revoked() == frozenset()
    assert await plane.plane.notify("lamp", "early", speak=False, expires_s=None) == "waiting"
    await plane.plane.revoke("lamp")
    assert await plane.plane.revoked() == {lamp}
    with pytest.raises(NotSupported) as caught:
        await plane.plane.notify("lamp", "late", speak=False, expires_s=None)
    assert caught.value.next_step is not None
    paired.token = None  # the board forgets what opens nothing, and pairs again
    await paired.pair(lambda code: plane.plane.pair(code, device="lamp"))
    assert await plane.plane.revoked() == frozenset()
    assert await plane.plane.notify("lamp", "again", speak=False, expires_s=None) == "waiting"
