"""A device may call its board what it likes; a person chooses the profile for a name that no profile has."""

from __future__ import annotations

import pytest
from tests.link_server.conftest import Plane
from tests.link_server.scripted import ScriptedDevice

from microclaw.errors import UnknownName
from microclaw.wire.link.messages import ErrorMessage, PairCode, PairDone, PairRequest

MADE_UP = "my-lamp_v3"
PROFILE = "xiao-esp32s3"


async def test_a_made_up_board_is_let_in_by_the_profile_that_a_person_chose_and_by_no_other(
    plane: Plane, device: ScriptedDevice
) -> None:
    unchosen, chosen = await plane.plane.provision("spot"), await plane.plane.provision("spot", board=PROFILE)
    for board, secret, code in (
        (MADE_UP, unchosen.secret, "unknown_board"),
        ("virtual", chosen.secret, "wrong_secret"),  # a secret for one profile is wrong for another
    ):
        async with device.connected(PairRequest(board, token_wanted=True, secret=secret)):
            assert (await device.next(ErrorMessage)).code == code
    assert plane.registry.list() == ()
    async with device.connected(PairRequest(MADE_UP, token_wanted=True, secret=chosen.secret)):
        await device.next(PairDone)
    async with device.connected(PairRequest(MADE_UP, token_wanted=True)):
        code = (await device.next(PairCode)).code
        for wrong in (None, "no-such"):
            with pytest.raises(UnknownName):
                await plane.plane.pair(code, name="lamp", board=wrong)
        await plane.plane.pair(code, name="lamp", board=PROFILE)
        await device.next(PairDone)
    assert {plane.registry.get(name).board.board_id for name in ("spot", "lamp")} == {PROFILE}
