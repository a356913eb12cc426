"""A program is taken off a board without a host: the board's own list decides, read twice."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.cli.direct_programs import take_off
from microclaw.devices.calls import AppEntry, AppList, AppUninstall, Call
from microclaw.errors import AppNotFound, DeployRejected

TARGET = "192.0.2.7:8080"


class ListingBoard:
    """Answers each list with the next of `lists`, the last one for ever."""

    name = TARGET

    def __init__(self, *lists: tuple[str, ...], missing: bool = False) -> None:
        self._lists = list(lists)
        self._missing = missing
        self.slept_s: list[float] = []

    async def call(self, call: Call[Any]) -> Any:
        if isinstance(call, AppUninstall):
            if self._missing:
                raise AppNotFound(f"no {call.name}")
            return None
        assert isinstance(call, AppList)
        names = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        return tuple(AppEntry(name, 8192) for name in names)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


async def test_a_board_that_goes_on_listing_it_is_an_error() -> None:
    board = ListingBoard(("blink", "tick"))
    with pytest.raises(DeployRejected, match="answered that it removed blink, but still lists it") as refused:
        await take_off(board, "blink", board.sleep)
    assert refused.value.next_step == f"restart the board, then microclaw app list -d {TARGET}"
    assert len(board.slept_s) == 1


async def test_a_board_that_lists_it_a_moment_longer_is_none() -> None:
    board = ListingBoard(("blink", "tick"), ("tick",))
    assert await take_off(board, "blink", board.sleep) == f"{TARGET} no longer lists blink; tick still on it"
    assert len(board.slept_s) == 1


async def test_a_list_without_it_is_read_once() -> None:
    board = ListingBoard(())
    assert await take_off(board, "blink", board.sleep) == f"{TARGET} no longer lists blink; no app left on it"
    assert board.slept_s == []


async def test_what_is_not_there_says_where_to_look() -> None:
    board = ListingBoard((), missing=True)
    with pytest.raises(AppNotFound) as refused:
        await take_off(board, "blink", board.sleep)
    assert refused.value.next_step == f"see what is: microclaw app list -d {TARGET}"
