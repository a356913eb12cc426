"""The board's own list decides whether a program is off it, read twice."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.listing import removal_text
from microclaw.devices.calls import AppEntry, Call
from microclaw.errors import DeployRejected


class ListingBoard:
    """Answers each list with the next of `lists`, the last one for ever."""

    name = "desk"

    def __init__(self, *lists: str) -> None:
        self.lists = list(lists)
        self.slept_s: list[float] = []

    async def call(self, _: Call[Any]) -> Any:
        listed = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        return tuple(AppEntry(name, 8192) for name in listed.split())

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


@pytest.mark.parametrize(("lists", "sleeps"), [(("blink tick", "tick"), 1), (("",), 0)])
async def test_a_board_may_list_what_it_removed_for_a_moment(lists: tuple[str, ...], sleeps: int) -> None:
    board = ListingBoard(*lists)
    await removal_text(board, "blink", board.sleep, next_step="")
    assert len(board.slept_s) == sleeps


async def test_a_board_that_goes_on_listing_it_is_an_error() -> None:
    board = ListingBoard("blink tick")
    with pytest.raises(DeployRejected):
        await removal_text(board, "blink", board.sleep, next_step="")
