"""One sentence, several boards, one of which hangs: it is never said to be done there."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.agent.real_host import Home, real_host

from microclaw.virtual_boards.process import VirtualBoardProcess

NAMES = ("lamp", "fan", "desk")


def levels(home: Home, pin: int, names: Sequence[str] = NAMES) -> list[int | None]:
    return [home.level(pin, name) for name in names]


@contextmanager
def frozen(board: VirtualBoardProcess) -> Iterator[None]:
    """Inside, the board takes connections and answers nothing."""
    process = board._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with real_host(tmp_path / "home", boards=NAMES) as home:
        yield home


async def test_a_board_that_hangs_leaves_the_others_alone_and_is_never_said_to_be_done(home: Home) -> None:
    with frozen(home.boards["fan"]):
        answer = await home.say("set pin 4 high everywhere", True)
        assert answer.error_code == "boards_unknown"
        assert [action.outcome for action in answer.actions] == ["unknown"]
        assert levels(home, 4, ("lamp", "desk")) == [1, 1]
        undone = await home.say("undo")
    assert "fan" not in undone.text
    assert levels(home, 4, ("lamp", "desk")) == [0, 0]
