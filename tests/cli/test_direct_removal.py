"""A program is taken off a board without a host: the board's own list decides, read twice."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.cli.direct_programs import take_off
from microclaw.devices.calls import AppEntry, AppList, AppUninstall, Call
from microclaw.errors import DeployRejected

TARGET = "192.0.2.7:8080"


class ListingBoard:
    """Answers each list with the next of `lists`, the last one for ever."""

    name = TARGET

    def __init__(self, *lists: tuple[str, ...]) -> None:
        self._lists = list(lists)
        self.slept_s: list[float] = []

    async def call(self, call: Call[Any]) -> Any:
        if isinstance(call, AppUninstall):
            return None
        assert isinstance(call, AppList)
        names = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        return tuple(AppEntry(name, 8192) for name in names)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


async def test_a_board_that_goes_on_listing_it_is_an_error() -> None:
    board = ListingBoard(("blink", "tick"))
    with pytest.raises(DeployRejected):
        await take_off(board, "blink", board.sleep)
    assert len(board.slept_s) == 1


async def test_a_board_that_lists_it_a_moment_longer_is_none() -> None:
    board = ListingBoard(("blink", "tick"), ("tick",))
    await take_off(board, "blink", board.sleep)
    assert len(board.slept_s) == 1


async def test_a_list_without_it_is_read_once() -> None:
    board = ListingBoard(())
    await take_off(board, "blink", board.sleep)
    assert board.slept_s == []
