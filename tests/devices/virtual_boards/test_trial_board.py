from __future__ import annotations

import pytest
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppList
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.errors import ConfigError, DeviceError
from microclaw.hardware.boards.reader import load_board

BOARD = load_board("virtual")


async def test_a_trial_board_ends_with_its_block_and_leaves_no_file() -> None:
    async with trial_board(BOARD) as board:
        assert await board.wasmachine.call(AppList(), 5) == ()
        folder = board.control.path.parent
        assert folder.exists()
    assert not folder.exists()
    with pytest.raises(DeviceError):
        await board.wasmachine.call(AppList(), 5)


async def test_a_board_that_cannot_start_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-board"):
        async with trial_board(replace(BOARD, board_id="no-such-board")):
            raise AssertionError("there is no such board")
