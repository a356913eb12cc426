"""A device may call its board what it likes; a person chooses the profile for a name that no profile has."""

from __future__ import annotations

import asyncio

import pytest
from tests.link_server.conftest import Plane
from tests.link_server.scripted import ScriptedDevice

from microclaw.auth.credentials import IssuedCredential
from microclaw.errors import UnknownName
from microclaw.wire.link.messages import ErrorMessage, PairCode, PairDone, PairRequest

MADE_UP = "my-lamp_v3"
PROFILE = "xiao-esp32s3"


async def test_a_made_up_board_is_let_in_by_the_profile_it_was_provisioned_with(
    plane: Plane, device: ScriptedDevice
) -> None:
    made = await plane.plane.provision("lamp", board=PROFILE)
    async with device.connected(PairRequest(MADE_UP, token_wanted=True, secret=made.secret)):
        await device.next(PairDone)
    assert plane.registry.get("lamp").board.board_id == PROFILE


async def test_a_made_up_board_is_let_in_by_the_profile_chosen_with_its_code(
    plane: Plane, device: ScriptedDevice
) -> None:
    async with device.connected(PairRequest(MADE_UP, token_wanted=True)):
        code = (await device.next(PairCode)).code
        with pytest.raises(UnknownName):
            await plane.plane.pair(code, name="lamp")
        with pytest.raises(UnknownName):
            await plane.plane.pair(code, name="lamp", board="no-such")
        await plane.plane.pair(code, name="lamp", board=PROFILE)
        await device.next(PairDone)
    assert plane.registry.get("lamp").board.board_id == PROFILE


async def test_a_made_up_board_for_which_nobody_chose_a_profile_is_told_so(
    plane: Plane, device: ScriptedDevice
) -> None:
    made = await plane.plane.provision("lamp")
    async with device.connected(PairRequest(MADE_UP, token_wanted=True, secret=made.secret)):
        assert (await device.next(ErrorMessage)).code == "unknown_board"
        assert await device.until_closed() == 4400
    assert plane.registry.list() == ()


async def test_a_secret_for_one_profile_is_wrong_for_another(plane: Plane, device: ScriptedDevice) -> None:
    made = await plane.plane.provision("lamp", board=PROFILE)
    async with device.connected(PairRequest("virtual", token_wanted=True, secret=made.secret)):
        assert (await device.next(ErrorMessage)).code == "wrong_secret"


async def test_a_board_that_leaves_at_any_moment_of_its_pairing_gets_its_name_at_the_next_try(plane: Plane) -> None:
    """The name is kept for it from the first of the three writes on."""
    pairing = plane.plane.identity

    async def ask(secret: str | None) -> IssuedCredential | object:
        return await pairing.request("192.0.2.9", PROFILE, csr=None, token_wanted=True, secret=secret)

    for delay_ms in range(24):
        made = await plane.plane.provision(f"lamp-{delay_ms}", board=PROFILE)
        first = asyncio.create_task(ask(made.secret))
        await asyncio.wait([first], timeout=delay_ms / 2000)
        first.cancel()
        await asyncio.wait([first])
        again = await ask(made.secret)
        assert isinstance(again, IssuedCredential)
        device = plane.registry.get(f"lamp-{delay_ms}")
        assert device.endpoints == (f"link:{again.device_id}",)
    assert len(plane.registry.list()) == 24
