"""A device may call its board what it likes; a person chooses the profile for a name that no profile has."""

from __future__ import annotations

import pytest
from tests.link_server.conftest import Plane
from tests.link_server.scripted import ScriptedDevice

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
