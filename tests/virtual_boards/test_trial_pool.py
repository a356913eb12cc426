from __future__ import annotations

import pytest
from msgspec.structs import replace

from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppList
from microclaw.errors import MicroclawError
from microclaw.virtual_boards.trial_pool import BoardKind, TrialPool

BOARD = load_board("virtual")
KIND = BoardKind("virtual")


async def test_a_warm_board_is_used_once_and_ends_with_the_pool_and_its_files() -> None:
    async with TrialPool(BOARD) as trial_pool:
        async with trial_pool.take(KIND, BOARD) as first:
            assert await first.wasmachine.call(AppList(), 5) == ()
        trial_pool.refill()
        async with trial_pool.take(KIND, BOARD) as second:
            assert second is not first
            folder = second.control.path.parent
            assert (second.running, folder.exists()) == (True, True)
    assert (first.running, second.running, folder.exists()) == (False, False, False)


async def test_a_board_that_cannot_start_is_said_by_the_trial_not_the_standby() -> None:
    unknown = replace(BOARD, board_id="no-such-board")
    async with TrialPool(unknown) as trial_pool:
        with pytest.raises(MicroclawError) as caught:
            async with trial_pool.take(BoardKind("no-such-board"), unknown):
                raise AssertionError("there is no such board")
        assert "no-such-board" in caught.value.message
