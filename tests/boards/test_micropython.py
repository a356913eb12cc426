"""A board with our MicroPython firmware: other limits and another power cut, the same pins."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from microclaw.boards.firmware import parse_firmware
from microclaw.boards.micropython import MAX_PROGRAM_BYTES, MAX_PROGRAMS, with_micropython
from microclaw.boards.reader import board_ids, load_board
from microclaw.py.compile import MAX_MPY_BYTES

FIRMWARE = Path(__file__).parents[2] / "firmware/fw/board.py"


def test_limits_are_those_of_the_firmware_and_of_the_compiler() -> None:
    found = re.search(r'facts\.get\("max_programs", (\d+)\)', FIRMWARE.read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) == MAX_PROGRAMS
    assert MAX_PROGRAM_BYTES == MAX_MPY_BYTES


def test_only_firmware_and_power_cut_differ() -> None:
    for board_id in board_ids():
        board = load_board(board_id)
        found = with_micropython(board)
        assert replace(found, firmware=board.firmware, power_cut=board.power_cut) == board
        assert (found.firmware.max_apps, found.firmware.apps_survive_reset) == (MAX_PROGRAMS, True)
        assert found.firmware.no_stock_build is None


def test_a_described_limit_of_programs_stays() -> None:
    board = parse_firmware(["max_apps=2"]).applied(load_board("virtual"))
    assert with_micropython(board).firmware.max_apps == 2
